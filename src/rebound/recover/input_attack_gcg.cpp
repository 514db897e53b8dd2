#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/rng.h"
#include "rebound/base/shape.h"
#include "rebound/recover/input_attack.h"

namespace rebound {
namespace {

using Tokens = std::vector<int64_t>;

struct ScoredSuffix {
  Tokens tokens;
  double loss = std::numeric_limits<double>::infinity();
  bool is_won = false;
};

class GcgSearch {
 public:
  GcgSearch(const SuffixProblem& problem, const GcgOptions& options)
      : problem_(problem), options_(options) {
    n_replacements_ = std::min(options.top_k, problem.model().config().vocab_size);
    if (!options.is_allowed.defined()) return;
    check_shape("GcgOptions.is_allowed",
                options.is_allowed,
                {{"d_vocab", problem.model().config().vocab_size}});
    const int64_t n_allowed = options.is_allowed.sum().item<int64_t>();
    require<ConfigError>(n_allowed > 0,
                         "GcgOptions.is_allowed: got no token, expected at least one");
    n_replacements_ = std::min(n_replacements_, n_allowed);
  }

  SuffixAttack run() {
    require<ConfigError>(
        !options_.filter || options_.filter(problem_.start()),
        "gcg: the filter refuses the suffix to start from, expected one that it takes "
        "(text that encodes to the same tokens)");
    current_ = score_all({problem_.start()}).front();
    best_ = current_;
    while (!is_at_goal() && attack_.steps < options_.max_steps) {
      if (!step()) {
        attack_.termination = Termination::kNan;
        break;
      }
      attack_.loss.push_back(current_.loss);
      if (options_.on_progress) options_.on_progress(attack_.steps, current_.loss);
    }
    if (is_at_goal()) attack_.termination = Termination::kGoal;
    return finish();
  }

 private:
  bool is_at_goal() const { return options_.stop == StopRule::kAtGoal && best_.is_won; }

  // False when nothing finite is left to go on from.
  bool step() {
    const at::Tensor gradient = token_gradient(current_.tokens);
    if (!gradient.isfinite().all().item<bool>()) return false;
    const std::vector<Tokens> candidates = draw(gradient);
    ++attack_.steps;
    if (candidates.empty()) return true;
    const std::vector<ScoredSuffix> scored = score_all(candidates);
    const bool prefers_won = options_.stop == StopRule::kAtGoal;
    const ScoredSuffix* pick = nullptr;
    for (const ScoredSuffix& suffix : scored) {
      if (!std::isfinite(suffix.loss)) continue;
      const bool is_decided = pick != nullptr && prefers_won && suffix.is_won != pick->is_won;
      if (pick == nullptr || (is_decided ? suffix.is_won : suffix.loss < pick->loss))
        pick = &suffix;
    }
    if (pick == nullptr) return false;
    if (pick->loss < best_.loss || (prefers_won && pick->is_won)) best_ = *pick;
    current_ = options_.keeps_best ? best_ : *pick;
    return true;
  }

  // d loss / d one-hot, [n_suffix, d_vocab].
  at::Tensor token_gradient(const Tokens& tokens) {
    const Transformer& model = problem_.model();
    const at::Tensor x = model.embed(at::tensor(tokens, at::kLong)).unsqueeze(0).requires_grad_();
    at::Tensor loss;
    {
      const at::AutoGradMode with_grad(true);
      loss = -problem_.run(x).score.sum();
    }
    ++attack_.n_runs;
    const at::Tensor gradient = torch::autograd::grad({loss}, {x})[0][0];
    return model.weights().embed.product(gradient) * model.config().embed_scale;
  }

  // Single replacements, uniformly among the steepest at each position, without those refused.
  std::vector<Tokens> draw(at::Tensor gradient) const {
    if (options_.is_allowed.defined()) {
      gradient = gradient.masked_fill(options_.is_allowed.logical_not().to(gradient.device()),
                                      std::numeric_limits<float>::infinity());
    }
    const at::Tensor steepest = std::get<1>((-gradient).topk(n_replacements_, 1)).cpu().contiguous();
    Tokens pair(static_cast<size_t>(steepest.numel()));  // position * n_replacements + rank
    std::iota(pair.begin(), pair.end(), 0);
    Rng rng({options_.seed, static_cast<uint64_t>(attack_.steps)});
    std::vector<Tokens> candidates;
    const auto n = std::min<size_t>(pair.size(), static_cast<size_t>(options_.search_width));
    for (size_t i = 0; i < n; ++i) {
      std::swap(pair[i],
                pair[i + static_cast<size_t>(rng.below(static_cast<int64_t>(pair.size() - i)))]);
      Tokens tokens = current_.tokens;
      tokens[static_cast<size_t>(pair[i] / n_replacements_)] =
          steepest.data_ptr<int64_t>()[pair[i]];
      if (!options_.filter || options_.filter(tokens)) candidates.push_back(std::move(tokens));
    }
    return candidates;
  }

  std::vector<ScoredSuffix> score_all(const std::vector<Tokens>& candidates) {
    const at::NoGradGuard no_grad;
    const auto n = static_cast<int64_t>(candidates.size()), width = options_.candidates_at_once;
    std::vector<ScoredSuffix> scored(candidates.size());
    run_parts((n + width - 1) / width, [&](int64_t part) {
      const int64_t first = part * width, count = std::min(width, n - first);
      Tokens ids;
      for (int64_t i = 0; i < count; ++i) {
        const Tokens& tokens = candidates[static_cast<size_t>(first + i)];
        ids.insert(ids.end(), tokens.begin(), tokens.end());
      }
      const at::Tensor batch = at::tensor(ids, at::kLong).view({count, -1});
      const SuffixRun run = problem_.run(problem_.model().embed(batch));
      const at::Tensor is_won = run.is_won();
      for (int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<size_t>(first + i);
        scored[at] = {candidates[at], -run.score[i].item<double>(), is_won[i].item<bool>()};
      }
    });
    attack_.n_runs += n;
    return scored;
  }

  SuffixAttack finish() {
    const at::NoGradGuard no_grad;
    attack_.tokens = best_.tokens;
    attack_.suffix = problem_.model().embed(at::tensor(best_.tokens, at::kLong));
    const SuffixRun run = problem_.run(attack_.suffix.unsqueeze(0));
    ++attack_.n_runs;
    attack_.score = run.score.item<double>();
    attack_.drift_rel = problem_.relative_drift(run).item<double>();
    attack_.is_won = run.is_won().item<bool>();
    return std::move(attack_);
  }

  const SuffixProblem& problem_;
  const GcgOptions& options_;
  int64_t n_replacements_ = 0;  // at each position
  ScoredSuffix current_, best_;
  SuffixAttack attack_;
};

}  // namespace

void GcgOptions::validate() const {
  require<ConfigError>(max_steps >= 0, "GcgOptions.max_steps must be >= 0, got ", max_steps);
  require<ConfigError>(search_width > 0, "GcgOptions.search_width must be > 0, got ", search_width);
  require<ConfigError>(top_k > 0, "GcgOptions.top_k must be > 0, got ", top_k);
  require<ConfigError>(candidates_at_once > 0,
                       "GcgOptions.candidates_at_once must be > 0, got ",
                       candidates_at_once);
}

SuffixAttack gcg(const SuffixProblem& problem, const GcgOptions& options) {
  options.validate();
  return GcgSearch(problem, options).run();
}

}  // namespace rebound
