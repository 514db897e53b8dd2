#include "rebound/audit/answer_suffix.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "rebound/audit/answer_judge.h"
#include "rebound/audit/answer_suffix_prompt.h"
#include "rebound/audit/clock.h"
#include "rebound/audit/result_figures.h"
#include "rebound/audit/summary.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/parallel.h"
#include "rebound/base/progress.h"
#include "rebound/base/rng.h"
#include "rebound/model/generate_batch.h"
#include "rebound/recover/input_attack.h"

namespace rebound {
namespace {

using Tokens = std::vector<int64_t>;

constexpr size_t kHashDigits = 16;
constexpr double kSecondsWorthSaying = 60;

Tokens joined(std::initializer_list<Tokens> parts) {
  Tokens all;
  for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

// A site's protected readings after the activation on the rows that predict `answer`, and how many
// suffix positions the clamps take for sinks. One plain run; `hooks` hold the clamps.
struct ActiveReadings {
  std::vector<at::Tensor> sites;  // [rows, n]
  int64_t n_sinks = 0;
};

ActiveReadings read_active(const Transformer& model,
                           const ClampPlan& plan,
                           Hooks hooks,
                           const Tokens& prompt,
                           const Tokens& answer,
                           const SuffixedPrompt* suffixed,
                           const at::Tensor& suffix) {
  ActiveReadings seen;
  const auto n_rows = static_cast<int64_t>(answer.size());
  for (const auto& clamp : plan.clamps()) {
    const SiteEdit inner = hooks.edits.at(clamp->site());
    const double sink_norm =
        clamp->to_json().value("sink_norm", std::numeric_limits<double>::infinity());
    hooks.edits[clamp->site()] = [=, &seen](const at::Tensor& value, const Rows& rows) {
      const at::Tensor clamped = inner(value, rows);
      const int64_t n = value.size(1);
      seen.sites.push_back(clamp->read_active(clamped.slice(1, n - n_rows))[0]);
      if (suffixed != nullptr) {
        const auto first = static_cast<int64_t>(suffixed->before.size());
        const bool is_input = clamp->site() == Site{0, SiteKind::kResidPre};
        const at::Tensor reached =
            is_input ? suffix : value[0].slice(0, first, first + suffix.size(0));
        seen.n_sinks += (reached.norm(2, -1) > sink_norm).sum().item<int64_t>();
      }
      return clamped;
    };
  }
  model.run(TokenBatch::from({joined({prompt, {answer.begin(), answer.end() - 1}})}),
            {.hooks = hooks});
  return seen;
}

double sum_of_squares(const std::vector<at::Tensor>& values) {
  double sum = 0;
  for (const at::Tensor& value : values) sum += value.square().sum().item<double>();
  return sum;
}

std::vector<at::Tensor> differences(const std::vector<at::Tensor>& a,
                                    const std::vector<at::Tensor>& b) {
  std::vector<at::Tensor> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] - b[i]);
  return result;
}

class SuffixRow {
 public:
  SuffixRow(const AnswerRowSpec& row, const AnswerBatch& batch) : row_(row), batch_(batch) {
    size_t n = batch.flips.size();
    if (row.suffix.prompts > 0) {
      const int64_t left = std::max<int64_t>(0, row.suffix.prompts - batch.first_flip);
      n = std::min(n, static_cast<size_t>(left));
    }
    for (size_t i = 0; i < n; ++i) prompts_.push_back(prompt_of(batch.flips[i]));
  }

  std::vector<StoredResult> run() {
    if (prompts_.empty()) return {};
    search();
    const std::vector<Tokens> answers = answer();
    std::vector<StoredResult> results(prompts_.size());
    for_each([&](size_t i) {
      const SuffixAttack& attack = attacks_[i];
      StoredResult& result = results[i] = judge(batch_, i, answers[i], figures(i, answers[i]));
      result.score = attack.score;
      result.steps = attack.steps;
      result.seconds = search_seconds_ / static_cast<double>(prompts_.size());
      result.termination = to_string(attack.termination);
    });
    return results;
  }

 private:
  const AnswerSubject& subject() const { return *batch_.subject; }
  const Transformer& exact() const { return *subject().model; }
  const Request& request(size_t i) const { return batch_.flips[i].posed->request; }

