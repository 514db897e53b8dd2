#include "rebound/recover/cross_solver.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/recover/jacobian.h"
#include "rebound/recover/norms.h"
#include "rebound/recover/sampled_jacobian.h"

namespace rebound {
namespace {

constexpr double kBudgetSlack = 1e-6;

at::Tensor per_example(const at::Tensor& factor, const at::Tensor& like) {
  return factor.view({-1, 1, 1, 1}).expand_as(like);
}

// |defended readings|^2 of a site, at least those of a random residual as long: an ablated reading is
// nothing but rounding. [batch]
at::Tensor squared_scale(const CrossProblem& problem, const ClampedSite& site) {
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  const at::Tensor columns = site.clamp->read_columns();
  const double spread = columns.square().sum().item<double>() / static_cast<double>(columns.size(0));
  return at::maximum((site.read_def * mask).square().sum({1, 2}), spread * (site.h_def * mask).square().sum({1, 2}));
}

// Mean over sites of |shift|^2 / scale^2 before the activation, [batch].
at::Tensor squared_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading) {
  at::Tensor sum;
  const at::Tensor mask = problem.is_real().unsqueeze(-1);
  for (size_t i = 0; i < reading.size(); ++i) {
    const ClampedSite& site = problem.sites()[i];
    const at::Tensor part =
        ((reading[i] - site.read_def) * mask).square().sum({1, 2}) / squared_scale(problem, site);
    sum = sum.defined() ? sum + part : part;
  }
  return sum / static_cast<double>(reading.size());
}

// A few examples, searched to their end on one thread.
class PartSearch {
 public:
  PartSearch(CrossProblem problem, const CrossRung& rung, const CrossSolverOptions& options, at::Tensor budget,
             at::Tensor fixed)
      : problem_(std::move(problem)),
        rung_(rung),
        options_(options),
        budget_(std::move(budget)),
        fixed_(std::move(fixed)) {
    const at::Tensor zero = problem_.zero_delta();
    delta_ = zero;
    adam_ = {at::zeros_like(zero), at::zeros_like(zero)};
    allowed_ = at::ones({zero.size(0), zero.size(1), zero.size(2), 1}, zero.options()) *
               problem_.is_real().view({zero.size(0), 1, zero.size(2), 1});
    if (rung_.is_first_site_only) allowed_.slice(1, 1).zero_();
    if (options_.rows == CrossRows::kFirst) allowed_.slice(2, 1).zero_();
    if (options_.rows == CrossRows::kAfterFirst) allowed_.slice(2, 0, 1).zero_();
    const int64_t n = zero.size(0);
    alive_ = at::arange(n, at::kLong);
    ratio_ = at::ones({n});
    solution_.delta = zero.clone();
    solution_.score = at::zeros({n});
    solution_.norm = at::zeros({n});
    solution_.drift_rel = at::zeros({n});
    solution_.is_won.assign(static_cast<size_t>(n), false);
    solution_.termination.assign(static_cast<size_t>(n), Termination::kMaxSteps);
    solution_.steps.assign(static_cast<size_t>(n), 0);
    best_ = solution_.delta.clone();
    best_score_ = at::full({n}, -std::numeric_limits<float>::infinity());
    best_is_feasible_ = at::zeros({n}, at::kBool);
  }

  CrossSolution finish() && {
    for (int64_t step = 0; step < options_.max_steps && alive_.numel() > 0; ++step) {
      advance(step);
      if (options_.on_progress) options_.on_progress(1);
    }
    if (alive_.numel() > 0) close_rest();
    return std::move(solution_);
  }

 private:
  at::Tensor whole(const at::Tensor& delta) const { return fixed_.defined() ? delta + fixed_ : delta; }

