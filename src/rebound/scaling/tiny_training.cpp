#include "rebound/scaling/tiny_training.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/progress.h"
#include "rebound/base/shape.h"

namespace rebound {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.99;
constexpr int64_t kLastShare = 20;  // a twentieth

torch::optim::AdamW optimiser_of(const TinyLlama& model, const TinyTrainOptions& options) {
  const auto group = [&](std::vector<at::Tensor> tensors, double decay) {
    auto settings = std::make_unique<torch::optim::AdamWOptions>(options.lr);
    settings->betas(std::make_tuple(kBeta1, kBeta2)).weight_decay(decay);
    return torch::optim::OptimizerParamGroup(std::move(tensors), std::move(settings));
  };
  return torch::optim::AdamW(std::vector<torch::optim::OptimizerParamGroup>{
      group(model.matrices(), options.weight_decay), group(model.gains(), 0)});
}

void set_learning_rate(torch::optim::AdamW& optimiser, double lr) {
  for (torch::optim::OptimizerParamGroup& group : optimiser.param_groups()) {
    static_cast<torch::optim::AdamWOptions&>(group.options()).lr(lr);
  }
}

std::string loss_text(double loss) {
  char text[32];
  std::snprintf(text, sizeof text, "loss %.3f", loss);
  return text;
}

}  // namespace

void TinyTrainOptions::validate() const {
  require<ConfigError>(steps > 0, "TinyTrainOptions.steps must be > 0, got ", steps);
  require<ConfigError>(
      batch_contexts > 0, "TinyTrainOptions.batch_contexts must be > 0, got ", batch_contexts);
  require<ConfigError>(lr > 0 && std::isfinite(lr), "TinyTrainOptions.lr must be > 0, got ", lr);
  require<ConfigError>(warmup_fraction >= 0 && warmup_fraction < 1,
                       "TinyTrainOptions.warmup_fraction must be in [0, 1), got ",
                       warmup_fraction);
  require<ConfigError>(
      weight_decay >= 0, "TinyTrainOptions.weight_decay must be >= 0, got ", weight_decay);
  require<ConfigError>(clip_norm > 0, "TinyTrainOptions.clip_norm must be > 0, got ", clip_norm);
}

double TinyTrainOptions::learning_rate(int64_t step) const {
  const auto done = static_cast<double>(step), all = static_cast<double>(steps);
  const double warm = std::floor(warmup_fraction * all);
  if (done < warm) return lr * (done + 1) / warm;
  return lr * (all - done) / (all - warm);
}

TinyTraining train_tiny_llama(TinyLlama& model,
                              const at::Tensor& contexts,
                              const TinyTrainOptions& options,
                              const std::string& title) {
  options.validate();
  check_shape("contexts", contexts, {{"batch"}, {"pos"}});
  const int64_t batch = options.batch_contexts;
  require<ConfigError>(contexts.size(0) >= options.steps * batch,
                       title,
                       ": got ",
                       contexts.size(0),
                       " contexts of text, expected at least ",
                       options.steps * batch,
                       " (each is used once); give more --text, or less --base-flops");
  const at::AutoGradMode grad_mode(true);
  torch::optim::AdamW optimiser = optimiser_of(model, options);
  std::vector<at::Tensor> leaves = model.matrices();
  for (const at::Tensor& gain : model.gains()) leaves.push_back(gain);
  const int64_t last_from = options.steps - std::max<int64_t>(1, options.steps / kLastShare);
  TinyTraining out;
  Progress progress(title, options.steps);
  for (int64_t step = 0; step < options.steps; ++step) {
    set_learning_rate(optimiser, options.learning_rate(step));
    const at::Tensor ids = contexts.slice(0, step * batch, (step + 1) * batch).to(at::kLong);
    const at::Tensor loss = model.loss(ids);
    const double value = loss.item<double>();
    require<NumericError>(std::isfinite(value), title, ": got loss ", value, " at step ", step);
    optimiser.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(leaves, options.clip_norm);
    optimiser.step();
    if (step == 0) out.first_loss = value;
    if (step >= last_from) out.last_loss += value / static_cast<double>(options.steps - last_from);
    progress.update(step + 1, loss_text(value));
  }
  return out;
}

}  // namespace rebound