  void for_each(const std::function<void(size_t)>& body) const {
    run_parts(static_cast<int64_t>(prompts_.size()),
              [&](int64_t i) { body(static_cast<size_t>(i)); });
  }

  SuffixedPrompt prompt_of(const AnswerFlip& flip) const {
    const Request& request = flip.posed->request;
    const SplitPrompt split = with_context(concat("request ", request.id), [&] {
      return split_at_content_end(subject(), request.text);
    });
    const int64_t n = row_.suffix.tokens;
    const Tokens start = row_.is_gcg() ? hard_suffix_start(subject(), request, split, n)
                                       : soft_suffix_start(*subject().tokenizer, n);
    return {split.before, start, split.after, flip.base_answer};
  }

  SuffixProblem problem(const Transformer& model, const SuffixedPrompt& prompt) const {
    return SuffixProblem::record(model, batch_.plan, prompt, batch_.spec->target_tokens);
  }

  void search() {
    attacks_.resize(prompts_.size());
    if (row_.is_gcg()) {
      is_allowed_ = printable_tokens(*subject().tokenizer, exact().config().vocab_size);
    }
    const auto started = Clock::now();
    for_each([&](size_t i) {
      attacks_[i] = row_.is_gcg() ? hard_attack(i) : soft_attack(i);
      // Of the exact model: the search's may have rounded embeddings.
      if (row_.is_gcg()) {
        const at::NoGradGuard no_grad;
        attacks_[i].suffix = exact().embed(at::tensor(attacks_[i].tokens, at::kLong));
      }
    });
    search_seconds_ = seconds_since(started);
  }

  SuffixAttack soft_attack(size_t i) const {
    SoftSuffixOptions options;
    options.behaviour_weight = row_.suffix.behaviour_weight;
    options.obfuscation_weight = row_.suffix.obfuscation;
    options.steps = row_.steps;
    options.lr = row_.lr;
    options.on_progress = estimate(i);
    return soft_suffix(problem(*subject().search, prompts_[i]), options);
  }

  SuffixAttack hard_attack(size_t i) const {
    const SplitPrompt split{prompts_[i].before, prompts_[i].after};
    GcgOptions options;
    options.max_steps = row_.steps;
    options.search_width = row_.suffix.search_width;
    options.top_k = row_.suffix.top_k;
    options.is_allowed = is_allowed_;
    options.filter = survives_retokenisation(subject(), request(i), split);
    options.seed =
        Rng({batch_.spec->seed, static_cast<uint64_t>(batch_.flips[i].index), 73}).next();
    options.on_progress = estimate(i);
    return gcg(problem(*subject().search, prompts_[i]), options);
  }

  // Says what the first step of the first request lets expect of the batch.
  std::function<void(int64_t, double)> estimate(size_t i) const {
    if (i != 0) return {};
    return [this, started = Clock::now()](int64_t step, double) {
      if (step != 1) return;
      const auto n = static_cast<int64_t>(prompts_.size());
      const int64_t rounds = (n + worker_total_ - 1) / worker_total_;
      const double total =
          seconds_since(started) * static_cast<double>(row_.steps) * static_cast<double>(rounds);
      if (total < kSecondsWorthSaying) return;
      say(concat(row_.name(),
                 ": at most about ",
                 std::ceil(total / 60),
                 " minutes for ",
                 n,
                 " requests of ",
                 row_.steps,
                 " steps, from the first step"));
    };
  }

  // Greedy answers of the exact model with the suffix in place and the clamps live.
  std::vector<Tokens> answer() const {
    GenerateBatchOptions options;
    options.max_new_tokens = batch_.spec->max_new_tokens;
    options.stop_tokens = subject().stop_tokens;
    options.keeps_finished = false;
    if (row_.is_gcg()) {
      options.is_split_allowed = true;
      std::vector<Tokens> prompts;
      for (size_t i = 0; i < prompts_.size(); ++i) {
        prompts.push_back(joined({prompts_[i].before, attacks_[i].tokens, prompts_[i].after}));
      }
      return generate_batch(exact(), prompts, options, batch_.plan->hooks());
    }
    std::vector<Tokens> answers(prompts_.size());
    for_each([&](size_t i) {
      const SuffixProblem own = problem(exact(), prompts_[i]);
      answers[i] =
          generate_batch(exact(), {own.prompt_tokens()}, options, own.hooks(attacks_[i].suffix))
              .front();
    });
    return answers;
  }