  void advance(int64_t step) {
    const at::AutoGradMode grad_mode(true);
    const at::Tensor delta = delta_.detach().requires_grad_(true);
    const bool is_sampled = rung_.jacobian == JacobianUse::kSampled;
    const CrossRun run = problem_.run(whole(delta), rung_.projected, rung_.is_published);
    const at::Tensor gain = options_.objective.value(problem_, run);
    at::Tensor gradient;
    if (is_sampled) {
      gradient = sampled_jacobian_gradient(problem_, {delta, run, gain, rung_.penalty_weight},
                                           {options_.probes, options_.seed + static_cast<uint64_t>(step)});
    } else {
      at::Tensor loss = -gain;
      if (rung_.penalty_weight > 0) {
        loss = loss + rung_.penalty_weight * squared_drift(problem_, run.reading);
      }
      gradient = torch::autograd::grad({loss.sum()}, {delta})[0];
    }
    const at::NoGradGuard no_grad;
    gradient = gradient * allowed_;
    if (rung_.jacobian == JacobianUse::kExact) gradient = along_null_space(gradient);
    retire(step, run, gradient);
    if (alive_.numel() == 0) return;
    update(step);
    if (is_sampled) correct();
    if (rung_.jacobian == JacobianUse::kExact) restore_readings();
    if (rung_.is_published && (step == 0 || (step + 1) % options_.checkpoint_every == 0)) keep_best();
  }

  at::Tensor along_null_space(const at::Tensor& gradient) const {
    const ReadingJacobian jacobian(problem_, whole(delta_), allowed_);
    return jacobian.project_out_rows(gradient.flatten(1), {options_.lsmr_iterations}).view_as(gradient);
  }

  // Gauss-Newton towards unmoved readings.
  void restore_readings() {
    for (int64_t i = 0; i < options_.newton_steps; ++i) {
      const ReadingJacobian jacobian(problem_, whole(delta_), allowed_);
      const at::Tensor drift = squared_drift(problem_, problem_.run_sites(whole(delta_), Span::kNone).reading).sqrt();
      if ((drift <= options_.newton_tolerance).all().item<bool>()) return;
      delta_ = delta_ + jacobian.newton_step({options_.lsmr_iterations}).view_as(delta_).detach();
      cap();
    }
  }

  void update(int64_t step) {
    at::Tensor square = gradient_.square();
    if (!rung_.is_published) {
      const at::Tensor entries = allowed_.sum({1, 2, 3}) * static_cast<double>(gradient_.size(3));
      square = per_example(square.sum({1, 2, 3}) / entries.clamp_min(1), gradient_);
    }
    delta_ = delta_ - options_.lr * adam_.direction(gradient_, square, step + 1, options_.adam);
    delta_ = delta_ * allowed_;
    if (rung_.projected != Span::kNone) project_sites();
    cap();
  }

  // What the sites would project out of delta does nothing; it is dropped so that norms mean something.
  void project_sites() {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < problem_.sites().size(); ++i) {
      const ClampedSite& site = problem_.sites()[i];
      parts.push_back(project_out(delta_.select(1, static_cast<int64_t>(i)),
                                  rung_.projected == Span::kEncoder ? site.encoder_basis : site.encoder_decoder_basis));
    }
    delta_ = at::stack(parts, 1);
  }

  // `ratio_`: effective norm over |delta|, as last seen; 1 without projected sites.
  void cap() {
    const at::Tensor scale = (budget_ / (norms_of(delta_) * ratio_ + 1e-8)).clamp_max(1.0);
    delta_ = delta_ * per_example(scale, delta_);
  }

  // Plain gradient steps on the drift, up to the last site only (published).
  void correct() {
    for (int64_t i = 0; i < options_.correction_steps; ++i) {
      const at::AutoGradMode grad_mode(true);
      const at::Tensor delta = delta_.detach().requires_grad_(true);
      const CrossRun run = problem_.run_sites(whole(delta), Span::kNone, /*wants_active=*/true);
      const at::Tensor drift = active_drift_loss(problem_, run.active);
      const at::Tensor gradient = torch::autograd::grad({drift.sum()}, {delta})[0];
      const at::NoGradGuard no_grad;
      delta_ = delta_ - options_.correction_lr * gradient * allowed_;
      cap();
    }
  }

