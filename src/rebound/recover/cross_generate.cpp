#include "rebound/recover/cross_generate.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/model/decoder.h"
#include "rebound/recover/drift_scale.h"
#include "rebound/recover/norms.h"

namespace rebound {
namespace {

using TokenLists = std::vector<std::vector<int64_t>>;

// The examples of one thread: attacked ones first, their twins behind them.
class TwinRun {
 public:
  TwinRun(const Transformer& model,
          const ClampPlan& plan,
          const std::vector<std::vector<int64_t>>& prompts,
          at::Tensor delta,
          Span projected,
          bool has_twin)
      : plan_(plan),
        delta_(std::move(delta)),
        n_(delta_.size(0)),
        projected_(projected),
        has_twin_(has_twin) {
    std::vector<int64_t> first;
    for (const auto& prompt : prompts) first.push_back(static_cast<int64_t>(prompt.size()) - 1);
    first_ = at::tensor(first, at::kLong).to(delta_.device()).unsqueeze(1);
    for (const auto& clamp : plan.clamps()) {
      bases_.push_back(projected == Span::kNone ? at::Tensor()
                                                : protected_basis(*clamp, projected));
      square_gain_.push_back(reading_gain(*clamp) * reading_gain(*clamp));
    }
    const at::Tensor zero = at::zeros({n_}, delta_.options().dtype(at::kDouble));
    shift_ = zero.clone();
    reference_ = zero.clone();
    square_scale_ = zero.clone();
    effective_ = zero.clone();
    after_ = zero.clone();
    is_alive_ = at::ones({n_}, delta_.options().dtype(at::kBool));
    std::vector<std::vector<int64_t>> both = prompts;
    if (has_twin_) both.insert(both.end(), prompts.begin(), prompts.end());
    batch_ = TokenBatch::from(both);
    model_ = &model;
  }

  AttackedAnswers finish(const AttackedAnswerOptions& options) {
    AttackedAnswers answers;
    answers.tokens.resize(static_cast<size_t>(n_));
    Decoder decoder(*model_, batch_, hooks());
    for (int64_t step = 0; step < options.max_new_tokens; ++step) {
      const at::Tensor chosen = decoder.logits().narrow(0, 0, n_).argmax(-1).cpu();
      keep_tokens(chosen, options, decoder, answers);
      if (step + 1 == options.max_new_tokens || !is_alive_.any().item<bool>()) break;
      decoder.step(has_twin_ ? at::cat({chosen, chosen}) : chosen);
    }
    add_figures(answers);
    return answers;
  }

  // Those of `expected` that greedy decoding gives, found by one run over all of their tokens, with
  // the figures that decoding would have; another answer's tokens are left empty.
  AttackedAnswers finish_as(const TokenLists& prompts,
                            const TokenLists& expected,
                            const AttackedAnswerOptions& options) {
    TokenLists fed = prompts;
    for (size_t i = 0; i < fed.size(); ++i) {
      const auto last = expected[i].end() - (is_full(expected[i], options) ? 1 : 0);
      fed[i].insert(fed[i].end(), expected[i].begin(), last);
    }
    TokenLists both = fed;
    both.insert(both.end(), fed.begin(), fed.end());
    const at::Tensor resid =
        model_->run(TokenBatch::from(both), {.hooks = hooks()}).resid.narrow(0, 0, n_);
    AttackedAnswers answers;
    for (size_t i = 0; i < fed.size(); ++i) {
      const auto first = static_cast<int64_t>(prompts[i].size()) - 1;
      const at::Tensor rows =
          resid[static_cast<int64_t>(i)].slice(0, first, static_cast<int64_t>(fed[i].size()));
      const at::Tensor chosen = model_->logits(rows).argmax(-1).cpu();
      answers.tokens.push_back(is_chosen(expected[i], chosen, options) ? expected[i]
                                                                       : std::vector<int64_t>());
    }
    add_figures(answers);
    return answers;
  }

 private:
  static bool is_full(const std::vector<int64_t>& answer, const AttackedAnswerOptions& options) {
    return static_cast<int64_t>(answer.size()) == options.max_new_tokens;
  }

  // Whether the likeliest tokens behind each position are the answer's, and then the end.
  static bool is_chosen(const std::vector<int64_t>& answer,
                        const at::Tensor& chosen,
                        const AttackedAnswerOptions& options) {
    const int64_t* tokens = chosen.data_ptr<int64_t>();
    return std::equal(answer.begin(), answer.end(), tokens) &&
           (is_full(answer, options) || options.stop_tokens.count(tokens[answer.size()]));
  }

