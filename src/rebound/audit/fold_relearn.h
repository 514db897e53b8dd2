// The relearning attacker, a comparison beside the recovery rows: who may change weights needs no
// perturbation. A few steps of fine-tuning on some of the facts, tested on others, the clamp live
// in both.
//
//   W  <-  W + B A      rank r, of the attention output and the MLP output of every layer
//   minimise  mean over prompts of -log p(answer's first token | prompt, clamp)      Adam, whole
//   batch
//
// A is random, B starts at 0: with no step the model is the one that came in (LoRA, Hu et al. 2021;
// relearning as a test of unlearning: Lynch et al. 2024). The other weights stay; the SAE and the
// clamp do not change. There is no norm to compare with a perturbation's.
#pragma once

#include <vector>

#include "rebound/audit/rows.h"

namespace rebound {

struct RelearnOptions {
  int64_t steps = 10;
  int64_t rank = 8;
  double lr = 2e-3;
  uint64_t seed = 0;

  void validate() const;  // ConfigError
};

struct Relearned {
  Transformer model;
  std::vector<double> loss;  // before each step, and after the last; nats
};

// model: float32. `hooks` are live while training; they are called from several threads.
Relearned relearn(const Transformer& model,
                  const ScoredPrompts& prompts,
                  const Hooks& hooks,
                  const RelearnOptions& options = {});

// What is trained on for one fold, taken evenly: as many as half of all facts to forget, from the
// folds that the fold is tested apart from; as many of the facts to retain.
enum class RelearnOn { kForget, kRetain };
std::string to_string(RelearnOn what);  // "forget", "retain"
std::vector<const Prompt*> relearning_prompts(const Subject& subject, int64_t fold, RelearnOn what);

// For facts and questions two rows, named relearn/lora8x10/forget and .../retain: the second asks
// whether any fine-tuning undoes the clamp. No rows for other behaviours, or without controls.
std::vector<Row> relearn_rows(const AuditSpec& spec);

}  // namespace rebound
