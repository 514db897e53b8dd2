#include "rebound/recover/measure.h"

#include <torch/torch.h>

#include <algorithm>
#include <limits>

#include "rebound/base/parallel.h"
#include "rebound/model/margin.h"
#include "rebound/recover/norms.h"

namespace rebound {
namespace {

constexpr double kNearZero = 1e-6;

at::Tensor ratio_or_nan(const at::Tensor& top, const at::Tensor& bottom) {
  return at::where(bottom > kNearZero,
                   top / bottom.clamp_min(kNearZero),
                   at::full_like(top, std::numeric_limits<float>::quiet_NaN()));
}

// A column of one figure, read out once.
class Column {
 public:
  explicit Column(const at::Tensor& tensor) : values_(tensor.cpu().to(at::kDouble).contiguous()) {}
  double operator[](size_t i) const { return values_.data_ptr<double>()[i]; }

 private:
  at::Tensor values_;
};

}  // namespace

namespace {

std::vector<Measurement> measure_part(const Problem& problem,
                                      const at::Tensor& delta,
                                      const MeasureContext& context) {
  const at::NoGradGuard no_grad;
  const Sae& sae = problem.defence->sae();
  const Sae::Features& features = problem.defence->features();
  const at::Tensor real = problem.segment.rows().is_real.unsqueeze(-1);
  const at::Tensor h_def = problem.segment.resid();
  const at::Tensor placed = (delta * problem.perturbed.unsqueeze(-1)).expand_as(h_def);
  const at::Tensor x = problem.perturbed_value(delta);

  const at::Tensor pre_def = sae.pre_activations(h_def, features) * real;
  const at::Tensor pre_shift = problem.pre_shift(x);
  const at::Tensor post_def = sae.encode(h_def, features) * real;
  const at::Tensor post = sae.encode(x, features) * real;
  const at::Tensor post_shift = post - post_def;
  const at::Tensor off = (post_def == 0) & real;
  const at::Tensor reactivated = (off & (post != 0)).sum({1, 2}).to(at::kFloat);
  const at::Tensor values_per_example =
      (real.sum({1, 2}) * static_cast<int64_t>(features.size())).to(at::kFloat);
  const at::Tensor undo = (context.h_base - h_def) * problem.perturbed.unsqueeze(-1);
  const at::Tensor dot = (placed * undo).sum({1, 2});

  const Problem::Evaluation now = problem.evaluate(x, delta);
  const at::Tensor log_probs = at::log_softmax(problem.model->logits(now.final_resid), -1);
  const at::Tensor kl =
      problem.base_log_probs.defined()
          ? (problem.base_log_probs.exp() * (problem.base_log_probs - log_probs)).sum(-1)
          : at::full_like(now.score, std::numeric_limits<float>::quiet_NaN());

  const Column score(now.score), norm(norms_of(placed)),
      norm_rel(ratio_or_nan(norms_of(placed), norms_of(h_def * problem.perturbed.unsqueeze(-1)))),
      pre(norms_of(pre_shift)), pre_rel(ratio_or_nan(norms_of(pre_shift), norms_of(pre_def))),
      rmse(norms_of(pre_shift) / values_per_example.sqrt()), linf(pre_shift.abs().amax({1, 2})),
      post_l2(norms_of(post_shift)),
      post_rel(ratio_or_nan(norms_of(post_shift), norms_of(post_def))),
      decode(norms_of(sae.decode_delta(features, post_shift, h_def))),
      reactivation(reactivated / off.sum({1, 2}).clamp_min(1)),
      floor(ratio_or_nan(norms_of(at::relu(-post_shift)), norms_of(post_def))), kl_base(kl),
      nll(-log_probs.gather(1, problem.contests.target.unsqueeze(1)).squeeze(1)),
      cosine(ratio_or_nan(dot, norms_of(placed) * norms_of(undo))),
      share(ratio_or_nan(norms_of(at::matmul(placed, context.encoder_basis)).square(),
                         norms_of(placed).square()));
  std::vector<Measurement> out(static_cast<size_t>(problem.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = {.score = score[i],
              .norm = norm[i],
              .norm_rel = norm_rel[i],
              .drift_pre_l2 = pre[i],
              .drift_pre_rel = pre_rel[i],
              .drift_pre_rmse = rmse[i],
              .drift_pre_linf = linf[i],
              .drift_post_l2 = post_l2[i],
              .drift_post_rel = post_rel[i],
              .decode_drift = decode[i],
              .reactivated_fraction = reactivation[i],
              .floor_violation = floor[i],
              .kl_to_base = kl_base[i],
              .answer_nll = nll[i],
              .cosine_to_undo = cosine[i],
              .share_in_encoder_span = share[i]};
  }
  return out;
}

}  // namespace

std::vector<Measurement> measure(const Problem& problem,
                                 const at::Tensor& delta,
                                 const MeasureContext& context) {
  const int64_t n = problem.size(), count = std::min(n, worker_count());
  const auto longs = problem.budget.options().dtype(at::kLong);
  std::vector<std::vector<Measurement>> parts(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const int64_t first = n * i / count, size = n * (i + 1) / count - first;
    const bool is_shared = delta.size(0) == 1 && n > 1;
    parts[static_cast<size_t>(i)] =
        measure_part(problem.select(at::arange(first, first + size, longs)),
                     is_shared ? delta : delta.narrow(0, first, size),
                     {context.h_base.narrow(0, first, size), context.encoder_basis});
  });
  std::vector<Measurement> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

at::Tensor binding_features(const Problem& problem,
                            const at::Tensor& delta,
                            const at::Tensor& pre_std) {
  constexpr double kThreshold = 0.1;
  const at::NoGradGuard no_grad;
  const at::Tensor shift =
      problem.pre_shift(problem.perturbed_value(delta)).abs().amax(1);  // [batch, n]
  const at::Tensor index = at::tensor(problem.defence->features(), at::kLong).to(shift.device());
  return shift > kThreshold * pre_std.index_select(0, index);
}

namespace {

// Prompts [first, first + n) of a recheck.
struct RecheckPart {
  int64_t first, n;
};

at::Tensor recheck_part(const Problem& problem,
                        const at::Tensor& placed,
                        const RecheckInput& input,
                        RecheckPart part) {
  const auto add_delta = [&](const at::Tensor& value) {
    at::Tensor out = value.clone();
    for (int64_t i = 0; i < part.n; ++i) {
      const int64_t position = input.first_position[static_cast<size_t>(part.first + i)];
      const int64_t rows = std::min(placed.size(1), out.size(1) - position);
      out[i].narrow(0, position, rows).add_(placed[part.first + i].narrow(0, 0, rows));
    }
    return out;
  };
  Hooks hooks;
  hooks.edits[problem.defence->site()] = [&](const at::Tensor& value, const Rows& rows) {
    if (problem.threat == ThreatModel::kBeforeClamp)
      return problem.defence->apply(add_delta(value), rows);
    return add_delta(problem.defence->apply(value, rows));
  };
  const auto begin = input.tokens.lengths.begin() + part.first;
  const TokenBatch tokens{input.tokens.ids.narrow(0, part.first, part.n), {begin, begin + part.n}};
  const at::Tensor resid = input.model->run(tokens, {.hooks = hooks}).resid;
  const at::Tensor last =
      at::tensor(tokens.lengths, at::kLong).view({-1, 1, 1}).to(resid.device()) - 1;
  const at::Tensor answer = resid.gather(1, last.expand({-1, 1, resid.size(2)})).squeeze(1);
  return margins_of_logits(input.model->logits(answer),
                           problem.contests.target.narrow(0, part.first, part.n),
                           problem.contests.rival.narrow(0, part.first, part.n));
}

}  // namespace

at::Tensor recheck_scores(const Problem& problem,
                          const at::Tensor& delta,
                          const RecheckInput& input) {
  const at::NoGradGuard no_grad;
  const at::Tensor placed =
      (delta * problem.perturbed.unsqueeze(-1)).expand_as(problem.segment.resid());
  const int64_t n = input.tokens.size(), count = std::min(n, worker_count());
  std::vector<at::Tensor> scores(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const int64_t first = n * i / count, end = n * (i + 1) / count;
    scores[static_cast<size_t>(i)] = recheck_part(problem, placed, input, {first, end - first});
  });
  return at::cat(scores);
}

}  // namespace rebound
