#include "rebound/recover/slope.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/base/parallel.h"

namespace rebound {

ParallelSlope::ParallelSlope(const Problem& problem, const SlopeOptions& options) : options_(options) {
  const int64_t n = problem.size();
  const int64_t count = std::clamp<int64_t>(n / kSmallestPart, 1, worker_count());
  const auto longs = problem.budget.options().dtype(at::kLong);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = n * i / count, end = n * (i + 1) / count;
    slices_.push_back({first, end - first});
    parts_.push_back(count == 1 ? problem : problem.select(at::arange(first, end, longs)));
  }
}

Slope ParallelSlope::at(const at::Tensor& delta) const {
  std::vector<Slope> slopes(parts_.size());
  run_parts(static_cast<int64_t>(parts_.size()), [&](int64_t i) {
    const size_t k = static_cast<size_t>(i);
    const at::Tensor mine = options_.is_shared ? delta : delta.narrow(0, slices_[k].first, slices_[k].second);
    slopes[k] = slope_of(k, mine);
  });
  std::vector<at::Tensor> scores, gradients, shifts;
  for (const Slope& part : slopes) {
    scores.push_back(part.score);
    gradients.push_back(part.gradient);
    if (part.shift.defined()) shifts.push_back(part.shift);
  }
  return {at::cat(scores), options_.is_shared ? at::stack(gradients).sum(0) : at::cat(gradients),
          shifts.empty() ? at::Tensor() : at::cat(shifts)};
}

Slope ParallelSlope::slope_of(size_t index, const at::Tensor& start) const {
  const at::AutoGradMode grad_mode(true);
  const Problem& part = parts_[index];
  const at::Tensor delta = start.detach().requires_grad_(true);
  const at::Tensor value = part.perturbed_value(delta);
  const Problem::Evaluation now = part.evaluate(value, delta);
  at::Tensor loss = now.loss, shift;
  if (options_.wants_shift || options_.penalty_weight.defined()) shift = part.pre_shift(value);
  if (options_.penalty_weight.defined()) {
    const auto [first, count] = slices_[index];
    loss = loss + options_.penalty_weight.narrow(0, first, count) * shift.square().sum({1, 2});
  }
  const at::Tensor gradient = torch::autograd::grad({loss.sum()}, {delta})[0];
  return {now.score.detach(), gradient, shift.defined() ? shift.detach() : shift};
}

}  // namespace rebound