  // The published checkpoint rule.
  void keep_best() {
    const CrossRun run = problem_.run(whole(delta_), rung_.projected, /*wants_active=*/true);
    const at::Tensor gain = options_.objective.value(problem_, run);
    const at::Tensor drift = active_drift(run);
    const at::Tensor is_feasible = drift <= options_.checkpoint_drift;
    const at::Tensor score = at::where(is_feasible, gain, gain - options_.checkpoint_penalty * drift);
    const at::Tensor mine = best_is_feasible_.index_select(0, alive_);
    const at::Tensor is_better =
        (is_feasible & ~mine) | ((is_feasible == mine) & (score > best_score_.index_select(0, alive_)));
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      if (!is_better[local].item<bool>()) continue;
      const int64_t example = alive_[local].item<int64_t>();
      best_[example] = delta_[local];
      best_score_[example] = score[local];
      best_is_feasible_[example] = is_feasible[local];
    }
  }

  at::Tensor active_drift(const CrossRun& run) const {
    at::Tensor shift = at::zeros({problem_.size()}), defended = at::zeros({problem_.size()});
    for (size_t i = 0; i < run.active.size(); ++i) {
      const ClampedSite& site = problem_.sites()[i];
      const at::Tensor mask = problem_.is_real().unsqueeze(-1), reference = site.active_def;
      shift = shift + ((run.active[i] - reference) * mask).square().sum({1, 2});
      defended = defended + (reference * mask).square().sum({1, 2});
    }
    return shift.sqrt() / (defended.sqrt() + 1e-8);
  }

  at::Tensor is_matched(const CrossRun& run) const { return (run.is_argmax == problem_.is_real()).all(1); }

  void record(int64_t step, const CrossRun& run, const at::Tensor& norm) {
    const at::Tensor drift = flat_shift(problem_, run.reading).norm(2, -1);
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      solution_.trace.push_back({alive_[local].item<int64_t>(),
                                 step,
                                 run.score[local].item<double>(),
                                 drift[local].item<double>(),
                                 norm[local].item<double>()});
    }
  }

  // Examples that are done leave with the delta they were scored with; the others keep their gradient.
  void retire(int64_t step, const CrossRun& run, const at::Tensor& gradient) {
    gradient_ = gradient;
    const at::Tensor norm = run.effective_norm().detach();
    if (options_.keep_trace) record(step, run, norm);
    const at::Tensor mine = norms_of(whole(delta_));
    ratio_ = rung_.projected == Span::kNone ? at::ones_like(norm) : at::where(mine > 1e-6, norm / mine.clamp_min(1e-6), 1.0f);
    const at::Tensor is_nan = ~(run.score.detach().isfinite() & norms_of(gradient).isfinite());
    at::Tensor is_done = is_nan;
    if (options_.stop == StopRule::kAtGoal && !rung_.is_published) {
      is_done = is_done | (is_matched(run) & (norm <= budget_ * (1 + kBudgetSlack)));
    }
    if (!is_done.any().item<bool>()) return;
    const at::Tensor drift = relative_drift(problem_, run.reading);
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      if (!is_done[local].item<bool>()) continue;
      close(local, step, is_nan[local].item<bool>() ? Termination::kNan : Termination::kGoal, run, drift);
    }
    keep((~is_done).nonzero().squeeze(1));
  }

  void close_rest() {
    const at::NoGradGuard no_grad;
    if (rung_.is_published) delta_ = best_.index_select(0, alive_);
    CrossRun run = problem_.run(whole(delta_), rung_.projected);
    for (int i = 0; i < 50 && rung_.projected != Span::kNone; ++i) {
      const at::Tensor over = run.effective_norm() / budget_;
      if ((over <= 1 + kBudgetSlack).all().item<bool>()) break;
      delta_ = delta_ / per_example(over.clamp_min(1.0) * (1 + 1e-7), delta_);
      run = problem_.run(whole(delta_), rung_.projected);
    }
    const at::Tensor drift = relative_drift(problem_, run.reading), matched = is_matched(run);
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      const bool is_goal = options_.stop == StopRule::kAtGoal && !rung_.is_published && matched[local].item<bool>();
      close(local, options_.max_steps, is_goal ? Termination::kGoal : Termination::kMaxSteps, run, drift);
    }
  }

  void close(int64_t local, int64_t steps, Termination termination, const CrossRun& run, const at::Tensor& drift) {
    const int64_t example = alive_[local].item<int64_t>();
    const size_t i = static_cast<size_t>(example);
    solution_.delta[example] = whole(delta_)[local].detach();
    solution_.score[example] = run.score[local].detach();
    solution_.norm[example] = run.effective_norm()[local].detach();
    solution_.drift_rel[example] = drift[local].detach();
    solution_.is_won[i] = is_matched(run)[local].item<bool>();
    solution_.termination[i] = termination;
    solution_.steps[i] = steps;
  }

  void keep(const at::Tensor& index) {
    alive_ = alive_.index_select(0, index);
    if (alive_.numel() == 0) return;
    problem_ = problem_.select(index);
    for (at::Tensor* tensor : {&delta_, &allowed_, &ratio_, &gradient_, &budget_}) *tensor = tensor->index_select(0, index);
    if (fixed_.defined()) fixed_ = fixed_.index_select(0, index);
    adam_.select(index);
  }

  CrossProblem problem_;
  const CrossRung& rung_;
  const CrossSolverOptions& options_;
  at::Tensor budget_, fixed_, delta_, allowed_, alive_, ratio_, gradient_;
  at::Tensor best_, best_score_, best_is_feasible_;
  Adam adam_;
  CrossSolution solution_;
};

}  // namespace

