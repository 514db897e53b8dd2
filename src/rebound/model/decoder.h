// One new position at a time for a batch of prompts of different lengths, with a key/value cache.
//
// The cache holds the keys of the padded prompts (padding masked), then one column a step; the
// positions of an example go on at its own length, so a batch gives what its examples give alone.
// An example of max_position_embeddings tokens is full: a step leaves its residual as it is, and
// its row is padding to hooks (is_real false, the last position again).
#pragma once

#include <ATen/core/Tensor.h>

#include "rebound/model/transformer.h"

namespace rebound {

class Decoder {
 public:
  // Runs the prompts under `hooks`, which stay live on every new token: an edit sees its value
  // [batch, 1, d_model] and Rows with the true position [batch, 1] and length = position + 1.
  // hooks.capture is ignored. No gradients. `model` must outlive the decoder. Throws DataError for
  // a prompt that is too long or a token that the model does not have.
  Decoder(const Transformer& model, const TokenBatch& prompts, Hooks hooks = {});

  int64_t size() const { return resid_.size(0); }
  // Tokens of each example so far, [batch, 1] int64.
  const at::Tensor& length() const { return length_; }
  // After the last layer at each example's last position, before the final norm. [batch, d_model]
  const at::Tensor& resid() const { return resid_; }
  at::Tensor logits() const;  // [batch, d_vocab] float32, the head's cost at every call

  // Appends one token to every example, [batch] int64. Throws DataError for a token that the model
  // does not have. After an exception of an edit the decoder cannot go on.
  void step(const at::Tensor& tokens);

  // Keeps the examples `index` [n] int64 alone; hooks see the smaller batch from then on.
  void select(const at::Tensor& index);

 private:
  AttentionMasks masks_of(const Rows& rows) const;

  const Transformer* model_;
  Hooks hooks_;
  KvBuffer buffer_;
  at::Tensor prompt_mask_;   // [batch, 1, 1, 1, prompt] float32, -inf on padding
  at::Tensor key_position_;  // [batch, prompt + steps] int64, of models with sliding layers only
  int64_t n_steps_ = 0;
  at::Tensor length_, resid_;
};

}  // namespace rebound
