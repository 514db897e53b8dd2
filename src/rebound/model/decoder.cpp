#include "rebound/model/decoder.h"

#include <torch/torch.h>

#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"
#include "rebound/model/device.h"

namespace rebound {

Decoder::Decoder(const Transformer& model, const TokenBatch& prompts, Hooks hooks)
    : model_(&model), hooks_(std::move(hooks)) {
  const at::NoGradGuard no_grad;
  hooks_.capture.clear();
  KvCache cache;
  const at::Tensor resid = model.run(prompts, {.hooks = hooks_, .cache = &cache}).resid;
  buffer_ = KvBuffer(std::move(cache));
  const Rows rows = on_device(prompts, model.device()).rows();
  length_ = rows.length;
  const Rows next{length_, at::ones_like(length_, at::kBool), length_ + 1};
  prompt_mask_ = model.causal_masks(next, rows.position, rows.is_real).all;
  if (model.config().has_sliding_layers()) key_position_ = rows.position;
  const at::Tensor last = (length_ - 1).unsqueeze(-1).expand({-1, 1, model.d_model()});
  resid_ = resid.gather(1, last).squeeze(1);
}

at::Tensor Decoder::logits() const {
  const at::NoGradGuard no_grad;
  return model_->logits(resid_);
}

// A new token sees all but padding; in sliding layers, what is within the window.
AttentionMasks Decoder::masks_of(const Rows& rows) const {
  AttentionMasks masks{at::constant_pad_nd(prompt_mask_, {0, n_steps_}, 0), {}};
  if (!key_position_.defined()) return masks;
  const at::Tensor is_far = key_position_ <= rows.position - model_->config().sliding_window;
  masks.window = masks.all.masked_fill(is_far.unsqueeze(1).unsqueeze(1).unsqueeze(1),
                                       -std::numeric_limits<float>::infinity());
  return masks;
}

void Decoder::step(const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  check_shape("Decoder.step tokens", tokens, {{"batch", size()}});
  const ModelConfig& config = model_->config();
  const int64_t smallest = tokens.min().item<int64_t>(), largest = tokens.max().item<int64_t>();
  require<DataError>(smallest >= 0 && largest < config.vocab_size,
                     "Decoder.step token id: got ",
                     smallest < 0 ? smallest : largest,
                     ", expected 0..",
                     config.vocab_size - 1);
  const int64_t most = config.max_position_embeddings;
  const at::Tensor has_room = length_ < most;
  const Rows rows{length_.clamp_max(most - 1), has_room, (length_ + 1).clamp_max(most)};
  ++n_steps_;
  if (key_position_.defined()) key_position_ = at::cat({key_position_, rows.position}, 1);
  const AttentionView view{.rows = rows, .masks = masks_of(rows), .buffer = &buffer_};
  const Transformer::BlockHooks block_hooks{.hooks = &hooks_};
  at::Tensor resid = model_->with_positions(model_->embed(tokens.unsqueeze(1)), rows.position);
  for (int64_t layer = 0; layer < model_->n_layers(); ++layer) {
    resid = model_->block(layer, resid, view, block_hooks);
  }
  resid_ = at::where(has_room, resid.squeeze(1), resid_);
  length_ = rows.length;
}

void Decoder::select(const at::Tensor& examples) {
  const at::Tensor index = examples.to(model_->device());
  buffer_.select(index);
  for (at::Tensor* tensor : {&prompt_mask_, &key_position_, &length_, &resid_}) {
    if (tensor->defined()) *tensor = tensor->index_select(0, index);
  }
}

}  // namespace rebound
