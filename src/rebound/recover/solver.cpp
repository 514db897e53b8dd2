#include "rebound/recover/solver.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <type_traits>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/recover/norms.h"
#include "rebound/recover/slope.h"

namespace rebound {
namespace {

// The part of a batch that still runs.
class Run {
 public:
  Run(const Problem& problem,
      const std::vector<const Constraint*>& constraints,
      const SolverOptions& options)
      : problem_(problem), constraints_(constraints), options_(options) {
    const int64_t n = problem.size(), rows = problem.perturbed.size(1),
                  d = problem.model->d_model();
    const auto floats = problem.segment.resid().options();
    delta_ = options.is_shared ? at::zeros({1, 1, d}, floats) : at::zeros({n, rows, d}, floats);
    adam_ = {at::zeros_like(delta_), at::zeros_like(delta_)};
    alive_ = at::arange(n, floats.dtype(at::kLong));
    if (options.lrs.defined()) lrs_ = options.lrs.to(floats.device()).view({n, 1, 1});
    n_each_ = n / static_cast<int64_t>(constraints.size());
    cut_blocks();
    solution_.delta = delta_.clone();
    solution_.score = at::zeros({n}, floats);
    solution_.is_won.assign(static_cast<size_t>(n), false);
    solution_.termination.assign(static_cast<size_t>(n), Termination::kMaxSteps);
    solution_.steps.assign(static_cast<size_t>(n), 0);
  }

  Solution finish() && {
    for (int64_t step = 0; step < options_.max_steps && alive_.numel() > 0; ++step) advance(step);
    if (alive_.numel() > 0) close_all();
    return std::move(solution_);
  }

 private:
  void advance(int64_t step) {
    if (!slope_)
      slope_.emplace(problem_,
                     SlopeOptions{options_.is_shared, options_.keep_trace, penalty_weight()});
    const Slope now = slope_->at(delta_);
    const at::NoGradGuard no_grad;
    const at::Tensor before = delta_;
    update(now.gradient, step);
    if (options_.keep_trace) record(step, now.score, now.shift);
    retire(step, now.score, before);
  }

  // The examples under one constraint: consecutive, since examples only ever leave.
  struct Block {
    const Constraint* constraint;
    int64_t first, count;
    at::Tensor of(const at::Tensor& x) const { return x.narrow(0, first, count); }
  };

  void cut_blocks() {
    blocks_.clear();
    if (options_.is_shared) {
      blocks_.push_back({constraints_.front(), 0, 1});
      return;
    }
    const at::Tensor group = alive_.div(n_each_, "floor");
    int64_t first = 0;
    for (size_t c = 0; c < constraints_.size(); ++c) {
      const int64_t count = (group == static_cast<int64_t>(c)).sum().item<int64_t>();
      if (count > 0) blocks_.push_back({constraints_[c], first, count});
      first += count;
    }
  }

  template <class Function>
  at::Tensor by_block(const Function& function) const {
    std::vector<at::Tensor> pieces;
    for (const Block& block : blocks_) pieces.push_back(function(block));
    return at::cat(pieces);
  }

  at::Tensor penalty_weight() const {
    std::vector<at::Tensor> pieces;
    double largest = 0;
    for (const Block& block : blocks_) {
      const double weight = block.constraint->rung().penalty_weight;
      largest = std::max(largest, weight);
      pieces.push_back(
          at::full({options_.is_shared ? problem_.size() : block.count}, weight, delta_.options()));
    }
    return largest > 0 ? at::cat(pieces) : at::Tensor();
  }

  void update(const at::Tensor& gradient, int64_t step) {
    const at::Tensor filtered = by_block([&](const Block& block) {
      return block.constraint->project(block.constraint->filter_gradient(block.of(gradient)));
    });
    const at::Tensor square =
        by_block([&](const Block& block) { return square_of(block, block.of(filtered)); });
    const at::Tensor direction = adam_.direction(filtered, square, step + 1, options_.adam);
    delta_ = delta_ - (lrs_.defined() ? lrs_ * direction : options_.lr * direction);
    if (!options_.is_shared) delta_ = delta_ * problem_.perturbed.unsqueeze(-1);
    const at::Tensor projected =
        by_block([&](const Block& block) { return block.constraint->project(block.of(delta_)); });
    delta_ =
        capped(projected, options_.is_shared ? problem_.budget.narrow(0, 0, 1) : problem_.budget);
  }

  // What the second moment averages: see solver.h.
  at::Tensor square_of(const Block& block, const at::Tensor& gradient) const {
    const at::Tensor square = gradient.square();
    if (!block.constraint->projects()) return square;
    const at::Tensor sum = square.sum({1, 2}, /*keepdim=*/true);
    const at::Tensor entries =
        options_.is_shared ? at::ones({1}, sum.options())
                           : block.of(problem_.perturbed).sum(1).clamp_min(1).to(sum.scalar_type());
    return (sum / (entries * square.size(2)).view({-1, 1, 1})).expand_as(square);
  }

  // Examples that are done leave with the delta that their score belongs to.
  void retire(int64_t step, const at::Tensor& score, const at::Tensor& scored_delta) {
    const at::Tensor is_nan = ~(score.isfinite() & norms_of(delta_).isfinite());
    at::Tensor is_done = is_nan;
    if (options_.stop == StopRule::kAtGoal) is_done = is_done | (score > problem_.contests.goal);
    if (options_.is_shared) is_done = is_done.all().expand_as(is_done);
    if (!is_done.any().item<bool>()) return;
    const at::Tensor done = is_done.nonzero().squeeze(1);
    for (int64_t i = 0; i < done.numel(); ++i) {
      const int64_t local = done[i].item<int64_t>();
      const bool nan = is_nan[local].item<bool>();
      close(local, step, nan ? Termination::kNan : Termination::kGoal, score[local], scored_delta);
    }
    keep((~is_done).nonzero().squeeze(1));
  }

