// Many token sequences in one run, each shared prefix computed once.
//
//   const PrefixForest forest = PrefixForest::from({{7, 1, 2}, {7, 1, 3}});  // 4 nodes, not 6
//   const at::Tensor resid = forest.run(model, hooks);  // [nodes, d_model]
//   resid[forest.node(1, 2)];                           // of token 3 after 7, 1
//
// Nodes are tokens of a trie, in an order in which parents come first; a node's position is its
// depth, and it attends to its ancestors and itself. So a sequence gets what it gets alone.
// Sequences that begin differently are trees of their own: a batch is a forest. Attention is
// quadratic in the nodes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rebound/model/transformer.h"

namespace rebound {

class PrefixForest {
 public:
  // Throws DataError for no sequence or an empty one.
  static PrefixForest from(const std::vector<std::vector<int64_t>>& sequences);

  int64_t n_nodes() const { return static_cast<int64_t>(ids_.size()); }
  // The node of token `index` of a sequence.
  int64_t node(size_t sequence, size_t index) const { return paths_[sequence][index]; }

  // Residual after the last layer, [nodes, d_model]. Edits see value [1, nodes, d_model] with true
  // positions; Rows.length is beyond every position, so edits of the last position alone are not
  // for it.
  at::Tensor run(const Transformer& model, const Hooks& hooks = {}) const;

 private:
  std::vector<int64_t> ids_, parent_, depth_;  // [nodes]; parent -1: a root
  std::vector<std::vector<int64_t>> paths_;    // [sequence][token]
};

}  // namespace rebound
