#include "rebound/model/prefix_forest.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/model/family_sites.h"

namespace rebound {

PrefixForest PrefixForest::from(const std::vector<std::vector<int64_t>>& sequences) {
  require<DataError>(!sequences.empty(), "prefix forest: got no sequence, expected at least one");
  PrefixForest forest;
  std::map<std::pair<int64_t, int64_t>, int64_t> child;  // (parent, token) -> node
  for (const std::vector<int64_t>& sequence : sequences) {
    require<DataError>(!sequence.empty(), "prefix forest: got an empty sequence, expected tokens");
    int64_t parent = -1;
    std::vector<int64_t> path;
    for (const int64_t token : sequence) {
      const auto [place, is_new] = child.emplace(std::pair(parent, token), forest.n_nodes());
      if (is_new) {
        forest.ids_.push_back(token);
        forest.parent_.push_back(parent);
        forest.depth_.push_back(static_cast<int64_t>(path.size()));
      }
      parent = place->second;
      path.push_back(parent);
    }
    forest.paths_.push_back(std::move(path));
  }
  return forest;
}

at::Tensor PrefixForest::run(const Transformer& model, const Hooks& hooks) const {
  const int64_t n = n_nodes();
  const int64_t deepest = *std::max_element(depth_.begin(), depth_.end());
  require<DataError>(deepest < model.config().max_position_embeddings,
                     "prefix forest: got ",
                     deepest + 1,
                     " tokens, expected at most ",
                     model.config().position_limit());
  at::Tensor mask = at::full({n, n}, -std::numeric_limits<float>::infinity());
  float* cells = mask.data_ptr<float>();
  for (int64_t node = 0; node < n; ++node) {
    for (int64_t at = node; at >= 0; at = parent_[static_cast<size_t>(at)])
      cells[node * n + at] = 0;
  }
  AttentionView view;
  const at::Device device = model.device();
  const int64_t most = model.config().max_position_embeddings;
  view.rows = {at::tensor(depth_, at::kLong).unsqueeze(0).to(device),
               at::ones({1, n}, at::TensorOptions(device).dtype(at::kBool)),
               at::full({1, 1}, most + 1, at::TensorOptions(device).dtype(at::kLong))};
  view.masks.all = mask.view({1, 1, 1, n, n}).to(device);
  if (model.config().has_sliding_layers()) {
    const at::Tensor depth = view.rows.position[0];
    const at::Tensor is_far =
        depth.unsqueeze(0) <= depth.unsqueeze(1) - model.config().sliding_window;
    view.masks.window = view.masks.all.masked_fill(is_far, -std::numeric_limits<float>::infinity());
  }
  require_sites(model.config(), hooks);
  at::Tensor resid = model.with_positions(model.embed(at::tensor(ids_, at::kLong).unsqueeze(0)),
                                          view.rows.position);
  for (int64_t layer = 0; layer < model.n_layers(); ++layer) {
    resid = model.block(layer, resid, view, {&hooks, nullptr, nullptr});
  }
  return resid.squeeze(0);
}

}  // namespace rebound