  void close_all() {
    const at::NoGradGuard no_grad;
    const at::Tensor value = problem_.perturbed_value(delta_);
    const at::Tensor score = problem_.evaluate(value, delta_).score;
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      const bool goal = options_.stop == StopRule::kAtGoal &&
                        (score[local] > problem_.contests.goal[local]).item<bool>();
      close(local,
            options_.max_steps,
            goal ? Termination::kGoal : Termination::kMaxSteps,
            score[local],
            delta_);
    }
  }

  void close(int64_t local,
             int64_t steps,
             Termination termination,
             const at::Tensor& score,
             const at::Tensor& delta) {
    const int64_t example = alive_[local].item<int64_t>();
    const size_t i = static_cast<size_t>(example);
    solution_.steps[i] = steps;
    solution_.termination[i] = termination;
    solution_.score[example] = score;
    solution_.is_won[i] = (score > problem_.contests.goal[local]).item<bool>();
    if (options_.is_shared) {
      solution_.delta = delta;
    } else {
      solution_.delta[example] = delta[local];
    }
  }

  void keep(const at::Tensor& index) {
    alive_ = alive_.index_select(0, index);
    if (alive_.numel() == 0) return;
    problem_ = problem_.select(index);
    slope_.reset();
    cut_blocks();
    if (options_.is_shared) return;
    delta_ = delta_.index_select(0, index);
    if (lrs_.defined()) lrs_ = lrs_.index_select(0, index);
    adam_.select(index);
  }

  void record(int64_t step, const at::Tensor& score, const at::Tensor& shift) {
    const at::Tensor drift = norms_of(shift), norm = norms_of(delta_);
    for (int64_t local = 0; local < alive_.numel(); ++local) {
      const int64_t norm_index = options_.is_shared ? 0 : local;
      solution_.trace.push_back({alive_[local].item<int64_t>(),
                                 step,
                                 score[local].item<double>(),
                                 drift[local].item<double>(),
                                 norm[norm_index].item<double>()});
    }
  }

  Problem problem_;
  std::optional<ParallelSlope> slope_;  // of problem_
  const std::vector<const Constraint*>& constraints_;
  const SolverOptions& options_;
  int64_t n_each_ = 0;  // examples under each constraint, at the start
  std::vector<Block> blocks_;
  at::Tensor delta_, alive_;
  at::Tensor lrs_;  // [alive, 1, 1]; undefined: options_.lr
  Adam adam_;
  Solution solution_;
};

}  // namespace

std::string to_string(Termination termination) {
  switch (termination) {
    case Termination::kMaxSteps:
      return "max_steps";
    case Termination::kGoal:
      return "goal";
    default:
      return "nan";
  }
}

void SolverOptions::validate() const {
  require<ConfigError>(
      max_steps >= 0, "SolverOptions.max_steps: got ", max_steps, ", expected >= 0");
  require<ConfigError>(lr > 0, "SolverOptions.lr: got ", lr, ", expected > 0");
  require<ConfigError>(!lrs.defined() || !is_shared,
                       "SolverOptions.lrs: got them with a shared delta, expected lr");
}

at::Tensor capped(const at::Tensor& delta, const at::Tensor& budget) {
  const at::Tensor scale = (budget / (norms_of(delta) + 1e-8)).clamp_max(1.0);
  return delta * scale.view({-1, 1, 1});
}

namespace {

// Examples [first, first + count) of a solution.
Solution part_of(const Solution& whole, int64_t first, int64_t count) {
  const auto cut = [&](const auto& values) {
    return std::decay_t<decltype(values)>(values.begin() + first, values.begin() + first + count);
  };
  Solution part{whole.delta.narrow(0, first, count),
                whole.score.narrow(0, first, count),
                cut(whole.is_won),
                cut(whole.termination),
                cut(whole.steps),
                {}};
  for (TraceEntry entry : whole.trace) {
    entry.example -= first;
    if (entry.example >= 0 && entry.example < count) part.trace.push_back(entry);
  }
  return part;
}

}  // namespace

Solution solve(const Problem& problem, const Constraint& constraint, const SolverOptions& options) {
  options.validate();
  const std::vector<const Constraint*> constraints = {&constraint};
  return Run(problem, constraints, options).finish();
}

std::vector<Solution> solve_under_each(const Problem& problem,
                                       const std::vector<const Constraint*>& constraints,
                                       const SolverOptions& options) {
  options.validate();
  require<ConfigError>(!options.is_shared && !constraints.empty(),
                       "solve_under_each: got a shared delta or no constraint, expected neither");
  const int64_t n = problem.size(), count = static_cast<int64_t>(constraints.size());
  const at::Tensor index = at::arange(n, problem.budget.options().dtype(at::kLong)).repeat({count});
  const Solution whole = Run(problem.select(index), constraints, options).finish();
  std::vector<Solution> solutions;
  for (int64_t c = 0; c < count; ++c) solutions.push_back(part_of(whole, c * n, n));
  return solutions;
}

}  // namespace rebound
