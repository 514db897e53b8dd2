#include "rebound/probe/tpp_recovery.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "rebound/base/error.h"
#include "rebound/recover/adam.h"
#include "rebound/recover/constraint.h"
#include "rebound/recover/solver.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

constexpr double kNothing = 1e-6;  // share of |w| below which P w is rounding
constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

at::Tensor token_counts(const at::Tensor& mask) { return mask.sum(1).to(at::kDouble); }

// Of the text's delta, on the perturbed rows. [batch]
at::Tensor added_logit(const PooledReadout& readout,
                       const PooledBatch& batch,
                       const at::Tensor& delta) {
  const at::Tensor seen = delta * batch.perturbed.unsqueeze(-1).to(delta.scalar_type());
  return at::matmul(seen.sum(1), readout.weight.to(delta.scalar_type())) /
         token_counts(batch.is_pooled).to(delta.scalar_type());
}

// Adds one batch's figures to sums over texts.
class Tally {
 public:
  explicit Tally(PooledRecovery& out) : out_(out) { out.certificate_ratio = kUndefined; }

  // best: the most that a perturbation of `budget` gains, [batch].
  void add(const PooledReadout& readout,
           const PooledBatch& batch,
           const at::Tensor& delta,
           const at::Tensor& best,
           double budget) {
    const at::Tensor gain = pooled_gain(readout, batch, delta);
    PooledBatch whole = batch;
    whole.perturbed = batch.is_pooled;
    const at::Tensor defended = pooled_gain(readout, whole, batch.value) + readout.intercept;
    for (int64_t i = 0; i < gain.size(0); ++i) {
      const double gained = gain[i].item<double>(), most = best[i].item<double>();
      is_recovered_.push_back(defended[i].item<double>() + gained > 0);
      // The gain grows linearly with the budget.
      const double gap = std::max(0.0, -defended[i].item<double>());
      budgets_.push_back(most > 0 ? budget * gap / most : kInfinity);
      out_.recovered += is_recovered_.back() ? 1 : 0;
      out_.gain += gained;
      if (most > 0) out_.certificate_ratio = std::fmin(out_.certificate_ratio, gained / most);
    }
  }

  // The ablated features of the same texts, re-encoded before and after delta.
  void add_features(const Sae& sae,
                    const Sae::Features& ablated,
                    const PooledBatch& batch,
                    const at::Tensor& delta) {
    const at::Tensor after = batch.value + delta;
    const at::Tensor pooled = batch.is_pooled.unsqueeze(-1);
    const auto norm = [&](const at::Tensor& shift) {
      return (shift * pooled.to(shift.scalar_type())).flatten(1).norm(2, {1}).sum().item<double>();
    };
    const at::Tensor f_def = sae.encode(batch.value, ablated), f = sae.encode(after, ablated);
    out_.drift_pre +=
        norm(sae.pre_activations(after, ablated) - sae.pre_activations(batch.value, ablated));
    out_.drift_post += norm(f - f_def);
    const at::Tensor off = (f_def == 0).logical_and(pooled);
    const at::Tensor back = off.logical_and(f != 0).sum({1, 2}), all = off.sum({1, 2});
    for (int64_t i = 0; i < back.size(0); ++i) {
      const auto count = back[i].item<int64_t>();
      out_.reactivated_fraction +=
          static_cast<double>(count) / std::max(1.0, all[i].item<double>());
      const size_t text = is_recovered_.size() - static_cast<size_t>(back.size(0) - i);
      out_.zero_reactivation += count == 0 && is_recovered_[text] ? 1 : 0;
    }
  }

  // Sums become means.
  void finish() {
    const double n = out_.n > 0 ? static_cast<double>(out_.n) : kUndefined;
    for (double* sum :
         {&out_.reactivated_fraction, &out_.drift_pre, &out_.drift_post, &out_.gain}) {
      *sum /= n;
    }
    out_.minimal_budget = median(budgets_);
  }

 private:
  PooledRecovery& out_;
  std::vector<bool> is_recovered_;
  std::vector<double> budgets_;
};

}  // namespace

void PooledRecoveryOptions::validate() const {
  require<ConfigError>(std::isfinite(budget) && budget > 0, "budget must be > 0, got ", budget);
  require<ConfigError>(perturbed >= 0, "perturbed must be >= 0 (0: all tokens), got ", perturbed);
  require<ConfigError>(
      max_steps > 0 && step > 0 && tolerance >= 0 && batch > 0,
      "PooledRecoveryOptions: max_steps, step and batch must be > 0, tolerance >= 0");
}

PooledBatch PooledBatch::from(const std::vector<at::Tensor>& tokens, int64_t perturbed) {
  int64_t rows = 0;
  for (const at::Tensor& text : tokens) rows = std::max(rows, text.size(0));
  const auto n = static_cast<int64_t>(tokens.size());
  PooledBatch out;
  out.value = at::zeros({n, rows, tokens.at(0).size(1)}, at::kFloat);
  out.is_pooled = at::zeros({n, rows}, at::kBool);
  out.perturbed = at::zeros({n, rows}, at::kBool);
  for (int64_t i = 0; i < n; ++i) {
    const at::Tensor& text = tokens[static_cast<size_t>(i)];
    const int64_t length = text.size(0);
    const int64_t some = perturbed == 0 ? length : std::min(perturbed, length);
    out.value[i].narrow(0, 0, length).copy_(text);
    out.is_pooled[i].narrow(0, 0, length).fill_(true);
    out.perturbed[i].narrow(0, length - some, some).fill_(true);
  }
  return out;
}

