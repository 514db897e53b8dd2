// Recovery problems for tests: one on a planted toy, one on a random transformer with prompts of
// different lengths and several perturbed rows.
#pragma once

#include <ATen/Parallel.h>
#include <torch/torch.h>

#include <memory>
#include <vector>

#include "rebound/base/parallel.h"
#include "rebound/behaviour/toy.h"
#include "rebound/recover/measure.h"
#include "rebound/recover/solver.h"
#include "support/tiny_model.h"

namespace rebound {

// These models are too small for threads inside a product: on a busy machine the threads would
// mostly wait for each other. A test that is about threads sets their number itself.
inline const bool kIsSingleThreaded = [] {
  at::set_num_threads(1);
  set_blas_threads(1);
  return true;
}();

// Everything that a Problem points to.
struct Setting {
  std::unique_ptr<Transformer> model;
  std::unique_ptr<Defence> defence;
  TokenBatch tokens;
  std::vector<int64_t> first_position;
  at::Tensor h_base;  // [batch, rows, d_model]
  Problem problem;

  Constraint constraint(const std::string& rung) const {
    return Constraint(rung_of(rung), defence->sae(), defence->features());
  }
  // logit[target] - logit[rival] is read_out . h / rms(h) where the final gain is 1. [d_model]
  at::Tensor read_out(int64_t i) const {
    const at::Tensor& head = model->weights().head;
    return head[problem.contests.target[i].item<int64_t>()] -
           head[problem.contests.rival[i].item<int64_t>()];
  }
};

struct Answers {
  std::vector<int64_t> target, rival;
};

// Perturbs every position from `first_position` on; the cap is `budget` for all.
inline void fill_problem(Setting& s, const Answers& answers, double budget) {
  const at::NoGradGuard no_grad;
  SegmentSpec spec{s.defence->site(), s.first_position, {}};
  for (const int64_t length : s.tokens.lengths) spec.scored.push_back({length - 1});
  Problem& p = s.problem;
  p.model = s.model.get();
  p.defence = s.defence.get();
  p.segment = Segment::record(*s.model, s.tokens, s.defence->hooks(), spec);
  const Segment base = Segment::record(*s.model, s.tokens, {}, spec);
  s.h_base = base.resid();
  p.base_log_probs = at::log_softmax(s.model->logits(base.run(base.resid()).squeeze(1)), -1);
  p.contests = {at::tensor(answers.target, at::kLong),
                at::tensor(answers.rival, at::kLong),
                at::zeros({s.tokens.size()})};
  p.perturbed = p.segment.rows().is_real;
  p.budget = at::full({s.tokens.size()}, budget);
}

// The first `n` test prompts of a toy, perturbed at the answer position.
inline Setting toy_setting(ToyKind kind, int64_t n = 8) {
  Toy toy = make_toy(kind);
  Setting s;
  s.model = std::make_unique<Transformer>(std::move(toy.model));
  s.defence = std::make_unique<Defence>(
      std::make_shared<const Sae>(std::move(toy.sae)),
      std::vector<FeatureEdit>{{.features = toy.features, .value = toy.clamp_value}},
      1e9);
  std::vector<std::vector<int64_t>> ids;
  Answers answers;
  for (int64_t i = 0; i < n; ++i) {
    const Prompt& prompt = toy.prompts.test[static_cast<size_t>(i)];
    ids.push_back(prompt.ids);
    s.first_position.push_back(static_cast<int64_t>(prompt.ids.size()) - 1);
    answers.target.push_back(prompt.correct_id);
    answers.rival.push_back(prompt.wrong_id);
  }
  s.tokens = TokenBatch::from(ids);
  fill_problem(s, answers, toy.budget);
  return s;
}

inline std::shared_ptr<const Sae> tiny_pointwise_sae(const Transformer& model) {
  constexpr int64_t kFeatures = 40;
  Rng rng({5});
  const int64_t d = model.d_model();
  SaeConfig config{.kind = SaeKind::kJumpRelu, .d_in = d, .d_sae = kFeatures};
  config.hook_name = "blocks.2.hook_resid_pre";
  return std::make_shared<const Sae>(config,
                                     SaeWeights{random_tensor(rng, {d, kFeatures}, 0.3),
                                                random_tensor(rng, {kFeatures}, 0.1),
                                                random_tensor(rng, {kFeatures, d}, 0.3),
                                                random_tensor(rng, {d}, 0.1),
                                                random_tensor(rng, {kFeatures}, 0.1).abs()});
}

// `n` random prompts of 5..8 tokens, perturbed from one of the last three positions on.
inline Setting tiny_setting(int64_t n = 8, double budget = 2) {
  Setting s;
  s.model = std::make_unique<Transformer>(tiny_transformer());
  s.defence =
      std::make_unique<Defence>(tiny_pointwise_sae(*s.model),
                                std::vector<FeatureEdit>{{.features = {3, 8, 21, 30}, .value = -3}},
                                1e9);
  Rng rng({9});
  std::vector<std::vector<int64_t>> ids;
  Answers answers;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t length = 5 + i % 4;
    ids.push_back(random_ids(rng, length));
    s.first_position.push_back(length - 1 - i % 3);
    answers.target.push_back(i);
    answers.rival.push_back(i + 20);
  }
  s.tokens = TokenBatch::from(ids);
  fill_problem(s, answers, budget);
  return s;
}

// Replaces every score by gain[i] * u . (sum over rows of delta): target and rival are one token.
inline void make_linear(Setting& s, const at::Tensor& u, const at::Tensor& gain) {
  s.problem.contests.rival = s.problem.contests.target;
  s.problem.leak_direction = u;
  s.problem.leak_gain = gain;
}

inline at::Tensor random_delta(const Problem& problem, double scale, uint64_t seed = 1) {
  Rng rng({seed, 64});
  return random_tensor(rng, problem.segment.resid().sizes().vec(), scale) *
         problem.perturbed.unsqueeze(-1);
}

inline at::Tensor scores_of(const Problem& problem, const at::Tensor& delta) {
  const at::NoGradGuard no_grad;
  return problem.evaluate(problem.perturbed_value(delta), delta).score;
}

inline at::Tensor floats(const std::vector<float>& values) { return at::tensor(values); }

inline double norm_of(const at::Tensor& tensor) { return tensor.norm().item<double>(); }

}  // namespace rebound
