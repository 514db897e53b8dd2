#include "rebound/recover/cross_problem.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/recover/target_log_prob.h"

namespace rebound {
namespace {

at::Tensor unit_columns(const at::Tensor& columns) {
  const at::Tensor exact = columns.to(at::kDouble);
  return exact / exact.norm(2, 0, /*keepdim=*/true).clamp_min(1e-30);
}

ClampedSite describe(std::shared_ptr<const Clamp> clamp, at::Tensor h_def) {
  ClampedSite site{std::move(clamp), std::move(h_def), {}, {}, {}, {}};
  site.read_def = site.clamp->read(site.h_def);
  site.active_def = site.clamp->read_active(site.h_def);
  site.encoder_basis = protected_basis(*site.clamp, Span::kEncoder);
  site.encoder_decoder_basis = protected_basis(*site.clamp, Span::kEncoderDecoder);
  return site;
}

}  // namespace

at::Tensor project_out(const at::Tensor& x, const at::Tensor& basis) {
  const at::Tensor once = x - at::matmul(at::matmul(x, basis), basis.t());
  return once - at::matmul(at::matmul(once, basis), basis.t());
}

at::Tensor protected_basis(const Clamp& clamp, Span span) {
  at::Tensor directions = unit_columns(clamp.read_columns());
  if (span == Span::kEncoderDecoder) directions = at::cat({directions, unit_columns(clamp.write_rows().t())}, 1);
  const at::Tensor basis = orthonormal_basis(directions);
  require<NumericError>(basis.size(1) < basis.size(0), "clamp at ", to_string(clamp.site()),
                        ": protected directions span all ", basis.size(0), " dimensions, expected at least one left free");
  return basis;
}

at::Tensor CrossRun::effective_norm() const {
  at::Tensor square;
  for (const at::Tensor& part : effective) {
    const at::Tensor mine = part.square().sum({1, 2});
    square = square.defined() ? square + mine : mine;
  }
  return square.sqrt();
}

CrossProblem CrossProblem::record(const Transformer& model, std::shared_ptr<const ClampPlan> plan,
                                  const std::vector<TargetAnswer>& answers, int64_t most_tokens) {
  const at::NoGradGuard no_grad;
  CrossProblem problem;
  problem.model_ = &model;
  problem.plan_ = std::move(plan);
  std::vector<std::vector<int64_t>> ids;
  SegmentSpec spec{problem.plan_->clamps().front()->site(), {}, {}};
  int64_t n_rows = 0;
  for (const TargetAnswer& target : answers) {
    require<DataError>(!target.prompt.empty() && !target.answer.empty(),
                       "target answer: got an empty prompt or answer, expected tokens in both");
    const int64_t kept = std::min<int64_t>(most_tokens, static_cast<int64_t>(target.answer.size()));
    // The last target is predicted, never read.
    ids.push_back(target.prompt);
    ids.back().insert(ids.back().end(), target.answer.begin(), target.answer.begin() + kept - 1);
    spec.first_position.push_back(static_cast<int64_t>(target.prompt.size()) - 1);
    n_rows = std::max(n_rows, kept);
  }
  problem.targets_ = at::zeros({static_cast<int64_t>(answers.size()), n_rows}, at::kLong);
  for (size_t i = 0; i < answers.size(); ++i) {
    const int64_t first = spec.first_position[i], last = static_cast<int64_t>(ids[i].size()) - 1;
    std::vector<int64_t> scored;
    for (int64_t row = 0; row < n_rows; ++row) scored.push_back(std::min(first + row, last));
    spec.scored.push_back(std::move(scored));
    for (int64_t row = 0; row <= last - first; ++row) {
      problem.targets_[static_cast<int64_t>(i)][row] = answers[i].answer[static_cast<size_t>(row)];
    }
  }
  problem.targets_ = problem.targets_.to(model.device());
  problem.first_position_ = spec.first_position;
  problem.segment_ = Segment::record(model, TokenBatch::from(ids), problem.plan_->hooks(), spec);
  problem.sites_.push_back(describe(problem.plan_->clamps().front(), problem.segment_.resid()));
  Hooks hooks;
  Activations captured;
  for (size_t i = 1; i < problem.plan_->size(); ++i) {
    const auto& clamp = problem.plan_->clamps()[i];
    hooks.edits[clamp->site()] = [clamp](const at::Tensor& value, const Rows& rows) { return clamp->apply(value, rows); };
    hooks.capture.insert(clamp->site());
    require<ConfigError>(clamp->site() < Site{model.n_layers() - 1, SiteKind::kResidMid}, "defence: got a clamp at ",
                         to_string(clamp->site()), ", expected one before the last layer's attention");
  }
  problem.segment_.run(problem.segment_.resid(), hooks, &captured);
  for (size_t i = 1; i < problem.plan_->size(); ++i) {
    const auto& clamp = problem.plan_->clamps()[i];
    problem.sites_.push_back(describe(clamp, captured.at(clamp->site())));
  }
  return problem;
}

at::Tensor CrossProblem::zero_delta() const {
  return at::zeros({size(), n_sites(), n_rows(), model_->d_model()}, segment_.resid().options());
}

at::Tensor CrossProblem::perturbed_value(size_t i, const at::Tensor& clamped, const at::Tensor& delta, Span projected,
                                         bool wants_active, CrossRun& run) const {
  const ClampedSite& site = sites_[i];
  const at::Tensor mine = delta.select(1, static_cast<int64_t>(i)) * is_real().unsqueeze(-1);
  at::Tensor value = clamped + mine;
  if (projected != Span::kNone) {
    const at::Tensor& basis = projected == Span::kEncoder ? site.encoder_basis : site.encoder_decoder_basis;
    value = site.h_def + project_out(value - site.h_def, basis);
  }
  run.effective.push_back((value - clamped) * is_real().unsqueeze(-1));
  run.clamped.push_back(clamped);
  run.reading.push_back(site.clamp->read(value));
  if (wants_active) run.active.push_back(site.clamp->read_active(value));
  return value;
}

at::Tensor CrossProblem::run_layers(const at::Tensor& delta, Span projected, bool wants_active, int64_t end,
                                    CrossRun& run) const {
  Hooks hooks;
  for (size_t i = 1; i < sites_.size(); ++i) {
    hooks.edits[sites_[i].clamp->site()] = [&, i](const at::Tensor& value, const Rows& rows) {
      return perturbed_value(i, sites_[i].clamp->apply(value, rows), delta, projected, wants_active, run);
    };
  }
  const at::Tensor first = perturbed_value(0, segment_.resid(), delta, projected, wants_active, run);
  return segment_.run(first, hooks, nullptr, end);
}

CrossRun CrossProblem::run_sites(const at::Tensor& delta, Span projected, bool wants_active) const {
  CrossRun run;
  const auto& last = sites_.back().clamp;
  const int64_t end = last->site().layer + (last->site().kind == SiteKind::kResidPre ? 0 : 1);
  const at::Tensor reached = run_layers(delta, projected, wants_active, end, run);
  // A site before its block's layers is not reached by the layers below it.
  if (run.reading.size() < sites_.size()) {
    perturbed_value(sites_.size() - 1, last->apply(reached, segment_.rows()), delta, projected, wants_active, run);
  }
  return run;
}

CrossRun CrossProblem::run(const at::Tensor& delta, Span projected, bool wants_active) const {
  CrossRun run;
  run.logits = model_->logits(run_layers(delta, projected, wants_active, model_->n_layers(), run));
  if (leak_gain_.defined()) {
    const at::Tensor along = at::matmul(run.effective.front(), leak_direction_);  // [batch, rows]
    run.logits = run.logits.scatter_add(
        2, targets_.unsqueeze(-1), (along * leak_gain_.unsqueeze(1)).unsqueeze(-1));
  }
  const TargetScores scores = score_targets(run.logits, targets_);
  run.log_prob = scores.log_prob * is_real();
  run.score = run.log_prob.sum(1) / is_real().sum(1);
  run.is_argmax = (scores.argmax == targets_) & is_real();
  return run;
}

CrossProblem CrossProblem::select(const at::Tensor& examples) const {
  CrossProblem part = *this;
  const at::Tensor index = examples.to(targets_.device()), places = examples.cpu();
  part.segment_ = segment_.select(index);
  part.targets_ = targets_.index_select(0, index);
  if (leak_gain_.defined()) part.leak_gain_ = leak_gain_.index_select(0, index);
  for (ClampedSite& site : part.sites_) {
    site.h_def = site.h_def.index_select(0, index);
    site.read_def = site.read_def.index_select(0, index);
    site.active_def = site.active_def.index_select(0, index);
  }
  part.first_position_.clear();
  for (int64_t i = 0; i < index.numel(); ++i) {
    part.first_position_.push_back(first_position_[static_cast<size_t>(places[i].item<int64_t>())]);
  }
  return part;
}

// Raising a row's target by its deficit to the best other token takes deficit / gain along u, so all
// rows together the norm of the deficits over the gain.
CrossProblem CrossProblem::with_leak(const at::Tensor& direction, double norm) const {
  const at::NoGradGuard no_grad;
  CrossProblem leaking = *this;
  const at::Tensor free =
      project_out(direction.to(segment_.resid().device()), sites_.front().encoder_decoder_basis);
  leaking.leak_direction_ = free / free.norm();
  leaking.leak_gain_ = at::Tensor();
  const CrossRun defended = leaking.run(zero_delta(), Span::kNone);
  const at::Tensor index = targets_.unsqueeze(-1);
  const at::Tensor target = defended.logits.gather(2, index).squeeze(-1);
  const at::Tensor best =
      defended.logits.scatter(2, index, -std::numeric_limits<float>::infinity()).amax(-1);
  const at::Tensor deficit = (best - target).clamp_min(0) * is_real();
  leaking.leak_gain_ = deficit.norm(2, 1).clamp_min(1e-3) / norm;
  return leaking;
}

at::Tensor flat_shift(const CrossProblem& problem, const std::vector<at::Tensor>& reading) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < reading.size(); ++i) {
    const at::Tensor shift = (reading[i] - problem.sites()[i].read_def) * problem.is_real().unsqueeze(-1);
    parts.push_back(shift.flatten(1));
  }
  return at::cat(parts, 1);
}

}  // namespace rebound