  Hooks hooks() {
    Hooks hooks;
    for (size_t i = 0; i < plan_.size(); ++i) {
      hooks.edits[plan_.clamps()[i]->site()] =
          [this, i](const at::Tensor& value, const Rows& rows) { return edit(i, value, rows); };
    }
    return hooks;
  }

  void add_figures(AttackedAnswers& answers) const {
    if (!has_twin_) {
      const double not_measured = std::numeric_limits<double>::quiet_NaN();
      answers.drift_rel = answers.norm = answers.norm_after =
          std::vector<double>(static_cast<size_t>(n_), not_measured);
      return;
    }
    const at::Tensor drift =
        relative_or_nan(shift_.sqrt(), reference_.sqrt(), square_scale_.sqrt());
    for (int64_t i = 0; i < n_; ++i) {
      answers.drift_rel.push_back(drift[i].item<double>());
      answers.norm.push_back(std::sqrt(effective_[i].item<double>()));
      answers.norm_after.push_back(std::sqrt(after_[i].item<double>()));
    }
  }

  void keep_tokens(const at::Tensor& chosen,
                   const AttackedAnswerOptions& options,
                   const Decoder& decoder,
                   AttackedAnswers& answers) {
    const int64_t most = model_->config().max_position_embeddings;
    for (int64_t i = 0; i < n_; ++i) {
      if (!is_alive_[i].item<bool>()) continue;
      const int64_t token = chosen[i].item<int64_t>();
      if (options.stop_tokens.count(token) || decoder.length()[i].item<int64_t>() >= most) {
        is_alive_[i] = false;
        continue;
      }
      answers.tokens[static_cast<size_t>(i)].push_back(token);
    }
  }

  at::Tensor edit(size_t i, const at::Tensor& value, const Rows& rows) {
    const Clamp& clamp = *plan_.clamps()[i];
    const at::Tensor clamped = clamp.apply(value, rows);
    const at::Tensor attacked = clamped.narrow(0, 0, n_);
    const at::Tensor index = rows.position.narrow(0, 0, n_) - first_;  // [n, r]
    const at::Tensor is_protected = (index >= 0) & rows.is_real.narrow(0, 0, n_);
    const at::Tensor is_perturbed = is_protected & (index < delta_.size(2));
    const at::Tensor safe =
        index.clamp(0, delta_.size(2) - 1).unsqueeze(-1).expand({-1, -1, delta_.size(3)});
    const at::Tensor mine =
        delta_.select(1, static_cast<int64_t>(i)).gather(1, safe) * is_perturbed.unsqueeze(-1);
    at::Tensor moved = attacked + mine;
    if (!has_twin_) return moved;
    const at::Tensor twin = clamped.narrow(0, n_, n_);
    if (projected_ != Span::kNone) {
      moved =
          at::where(is_protected.unsqueeze(-1), twin + project_out(moved - twin, bases_[i]), moved);
    }
    const at::Tensor counted = is_protected & is_alive_.unsqueeze(1);
    const auto total = [&](const at::Tensor& x, const at::Tensor& mask) {
      return (x.square().sum(-1) * mask).sum(1).to(at::kDouble);
    };
    shift_ += total(clamp.read(moved) - clamp.read(twin), counted);
    const at::Tensor reference = total(clamp.read(twin), counted);
    reference_ += reference;
    square_scale_ += at::maximum(reference, square_gain_[i] * total(twin, counted));
    effective_ += total(moved - attacked, counted);
    after_ += total(moved - attacked, counted & ~is_perturbed);
    return at::cat({moved, twin});
  }

