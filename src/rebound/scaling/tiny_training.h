// Pretraining of a TinyLlama: each context once, in order.
//
// AdamW (beta 0.9, 0.99; decay on matrices alone), gradient clipped by its norm. The learning rate
// rises linearly over the warm-up and falls linearly to zero at the end of this run: the loss of a
// run whose rate has not yet fallen is no loss of its compute (Hoffmann et al. 2022, arXiv
// 2203.15556).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "rebound/scaling/tiny_llama.h"

namespace rebound {

struct TinyTrainOptions {
  int64_t steps = 0;
  int64_t batch_contexts = 8;
  double lr = 3e-3;               // peak
  double warmup_fraction = 0.05;  // of the steps
  double weight_decay = 0.1;
  double clip_norm = 1;

  void validate() const;
  double learning_rate(int64_t step) const;  // of steps 0 .. steps - 1
};

struct TinyTraining {
  double first_loss = 0;  // of the first step's batch
  double last_loss = 0;   // mean over the last twentieth of the steps
};

// `contexts` [n, pos] of any integer type; ConfigError when they are fewer than steps *
// batch_contexts, NumericError when the loss stops being a number. `title` is for the progress
// line.
TinyTraining train_tiny_llama(TinyLlama& model,
                              const at::Tensor& contexts,
                              const TinyTrainOptions& options,
                              const std::string& title = "training");

}  // namespace rebound