at::Tensor relative_drift(const CrossProblem& problem, const std::vector<at::Tensor>& reading) {
  const at::Tensor shift = flat_shift(problem, reading).norm(2, -1);
  at::Tensor defended = at::zeros_like(shift), scale = at::zeros_like(shift);
  for (const ClampedSite& site : problem.sites()) {
    defended = defended + (site.read_def * problem.is_real().unsqueeze(-1)).square().sum({1, 2});
    scale = scale + squared_scale(problem, site);
  }
  constexpr double kNothing = 1e-3;  // of the scale; below it a ratio means nothing
  const at::Tensor is_defined = defended.sqrt() > kNothing * scale.sqrt();
  return at::where(is_defined, shift / defended.sqrt(), std::numeric_limits<float>::quiet_NaN());
}

at::Tensor scaled_to_budget(const CrossProblem& problem, const at::Tensor& delta, Span projected, double budget) {
  const at::NoGradGuard no_grad;
  at::Tensor scaled = delta * per_example(budget / norms_of(delta).clamp_min(1e-12), delta);
  constexpr int kMostRounds = 30;  // the effective norm is nearly proportional to the factor
  for (int round = 0; round < kMostRounds; ++round) {
    const at::Tensor ratio = problem.run_sites(scaled, projected).effective_norm() / budget;
    const bool is_close = ((ratio <= 1 + kBudgetSlack) & ((ratio > 1 - 1e-4) | (ratio == 0))).all().item<bool>();
    if (is_close) break;
    scaled = scaled / per_example(ratio.clamp_min(1e-6) * (1 + 1e-7), scaled);
  }
  return scaled;
}

CrossSolution solve_cross(const CrossProblem& problem, const CrossRung& rung, const CrossSolverOptions& options) {
  options.validate();
  const int64_t n = problem.size(), share = (n + worker_count() - 1) / worker_count();
  const int64_t width = std::min(options.examples_at_once, share), count = (n + width - 1) / width;
  std::vector<CrossSolution> parts(static_cast<size_t>(count));
  const at::Tensor budgets = options.budgets.defined() ? options.budgets : at::full({n}, options.budget, at::kFloat);
  run_parts(count, [&](int64_t i) {
    const at::Tensor index = at::arange(i * width, std::min(n, (i + 1) * width), at::kLong);
    const at::Tensor fixed = options.fixed.defined() ? options.fixed.index_select(0, index) : at::Tensor();
    parts[static_cast<size_t>(i)] = PartSearch(problem.select(index), rung, options, budgets.index_select(0, index), fixed).finish();
  });
  CrossSolution all = std::move(parts.front());
  for (size_t i = 1; i < parts.size(); ++i) {
    const CrossSolution& part = parts[i];
    all.delta = at::cat({all.delta, part.delta});
    all.score = at::cat({all.score, part.score});
    all.norm = at::cat({all.norm, part.norm});
    all.drift_rel = at::cat({all.drift_rel, part.drift_rel});
    all.is_won.insert(all.is_won.end(), part.is_won.begin(), part.is_won.end());
    all.termination.insert(all.termination.end(), part.termination.begin(), part.termination.end());
    all.steps.insert(all.steps.end(), part.steps.begin(), part.steps.end());
    for (TraceEntry entry : part.trace) {
      entry.example += static_cast<int64_t>(i) * width;
      all.trace.push_back(entry);
    }
  }
  return all;
}

}  // namespace rebound
