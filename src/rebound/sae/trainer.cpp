#include "rebound/sae/trainer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "rebound/base/parallel.h"
#include "rebound/base/shape.h"
#include "rebound/sae/vector_math.h"

namespace rebound {
namespace {

constexpr int64_t kLatentGrain = 32;
constexpr float kBeta1 = 0.9f;
constexpr float kBeta2 = 0.999f;
constexpr float kAdamEps = 1e-8f;

AdamStep adam_step(double lr, int64_t step) {
  const auto n = static_cast<double>(step);
  return {.lr = static_cast<float>(lr),
          .beta1 = kBeta1,
          .beta2 = kBeta2,
          .eps = kAdamEps,
          .correction1 = static_cast<float>(1 - std::pow(kBeta1, n)),
          .correction2 = static_cast<float>(1 - std::pow(kBeta2, n))};
}

// Latent rows of the parameters as raw memory.
struct ParameterRows {
  explicit ParameterRows(TrainState::Moments& moments)
      : value(moments.value.data_ptr<float>()),
        m(moments.m.data_ptr<float>()),
        v(moments.v.data_ptr<float>()) {}
  void update(int64_t offset, int64_t n, const float* g, const AdamStep& step) {
    adam(value + offset, m + offset, v + offset, g, n, step);
  }
  float* value;
  float* m;
  float* v;
};

void remove_part_along(const float* unit, float* g, int64_t d) {
  add_scaled(g, unit, -dot(g, unit, d), d);
}

void normalize(float* row, int64_t d) {
  const float scale = 1.0f / std::max(std::sqrt(dot(row, row, d)), 1e-12f);
  for (int64_t i = 0; i < d; ++i) row[i] *= scale;
}

double squared_sum(const at::Tensor& x) { return x.square().sum().item<double>(); }

}  // namespace

SaeTrainer::SaeTrainer(TrainOptions options, TrainState state, int64_t total_steps)
    : options_(std::move(options)), state_(std::move(state)), total_steps_(total_steps) {
  options_.validate();
  W_enc_bf16_ = state_.W_enc.value.to(at::kBFloat16);
}

double SaeTrainer::learning_rate(int64_t step) const {
  const double warm =
      options_.warmup_steps > 0 ? (step + 1.0) / static_cast<double>(options_.warmup_steps) : 1.0;
  const double decay_steps =
      std::max(1.0, options_.decay_fraction * static_cast<double>(total_steps_));
  const double left = static_cast<double>(total_steps_ - step) / decay_steps;
  return options_.lr * std::clamp(std::min(warm, left), 0.0, 1.0);
}

std::vector<int32_t> SaeTrainer::dead_latents() const {
  std::vector<int32_t> dead;
  const int64_t* off = state_.tokens_off.data_ptr<int64_t>();
  for (int64_t j = 0; j < options_.d_sae; ++j) {
    if (off[j] >= options_.dead_after_tokens) dead.push_back(static_cast<int32_t>(j));
  }
  return dead;
}

SparseCode SaeTrainer::select(const at::Tensor& pre) {
  return options_.selection == Selection::kTopK ? select_top_k(pre, options_.k, state_.floor)
                                                : select_batch_top_k(pre, options_.k, state_.floor);
}

void SaeTrainer::count_firing(const LatentIndex& index, int64_t tokens) {
  int64_t* off = state_.tokens_off.data_ptr<int64_t>();
  for (int64_t j = 0; j < options_.d_sae; ++j) {
    off[j] = index.begin[j] == index.begin[j + 1] ? off[j] + tokens : 0;
  }
}

SparseTerm SaeTrainer::aux_term(const at::Tensor& pre,
                                const SparseTerm& main,
                                const std::vector<int32_t>& dead) const {
  const auto tokens =
      static_cast<int64_t>(options_.aux_token_fraction * static_cast<double>(main.code.tokens()));
  const at::Tensor target = -main.e.slice(0, 0, tokens);
  const double size = std::max(squared_sum(target), 1e-12);
  return make_term(select_top_k_among(pre, dead, options_.aux_k, tokens),
                   state_.W_dec.value,
                   target,
                   main.x,
                   static_cast<float>(2 * options_.aux_coefficient / size));
}

StepStats SaeTrainer::step(const at::Tensor& x) {
  at::NoGradGuard no_grad;
  const int64_t d_in = state_.W_dec.value.size(1);
  check_shape("training batch", x, {{"tokens"}, {"d_in", d_in}});
  const int64_t tokens = x.size(0);
  const at::Tensor centred = x.to(at::kFloat).mul(state_.input_scale).sub_(state_.b_dec.value);
  const at::Tensor pre =
      at::linear(centred.to(at::kBFloat16), W_enc_bf16_, state_.b_enc.value.to(at::kBFloat16));

  std::vector<SparseTerm> terms;
  const float scale = 2.0f / static_cast<float>(tokens * d_in);
  terms.push_back(make_term(select(pre), state_.W_dec.value, centred, centred, scale));
  const std::vector<int32_t> dead = dead_latents();
  if (options_.aux_k > 0 && !dead.empty()) terms.push_back(aux_term(pre, terms.front(), dead));

  const SparseTerm& main = terms.front();
  StepStats stats;
  stats.lr = learning_rate(state_.step);
  stats.l0 = static_cast<double>(main.code.entries()) / static_cast<double>(tokens);
  stats.dead_share = static_cast<double>(dead.size()) / static_cast<double>(options_.d_sae);
  stats.fvu = squared_sum(main.e) / squared_sum(centred - centred.mean(0));
  count_firing(main.index, tokens);
  update(terms);
  return stats;
}

void SaeTrainer::update(const std::vector<SparseTerm>& terms) {
  const int64_t d = state_.W_dec.value.size(1);
  const AdamStep step = adam_step(learning_rate(state_.step), state_.step + 1);
  ParameterRows enc(state_.W_enc), dec(state_.W_dec), b_enc(state_.b_enc), b_dec(state_.b_dec);
  auto* enc_bf16 = static_cast<uint16_t*>(W_enc_bf16_.data_ptr());

  // b_dec enters the encoder's input and the reconstruction; AuxK holds it constant.
  at::Tensor sum_df = at::zeros({options_.d_sae});
  const SparseTerm& main = terms.front();
  float* sums = sum_df.data_ptr<float>();
  for (int64_t i = 0; i < main.code.entries(); ++i) sums[main.code.latent[i]] += main.df[i];
  at::Tensor b_dec_gradient =
      main.e.sum(0).mul_(main.scale).sub_(at::mv(state_.W_enc.value.t(), sum_df)).contiguous();

  run_ranges(options_.d_sae, kLatentGrain, [&](int64_t first, int64_t last) {
    std::vector<float> g(static_cast<size_t>(2 * d));
    for (int64_t j = first; j < last; ++j) {
      std::fill(g.begin(), g.end(), 0.0f);
      LatentGradient gradient{.W_dec = g.data(), .W_enc = g.data() + d};
      for (const SparseTerm& term : terms) add_latent_gradient(term, j, d, gradient);
      remove_part_along(dec.value + j * d, gradient.W_dec, d);
      dec.update(j * d, d, gradient.W_dec, step);
      normalize(dec.value + j * d, d);
      enc.update(j * d, d, gradient.W_enc, step);
      b_enc.update(j, 1, &gradient.b_enc, step);
      to_bfloat16_nearest(enc.value + j * d, enc_bf16 + j * d, d);
    }
  });
  b_dec.update(0, d, b_dec_gradient.data_ptr<float>(), step);
  ++state_.step;
}

Sae SaeTrainer::top_k_sae() const {
  const auto scale = static_cast<float>(state_.input_scale);
  SaeConfig config;
  config.kind = SaeKind::kTopK;
  config.k = options_.k;
  config.d_sae = options_.d_sae;
  config.d_in = state_.W_dec.value.size(1);
  // x' = s x - b_dec; dividing codes by s leaves W_enc and the unit decoder rows as they are.
  return Sae(config,
             {.W_enc = state_.W_enc.value.t(),
              .b_enc = state_.b_enc.value / scale,
              .W_dec = state_.W_dec.value.clone(),
              .b_dec = state_.b_dec.value / scale,
              .threshold = {}});
}

Sae with_calibrated_threshold(const Sae& sae, const at::Tensor& sample, double target_l0) {
  at::NoGradGuard no_grad;
  require<ConfigError>(target_l0 > 0 && target_l0 < static_cast<double>(sae.d_sae()),
                       "target L0: got ",
                       target_l0,
                       ", expected between 0 and d_sae");
  constexpr int64_t kChunk = 2048;
  const auto wanted = static_cast<int64_t>(target_l0 * static_cast<double>(sample.size(0)));
  std::vector<at::Tensor> kept;  // the largest codes; far more than wanted
  for (int64_t first = 0; first < sample.size(0); first += kChunk) {
    const at::Tensor x = sample.slice(0, first, first + kChunk).to(at::kFloat);
    const at::Tensor pre = sae.pre_activations(x).relu_().flatten();
    const int64_t keep = std::min(pre.numel(), x.size(0) * 8 * static_cast<int64_t>(target_l0 + 1));
    kept.push_back(std::get<0>(pre.topk(keep, -1, true, false)));
  }
  const at::Tensor values = at::cat(kept);
  require<DataError>(values.numel() > wanted, "calibration: too few activations");
  const at::Tensor top = std::get<0>(values.topk(wanted + 1));
  SaeConfig config = sae.config();
  config.kind = SaeKind::kJumpRelu;
  config.k = 0;
  SaeWeights weights = sae.weights();
  weights.threshold = at::full({sae.d_sae()}, top[wanted].item<float>());
  return Sae(config, weights);
}

}  // namespace rebound
