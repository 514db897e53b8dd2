#include "rebound/recover/cross_search.h"

#include <torch/torch.h>

#include <limits>
#include <utility>

#include "rebound/recover/jacobian.h"
#include "rebound/recover/norms.h"
#include "rebound/recover/sampled_jacobian.h"

namespace rebound {
namespace {

class PartSearch {
 public:
  PartSearch(CrossProblem problem,
             const CrossRung& rung,
             const CrossSolverOptions& options,
             at::Tensor budget,
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
    alive_ = at::arange(n, zero.options().dtype(at::kLong));
    ratio_ = at::ones({n}, zero.options());
    solution_.delta = zero.clone();
    solution_.score = at::zeros({n}, zero.options());
    solution_.norm = at::zeros({n}, zero.options());
    solution_.drift_rel = at::zeros({n}, zero.options());
    solution_.is_won.assign(static_cast<size_t>(n), false);
    solution_.termination.assign(static_cast<size_t>(n), Termination::kMaxSteps);
    solution_.steps.assign(static_cast<size_t>(n), 0);
    best_ = solution_.delta.clone();
    best_score_ = at::full({n}, -std::numeric_limits<float>::infinity(), zero.options());
    best_is_feasible_ = at::zeros({n}, zero.options().dtype(at::kBool));
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
  at::Tensor whole(const at::Tensor& delta) const {
    return fixed_.defined() ? delta + fixed_ : delta;
  }

  void advance(int64_t step) {
    const at::AutoGradMode grad_mode(true);
    const at::Tensor delta = delta_.detach().requires_grad_(true);
    const bool is_sampled = rung_.jacobian == JacobianUse::kSampled;
    const CrossRun run = problem_.run(whole(delta), rung_.projected, rung_.is_published);
    const at::Tensor gain = options_.objective.value(problem_, run);
    at::Tensor gradient;
    if (is_sampled) {
      gradient =
          sampled_jacobian_gradient(problem_,
                                    {delta, run, gain, rung_.penalty_weight},
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
    if (rung_.is_published && (step == 0 || (step + 1) % options_.checkpoint_every == 0))
      keep_best();
  }

  at::Tensor along_null_space(const at::Tensor& gradient) const {
    const ReadingJacobian jacobian(problem_, whole(delta_), allowed_);
    return jacobian.project_out_rows(gradient.flatten(1), {options_.lsmr_iterations})
        .view_as(gradient);
  }

  // Gauss-Newton towards unmoved readings.
  void restore_readings() {
    for (int64_t i = 0; i < options_.newton_steps; ++i) {
      const ReadingJacobian jacobian(problem_, whole(delta_), allowed_);
      const at::Tensor drift =
          squared_drift(problem_, problem_.run_sites(whole(delta_), Span::kNone).reading).sqrt();
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

  // What the sites would project out of delta does nothing; it is dropped so that norms mean
  // something.
  void project_sites() {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < problem_.sites().size(); ++i) {
      const ClampedSite& site = problem_.sites()[i];
      parts.push_back(project_out(
          delta_.select(1, static_cast<int64_t>(i)),
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
    const at::Tensor score =
        at::where(is_feasible, gain, gain - options_.checkpoint_penalty * drift);
    const at::Tensor mine = best_is_feasible_.index_select(0, alive_);
    const at::Tensor is_better =
        (is_feasible & ~mine) |
        ((is_feasible == mine) & (score > best_score_.index_select(0, alive_)));
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      if (!is_better[local].item<bool>()) continue;
      const int64_t example = alive_[local].item<int64_t>();
      best_[example] = delta_[local];
      best_score_[example] = score[local];
      best_is_feasible_[example] = is_feasible[local];
    }
  }

  at::Tensor active_drift(const CrossRun& run) const {
    at::Tensor shift = at::zeros({problem_.size()}, delta_.options()),
               defended = at::zeros_like(shift);
    for (size_t i = 0; i < run.active.size(); ++i) {
      const ClampedSite& site = problem_.sites()[i];
      const at::Tensor mask = problem_.is_real().unsqueeze(-1), reference = site.active_def;
      shift = shift + ((run.active[i] - reference) * mask).square().sum({1, 2});
      defended = defended + (reference * mask).square().sum({1, 2});
    }
    return shift.sqrt() / (defended.sqrt() + 1e-8);
  }

  at::Tensor is_matched(const CrossRun& run) const {
    return (run.is_argmax == problem_.is_real()).all(1);
  }

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

  // Examples that are done leave with the delta they were scored with; the others keep their
  // gradient.
  void retire(int64_t step, const CrossRun& run, const at::Tensor& gradient) {
    gradient_ = gradient;
    const at::Tensor norm = run.effective_norm().detach();
    if (options_.keep_trace) record(step, run, norm);
    const at::Tensor mine = norms_of(whole(delta_));
    ratio_ = rung_.projected == Span::kNone
                 ? at::ones_like(norm)
                 : at::where(mine > 1e-6, norm / mine.clamp_min(1e-6), 1.0f);
    const at::Tensor is_nan = ~(run.score.detach().isfinite() & norms_of(gradient).isfinite());
    at::Tensor is_done = is_nan;
    if (options_.stop == StopRule::kAtGoal && !rung_.is_published) {
      is_done = is_done | (is_matched(run) & (norm <= budget_ * (1 + kBudgetSlack)));
    }
    if (!is_done.any().item<bool>()) return;
    const at::Tensor drift = relative_drift(problem_, run.reading);
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      if (!is_done[local].item<bool>()) continue;
      close(local,
            step,
            is_nan[local].item<bool>() ? Termination::kNan : Termination::kGoal,
            run,
            drift);
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
      const bool is_goal =
          options_.stop == StopRule::kAtGoal && !rung_.is_published && matched[local].item<bool>();
      close(local,
            options_.max_steps,
            is_goal ? Termination::kGoal : Termination::kMaxSteps,
            run,
            drift);
    }
  }

  void close(int64_t local,
             int64_t steps,
             Termination termination,
             const CrossRun& run,
             const at::Tensor& drift) {
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
    for (at::Tensor* tensor : {&delta_, &allowed_, &ratio_, &gradient_, &budget_})
      *tensor = tensor->index_select(0, index);
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

CrossSolution search_cross(CrossProblem problem,
                           const CrossRung& rung,
                           const CrossSolverOptions& options,
                           const at::Tensor& budget,
                           const at::Tensor& fixed) {
  return PartSearch(std::move(problem), rung, options, budget, fixed).finish();
}

}  // namespace rebound
