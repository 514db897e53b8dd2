#include "rebound/intervene/clamp_plan.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/base/error.h"

namespace rebound {
namespace {

// resid_post of a layer and resid_pre of the next one are the same tensor.
Site as_resid_pre(const Site& site) {
  return site.kind == SiteKind::kResidPost ? Site{site.layer + 1, SiteKind::kResidPre} : site;
}

}  // namespace

ClampPlan::ClampPlan(std::vector<std::shared_ptr<const Clamp>> clamps, const ModelConfig& model)
    : clamps_(std::move(clamps)) {
  require<ConfigError>(!clamps_.empty(), "defence: got no clamp, expected at least one");
  std::sort(clamps_.begin(), clamps_.end(), [](const auto& a, const auto& b) {
    return as_resid_pre(a->site()) < as_resid_pre(b->site());
  });
  for (size_t i = 0; i < clamps_.size(); ++i) {
    const Site& site = clamps_[i]->site();
    require<ConfigError>(site.layer >= 0 && site.layer < model.num_hidden_layers, "defence: got site ",
                         to_string(site), ", expected a layer 0..", model.num_hidden_layers - 1);
    const int64_t width = clamps_[i]->read_columns().size(0);
    require<ConfigError>(width == model.hidden_size, "defence at ", to_string(site), ": got width ", width,
                         ", expected the model's ", model.hidden_size);
    if (i == 0) continue;
    const Site& before = clamps_[i - 1]->site();
    require<ConfigError>(as_resid_pre(before) != as_resid_pre(site), "defence: got two clamps at one site (",
                         to_string(before), ", ", to_string(site), "), expected one with all its edits");
  }
}

Hooks ClampPlan::hooks() const {
  Hooks hooks;
  for (const auto& clamp : clamps_) {
    hooks.edits[clamp->site()] = [clamp](const at::Tensor& value, const Rows& rows) {
      return clamp->apply(value, rows);
    };
  }
  return hooks;
}

Json ClampPlan::to_json() const {
  Json list = Json::array();
  for (const auto& clamp : clamps_) list.push_back(clamp->to_json());
  return list;
}

}  // namespace rebound
