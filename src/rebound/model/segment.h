// Runs only the part of the model that a perturbation can change.
//
// A perturbation at `blocks.L.hook_resid_pre` (or resid_post of L-1) on positions >= p changes
// nothing below layer L and nothing before p. Keys and values of those come from the cache of the
// run that is perturbed (the defended one); its residual at the site is kept; only scored
// positions leave the last layer. A call costs the rows from p on, layers L..n_layers-1.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "rebound/model/transformer.h"

namespace rebound {

struct SegmentSpec {
  Site site;                            // blocks.L.hook_resid_pre, or hook_resid_post
  std::vector<int64_t> first_position;  // [batch] first perturbed position
  // Scored positions of each example, all with the same count. [batch, n_scored]
  std::vector<std::vector<int64_t>> scored;
};

class Segment {
 public:
  // One run of the model under `hooks`, remembered from the site on.
  static Segment record(const Transformer& model,
                        const TokenBatch& batch,
                        const Hooks& hooks,
                        const SegmentSpec& spec);

  // The site's value in the recorded run, after edits at the site; rows of an example start at its
  // first perturbed position and are padded on the right. [batch, rows, d_model]
  const at::Tensor& resid() const { return resid_; }
  // The same before any edit at the site, for perturbations that the defence sees.
  const at::Tensor& resid_before_edit() const { return resid_before_edit_; }
  const Rows& rows() const { return rows_; }
  int64_t size() const { return resid_.size(0); }

  // Runs from the site with another residual. Edits of the recorded run at later sites stay live,
  // those at the site itself are not applied again. Returns the residual after the last layer at
  // the scored positions, [batch, n_scored, d_model]; gradients flow to `resid`.
  at::Tensor run(const at::Tensor& resid) const;

  // The same with other edits at later sites in place of the recorded ones. With
  // `stop_before_layer`
  // >= 0 it ends there, and returns the residual of all rows.
  at::Tensor run(const at::Tensor& resid,
                 const Hooks& hooks,
                 Activations* captured,
                 int64_t stop_before_layer = -1) const;

  // The examples `index` [n] int64 alone: for dropping finished examples, or (with repeats) for
  // several tries of one example in one batch.
  Segment select(const at::Tensor& index) const;

 private:
  const Transformer* model_ = nullptr;
  Hooks hooks_;
  int64_t first_layer_ = 0;
  at::Tensor resid_, resid_before_edit_;
  Rows rows_;
  AttentionMasks masks_;  // [batch, 1, 1, rows, prefix + rows]
  KvCache prefix_;        // [batch, n_kv_heads, prefix, d_head], layers >= first_layer_
  at::Tensor keep_;       // [batch, n_scored] int64, rows
};

}  // namespace rebound
