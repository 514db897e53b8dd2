#include "rebound/intervene/defence.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>

#include "rebound/base/error.h"
#include "rebound/sae/sinks.h"

namespace rebound {

Defence::Defence(std::shared_ptr<const Sae> sae, std::vector<FeatureEdit> edits, double sink_norm)
    : sae_(std::move(sae)),
      edits_(std::move(edits)),
      sink_norm_(sink_norm),
      site_(parse_site(sae_->config().hook_name)) {
  std::set<int64_t> all;
  for (const FeatureEdit& edit : edits_) {
    require<ConfigError>(!edit.features.empty(), "defence.features: got none, expected at least one");
    sae_->check_features(edit.features);
    require<ConfigError>(edit.values.empty() || edit.values.size() == edit.features.size(), "defence.edit.value: got ",
                         edit.values.size(), " values, expected one number or one for each of ",
                         edit.features.size(), " features");
    all.insert(edit.features.begin(), edit.features.end());
  }
  require<ConfigError>(!all.empty(), "defence: got no edits, expected at least one");
  features_.assign(all.begin(), all.end());
}

at::Tensor Defence::apply(const at::Tensor& value, const Rows& rows) const {
  const at::Tensor code = sae_->encode(value, features_);  // [batch, rows, n]
  at::Tensor edited = code;
  for (const FeatureEdit& edit : edits_) {
    std::vector<int64_t> columns;
    for (const int64_t feature : edit.features) {
      columns.push_back(std::lower_bound(features_.begin(), features_.end(), feature) - features_.begin());
    }
    const at::Tensor index = at::tensor(columns, at::kLong).to(value.device());
    const at::Tensor before = edited.index_select(-1, index);
    const at::Tensor here = edit.positions.contains(rows).unsqueeze(-1);
    edited = edited.index_copy(-1, index, at::where(here, edit.apply(before), before));
  }
  const at::Tensor clamped = value + sae_->decode_delta(features_, edited - code, value);
  const at::Tensor is_token = rows.is_real & (rows.position > 0) &
                              (value.detach().norm(2, -1) <= sink_norm_);
  return at::where(is_token.unsqueeze(-1), clamped, value);
}

Hooks Defence::hooks() const {
  Hooks hooks;
  hooks.edits[site_] = [this](const at::Tensor& value, const Rows& rows) { return apply(value, rows); };
  return hooks;
}

Json Defence::to_json() const {
  Json edits = Json::array();
  for (const FeatureEdit& edit : edits_) edits.push_back(rebound::to_json(edit));
  return {{"site", to_string(site_)}, {"edits", edits}, {"n_features", features_.size()},
          {"sink_norm", sink_norm_}};
}

double sink_norm_of(const at::Tensor& resid, const Rows& rows) {
  const at::Tensor norms = resid.norm(2, -1).masked_select(rows.is_real & (rows.position > 0));
  require<DataError>(norms.numel() > 0, "prompts: got only one-token prompts, expected longer ones");
  return kSinkNormRatio * norms.median().item<double>();
}

}  // namespace rebound