  Json figures(size_t i, const Tokens& generated) const {
    const at::NoGradGuard no_grad;
    const SuffixAttack& attack = attacks_[i];
    const SuffixProblem forced = problem(exact(), prompts_[i]);
    const SuffixRun run = forced.run(attack.suffix.unsqueeze(0));
    Json figures = active_figures(i, forced);
    figures["score_float32"] = finite_or_null(run.score.item<double>());
    figures["is_whole_target_greedy"] = run.is_won().item<bool>();
    figures["drift_pre_rel"] = finite_or_null(forced.relative_drift(run).item<double>());
    figures["drift_pre_l2"] =
        finite_or_null(std::sqrt(sum_of_squares(differences(run.reading, forced.read_def()))));
    figures["drift_generation_rel"] = finite_or_null(drift_while_generating(i, generated));
    figures["suffix_norm_max"] = finite_or_null(attack.suffix.norm(2, -1).max().item<double>());
    figures["suffix_tokens"] = row_.suffix.tokens;
    figures["n_runs"] = attack.n_runs;
    if (row_.is_gcg()) {
      figures["suffix_sha256"] =
          sha256_of_text(subject().text_of(attack.tokens)).substr(0, kHashDigits);
    }
    return figures;
  }

  // The same tokens on the request as it was are what the defended readings would have been.
  double drift_while_generating(size_t i, const Tokens& generated) const {
    if (generated.empty()) return kNotMeasured;
    SuffixedPrompt prompt = prompts_[i];
    prompt.answer = generated;
    const SuffixProblem own =
        SuffixProblem::record(exact(), batch_.plan, prompt, static_cast<int64_t>(generated.size()));
    return own.relative_drift(own.run(attacks_[i].suffix.unsqueeze(0))).item<double>();
  }

  Json active_figures(size_t i, const SuffixProblem& forced) const {
    const SuffixedPrompt& prompt = prompts_[i];
    const at::Tensor& suffix = attacks_[i].suffix;
    const Tokens answer(prompt.answer.begin(), prompt.answer.begin() + forced.n_rows());
    const ActiveReadings defended = read_active(exact(),
                                                *batch_.plan,
                                                batch_.plan->hooks(),
                                                joined({prompt.before, prompt.after}),
                                                answer,
                                                nullptr,
                                                suffix);
    const ActiveReadings now = read_active(exact(),
                                           *batch_.plan,
                                           forced.hooks(suffix),
                                           forced.prompt_tokens(),
                                           answer,
                                           &prompt,
                                           suffix);
    const std::vector<at::Tensor> fall = differences(defended.sites, now.sites);
    std::vector<at::Tensor> below;
    for (const at::Tensor& value : fall) below.push_back(at::relu(value));
    const double shift = std::sqrt(sum_of_squares(fall));
    const double norm = std::sqrt(sum_of_squares(defended.sites));
    const auto relative = [&](double value) {
      return norm > forced.least_reading() ? finite_or_null(value / norm) : Json();
    };
    return {{"drift_post_l2", finite_or_null(shift)},
            {"drift_post_rel", relative(shift)},
            {"floor_violation", relative(std::sqrt(sum_of_squares(below)))},
            {"suffix_sinks", now.n_sinks}};
  }

  const AnswerRowSpec& row_;
  const AnswerBatch& batch_;
  std::vector<SuffixedPrompt> prompts_;
  std::vector<SuffixAttack> attacks_;
  at::Tensor is_allowed_;
  double search_seconds_ = 0;
  int64_t worker_total_ = worker_count();  // inside a part it is 1
};

}  // namespace

std::vector<StoredResult> run_suffix_row(const AnswerRowSpec& row, const AnswerBatch& batch) {
  return SuffixRow(row, batch).run();
}

}  // namespace rebound
