#include "rebound/model/segment.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/model/family_sites.h"

namespace rebound {
namespace {

int64_t first_layer_after(const Site& site) {
  require<ConfigError>(site.kind == SiteKind::kResidPre || site.kind == SiteKind::kResidPost,
                       "segment site: got ",
                       to_string(site),
                       ", expected a hook_resid_pre or hook_resid_post");
  return site.kind == SiteKind::kResidPre ? site.layer : site.layer + 1;
}

// resid_pre of layer L and resid_post of layer L - 1 are the same tensor before edits.
struct SiteRecorder {
  Site site;
  at::Tensor before, after;

  void attach(Hooks& hooks) {
    SiteEdit original;
    if (const auto found = hooks.edits.find(site); found != hooks.edits.end()) {
      original = found->second;
    }
    hooks.edits[site] = [this, original](const at::Tensor& value, const Rows& rows) {
      before = value;
      after = original ? original(value, rows) : value;
      return after;
    };
  }
};

at::Tensor take_rows(const at::Tensor& x, const at::Tensor& position) {
  const at::Tensor safe = position.clamp_max(x.size(1) - 1);
  return x.gather(1, safe.unsqueeze(-1).expand({-1, -1, x.size(-1)})).contiguous();
}

void check_spec(const SegmentSpec& spec, const TokenBatch& batch) {
  const size_t n = batch.lengths.size();
  require<ConfigError>(spec.first_position.size() == n && spec.scored.size() == n,
                       "SegmentSpec: got ",
                       spec.first_position.size(),
                       " first positions and ",
                       spec.scored.size(),
                       " scored lists, expected ",
                       n,
                       " of each");
  for (size_t i = 0; i < n; ++i) {
    const int64_t first = spec.first_position[i];
    require<ConfigError>(first >= 0 && first < batch.lengths[i],
                         "SegmentSpec.first_position[",
                         i,
                         "]: got ",
                         first,
                         ", expected 0..",
                         batch.lengths[i] - 1);
    require<ConfigError>(!spec.scored[i].empty() && spec.scored[i].size() == spec.scored[0].size(),
                         "SegmentSpec.scored[",
                         i,
                         "]: got ",
                         spec.scored[i].size(),
                         " positions, expected the same positive count for every example");
    for (const int64_t position : spec.scored[i]) {
      require<ConfigError>(position >= first && position < batch.lengths[i],
                           "SegmentSpec.scored[",
                           i,
                           "]: got ",
                           position,
                           ", expected ",
                           first,
                           "..",
                           batch.lengths[i] - 1);
    }
  }
}

}  // namespace

Segment Segment::record(const Transformer& model,
                        const TokenBatch& batch,
                        const Hooks& hooks,
                        const SegmentSpec& spec) {
  check_spec(spec, batch);
  const at::NoGradGuard no_grad;
  Segment segment;
  segment.model_ = &model;
  segment.hooks_ = hooks;
  segment.first_layer_ = first_layer_after(spec.site);
  require<ConfigError>(segment.first_layer_ < model.n_layers(),
                       "segment site: got ",
                       to_string(spec.site),
                       ", expected a site before the last layer's output");
  SiteRecorder recorder{spec.site, {}, {}};
  KvCache cache;
  RunOptions options{.hooks = hooks, .cache = &cache};
  recorder.attach(options.hooks);
  const RunOutput output = model.run(batch, options);
  require<ConfigError>(recorder.after.defined(),
                       "segment site: got ",
                       to_string(spec.site),
                       ", expected a layer below ",
                       model.n_layers());
  // What happened at or before the site is in the residual; those edits are not repeated.
  std::erase_if(segment.hooks_.edits, [&](const auto& edit) { return edit.first <= spec.site; });

  const int64_t n = batch.size();
  std::vector<int64_t> row_count(static_cast<size_t>(n)), keep;
  for (size_t i = 0; i < row_count.size(); ++i) {
    const int64_t last = *std::max_element(spec.scored[i].begin(), spec.scored[i].end());
    row_count[i] = last + 1 - spec.first_position[i];
    for (const int64_t position : spec.scored[i]) keep.push_back(position - spec.first_position[i]);
  }
  const int64_t n_rows = *std::max_element(row_count.begin(), row_count.end());
  const int64_t n_prefix =
      *std::max_element(spec.first_position.begin(), spec.first_position.end());
  const at::Device device = model.device();
  const auto column = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::kLong).to(device).unsqueeze(1);
  };
  const at::Tensor first = column(spec.first_position);
  const at::Tensor offset = at::arange(n_rows, first.options()).unsqueeze(0);
  segment.rows_.position = (first + offset).clamp_max(batch.ids.size(1) - 1);
  segment.rows_.is_real = offset < column(row_count);
  segment.rows_.length = column(batch.lengths);
  segment.resid_ = take_rows(recorder.after, segment.rows_.position);
  segment.resid_before_edit_ = take_rows(recorder.before, segment.rows_.position);
  segment.keep_ = at::tensor(keep, at::kLong).to(device).view({n, -1});

  const at::Tensor prefix_position =
      at::arange(n_prefix, first.options()).unsqueeze(0).expand({n, -1});
  segment.masks_ = model.causal_masks(segment.rows_,
                                      at::cat({prefix_position, segment.rows_.position}, 1),
                                      at::cat({prefix_position < first, segment.rows_.is_real}, 1));
  segment.prefix_.keys.resize(cache.keys.size());
  segment.prefix_.values.resize(cache.values.size());
  for (size_t layer = static_cast<size_t>(segment.first_layer_); layer < cache.keys.size();
       ++layer) {
    segment.prefix_.keys[layer] = cache.keys[layer].narrow(2, 0, n_prefix).contiguous();
    segment.prefix_.values[layer] = cache.values[layer].narrow(2, 0, n_prefix).contiguous();
  }
  return segment;
}

at::Tensor Segment::run(const at::Tensor& resid) const { return run(resid, hooks_, nullptr); }

at::Tensor Segment::run(const at::Tensor& resid, const Hooks& hooks, Activations* captured,
                        int64_t stop_before_layer) const {
  check_shape("resid",
              resid,
              {{"batch", size()}, {"rows", resid_.size(1)}, {"d_model", model_->d_model()}});
  require_sites(model_->config(), hooks);
  AttentionView view{rows_, masks_, &prefix_};
  const Transformer::BlockHooks block_hooks{&hooks, captured, nullptr};
  at::Tensor x = resid;
  const int64_t last = model_->n_layers() - 1;
  const int64_t end = stop_before_layer < 0 ? model_->n_layers() : std::min(stop_before_layer, model_->n_layers());
  for (int64_t layer = first_layer_; layer < end; ++layer) {
    view.keep = layer == last ? &keep_ : nullptr;
    x = model_->block(layer, x, view, block_hooks);
  }
  return x;
}

Segment Segment::select(const at::Tensor& examples) const {
  Segment part = *this;
  const at::Tensor index = examples.to(resid_.device());
  const auto pick = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.index_select(0, index);
  };
  for (at::Tensor* tensor : {&part.resid_,
                             &part.resid_before_edit_,
                             &part.rows_.position,
                             &part.rows_.is_real,
                             &part.rows_.length,
                             &part.keep_}) {
    pick(*tensor);
  }
  part.masks_ = masks_.select(index);
  for (at::Tensor& keys : part.prefix_.keys) pick(keys);
  for (at::Tensor& values : part.prefix_.values) pick(values);
  return part;
}

}  // namespace rebound