  const ClampPlan& plan_;
  at::Tensor delta_;  // [n, sites, rows, d_model]
  int64_t n_;
  Span projected_;
  bool has_twin_;
  const Transformer* model_ = nullptr;
  TokenBatch batch_;
  at::Tensor first_, is_alive_;                                      // [n, 1], [n]
  at::Tensor shift_, reference_, square_scale_, effective_, after_;  // [n] float64, squared norms
  std::vector<at::Tensor> bases_;
  std::vector<double> square_gain_;  // of each site's readings
};

struct GenerationInput {
  const Transformer& model;
  const ClampPlan& plan;
  Span projected;
};

// The examples shared out among the threads. `expected`: answers to check (finish_as); null: give
// them.
AttackedAnswers generate_parts(const GenerationInput& in,
                               const TokenLists& prompts,
                               const at::Tensor& delta,
                               const AttackedAnswerOptions& options,
                               const TokenLists* expected = nullptr) {
  const int64_t n = delta.size(0), count = std::min(worker_count(), n);
  std::vector<AttackedAnswers> parts(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const at::NoGradGuard no_grad_here;
    const int64_t first = n * i / count, end = n * (i + 1) / count;
    const TokenLists mine(prompts.begin() + first, prompts.begin() + end);
    TwinRun run(
        in.model, in.plan, mine, delta.slice(0, first, end), in.projected, options.has_twin);
    AttackedAnswers& part = parts[static_cast<size_t>(i)];
    if (expected == nullptr) {
      part = run.finish(options);
    } else {
      part = run.finish_as(mine, {expected->begin() + first, expected->begin() + end}, options);
    }
  });
  AttackedAnswers all;
  for (const AttackedAnswers& part : parts) {
    all.tokens.insert(all.tokens.end(), part.tokens.begin(), part.tokens.end());
    all.drift_rel.insert(all.drift_rel.end(), part.drift_rel.begin(), part.drift_rel.end());
    all.norm.insert(all.norm.end(), part.norm.begin(), part.norm.end());
    all.norm_after.insert(all.norm_after.end(), part.norm_after.begin(), part.norm_after.end());
  }
  all.scale.assign(static_cast<size_t>(n), 1.0);
  return all;
}

// The answers of `answers` at these places anew, with their scales. Mostly they stay what they
// were, which one run over their tokens shows; the others are given again.
void answer_again(const GenerationInput& in,
                  const TokenLists& prompts,
                  const at::Tensor& delta,
                  const AttackedAnswerOptions& options,
                  const std::vector<int64_t>& places,
                  bool is_check,
                  AttackedAnswers& answers) {
  if (places.empty()) return;
  TokenLists theirs, expected;
  std::vector<float> factors;
  for (const int64_t place : places) {
    const auto i = static_cast<size_t>(place);
    theirs.push_back(prompts[i]);
    expected.push_back(answers.tokens[i]);
    factors.push_back(static_cast<float>(answers.scale[i]));
  }
  const at::Tensor mine = delta.index_select(0, at::tensor(places, at::kLong).to(delta.device()));
  const at::Tensor factor = per_example(at::tensor(factors).to(delta.device()), mine);
  const AttackedAnswers again =
      generate_parts(in, theirs, mine * factor, options, is_check ? &expected : nullptr);
  std::vector<int64_t> others;
  for (size_t k = 0; k < places.size(); ++k) {
    const auto i = static_cast<size_t>(places[k]);
    if (is_check && (again.tokens[k].empty() || again.tokens[k] != expected[k])) {
      others.push_back(places[k]);
      continue;
    }
    answers.tokens[i] = again.tokens[k];
    answers.drift_rel[i] = again.drift_rel[k];
    answers.norm[i] = again.norm[k];
    answers.norm_after[i] = again.norm_after[k];
  }
  answer_again(in, prompts, delta, options, others, /*is_check=*/false, answers);
}

// Answers whose perturbation is over the budget, once more with less of delta, until none is. The
// norm is nearly proportional to delta while the tokens stay the same.
void shrink_to_budget(const GenerationInput& in,
                      const TokenLists& prompts,
                      const at::Tensor& delta,
                      const AttackedAnswerOptions& options,
                      AttackedAnswers& answers) {
  constexpr int kMostRounds = 8;
  constexpr double kAim = 1 - 1e-5, kLaterAim = 1 - 5e-3;  // below the budget
  const auto longest = static_cast<size_t>(in.model.config().max_position_embeddings);
  for (int round = 0; round < kMostRounds; ++round) {
    std::vector<int64_t> over, at_the_end;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (answers.is_within(i, options.budget) || !std::isfinite(answers.norm[i])) continue;
      answers.scale[i] *= (round == 0 ? kAim : kLaterAim) * options.budget / answers.norm[i];
      const bool has_room = prompts[i].size() + answers.tokens[i].size() < longest;
      (has_room ? over : at_the_end).push_back(static_cast<int64_t>(i));
    }
    if (over.empty() && at_the_end.empty()) return;
    answer_again(in, prompts, delta, options, over, /*is_check=*/true, answers);
    answer_again(in, prompts, delta, options, at_the_end, /*is_check=*/false, answers);
  }
}

}  // namespace

AttackedAnswers generate_attacked(const Transformer& model,
                                  const ClampPlan& plan,
                                  const std::vector<std::vector<int64_t>>& prompts,
                                  const at::Tensor& delta,
                                  Span projected,
                                  const AttackedAnswerOptions& options) {
  require<ConfigError>(options.has_twin || projected == Span::kNone,
                       "answers under attack: got a projection without a defended twin, expected "
                       "the twin (it gives h_def)");
  const at::NoGradGuard no_grad;
  const GenerationInput in{model, plan, projected};
  AttackedAnswers answers = generate_parts(in, prompts, delta, options);
  if (options.budget > 0 && projected != Span::kNone) {
    shrink_to_budget(in, prompts, delta, options, answers);
  }
  return answers;
}

}  // namespace rebound