at::Tensor pooled_rung_basis(const std::string& rung,
                             const Sae& sae,
                             const Sae::Features& features) {
  require<ConfigError>(
      rung == "none" || rung == "encoder", "rung: got ", rung, ", expected none or encoder");
  if (rung == "none" || features.empty()) return {};
  const at::Tensor columns = sae.encoder_columns(features).to(at::kDouble);
  return orthonormal_basis(columns / columns.norm(2, 0, /*keepdim=*/true).clamp_min(1e-30));
}

at::Tensor project_off(const at::Tensor& x, const at::Tensor& basis) {
  if (!basis.defined()) return x;
  if (basis.size(0) == basis.size(1)) return at::zeros_like(x);
  const at::Tensor q = basis.to(x.scalar_type());
  // Twice: the second pass removes the rounding of the first.
  const at::Tensor once = x - at::matmul(at::matmul(x, q), q.t());
  return once - at::matmul(at::matmul(once, q), q.t());
}

at::Tensor pooled_gain(const PooledReadout& readout,
                       const PooledBatch& batch,
                       const at::Tensor& delta) {
  return added_logit(readout, batch, delta.to(at::kDouble));
}

at::Tensor best_pooled_gain(const PooledReadout& readout,
                            const PooledBatch& batch,
                            const at::Tensor& basis,
                            double budget) {
  const at::Tensor w = readout.weight.to(at::kDouble);
  double free = project_off(w, basis).norm().item<double>();
  if (free <= kNothing * w.norm().item<double>()) free = 0;
  return budget * free * token_counts(batch.perturbed).sqrt() / token_counts(batch.is_pooled);
}

at::Tensor maximise_pooled(const PooledReadout& readout,
                           const PooledBatch& batch,
                           const at::Tensor& basis,
                           const PooledRecoveryOptions& options) {
  options.validate();
  const at::Tensor budget = at::full({batch.value.size(0)}, options.budget, at::kFloat);
  const at::Tensor entries =
      (batch.perturbed.sum(1) * batch.value.size(2)).to(at::kFloat).view({-1, 1, 1});
  at::Tensor delta = at::zeros_like(batch.value);
  Adam adam = {at::zeros_like(delta), at::zeros_like(entries)};
  at::Tensor last = at::zeros({batch.value.size(0)}, at::kFloat);
  // Adam's direction has a root mean square of 1.
  const at::Tensor lr = options.step * options.budget / entries.sqrt();
  for (int64_t step = 1; step <= options.max_steps; ++step) {
    const at::AutoGradMode with_grad(true);
    const at::Tensor leaf = delta.detach().requires_grad_(true);
    const at::Tensor score = added_logit(readout, batch, leaf);
    const at::Tensor gradient = torch::autograd::grad({-score.sum()}, {leaf})[0];
    const at::NoGradGuard no_grad;
    const at::Tensor now = score.detach();
    if (step > 2 && (now - last <= options.tolerance * now.abs()).all().item<bool>()) break;
    last = now;
    const at::Tensor free = project_off(gradient, basis);
    // One second moment for a text: along a constant gradient its steps keep the gradient's
    // direction.
    const at::Tensor square = free.square().sum({1, 2}, /*keepdim=*/true) / entries;
    delta = project_off(delta - lr * adam.direction(free, square, step, {}), basis);
    delta = capped(delta, budget);
  }
  return delta;
}

at::Tensor ablate(const Sae& sae, const Sae::Features& features, const at::Tensor& x) {
  return features.empty() ? x : x + sae.decode_delta(features, -sae.encode(x, features), x);
}

PooledRecovery recover_pooled(const std::string& rung,
                              const std::vector<at::Tensor>& tokens,
                              const PooledReadout& readout,
                              const Sae& sae,
                              const Sae::Features& ablated,
                              const PooledRecoveryOptions& options) {
  options.validate();
  const at::NoGradGuard no_grad;
  PooledRecovery out = {.rung = rung, .n = static_cast<int64_t>(tokens.size())};
  const at::Tensor basis = pooled_rung_basis(rung, sae, ablated);
  out.free_dimension = sae.d_in() - (basis.defined() ? basis.size(1) : 0);
  Tally tally(out);
  for (int64_t first = 0; first < out.n; first += options.batch) {
    std::vector<at::Tensor> defended;
    for (int64_t i = first; i < std::min(out.n, first + options.batch); ++i) {
      defended.push_back(ablate(sae, ablated, tokens[static_cast<size_t>(i)]));
    }
    const PooledBatch batch = PooledBatch::from(defended, options.perturbed);
    const at::Tensor delta = maximise_pooled(readout, batch, basis, options);
    const at::Tensor best = best_pooled_gain(readout, batch, basis, options.budget);
    tally.add(readout, batch, delta, best, options.budget);
    tally.add_features(sae, ablated, batch, delta);
  }
  tally.finish();
  return out;
}

}  // namespace rebound
