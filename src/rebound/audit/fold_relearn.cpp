#include "rebound/audit/fold_relearn.h"

#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/base/rng.h"
#include "rebound/recover/adam.h"

namespace rebound {
namespace {

constexpr uint64_t kAdapterStream = 0x6c6f7261;
constexpr int64_t kPromptsAtOnce =
    8;  // a backward pass keeps about 1 MB a token of every prompt in work

// The matrices that get an adapter, in one order.
std::vector<at::Tensor*> adapted(ModelWeights& weights) {
  std::vector<at::Tensor*> matrices;
  for (LayerWeights& layer : weights.layers) {
    matrices.push_back(&layer.o.dense());
    matrices.push_back(&layer.down.dense());
  }
  return matrices;
}

// A [rank, in] and B [out, rank] of each adapted matrix, in turns.
std::vector<at::Tensor> make_adapters(ModelWeights weights, const RelearnOptions& options) {
  std::vector<at::Tensor> adapters;
  for (const at::Tensor* matrix : adapted(weights)) {
    const int64_t in = matrix->size(1);
    Rng rng({options.seed, static_cast<uint64_t>(adapters.size()), kAdapterStream});
    const at::Tensor a =
        at::tensor(rng.normals(options.rank * in)).to(matrix->device(), at::kFloat);
    adapters.push_back(a.view({options.rank, in}) / std::sqrt(static_cast<double>(in)));
    adapters.push_back(at::zeros({matrix->size(0), options.rank}, a.options()));
  }
  return adapters;
}

Transformer with_adapters(const Transformer& model, const std::vector<at::Tensor>& adapters) {
  ModelWeights weights = model.weights();
  const std::vector<at::Tensor*> matrices = adapted(weights);
  for (size_t i = 0; i < matrices.size(); ++i) {
    *matrices[i] = *matrices[i] + at::matmul(adapters[2 * i + 1], adapters[2 * i]);
  }
  return Transformer(model.config(), std::move(weights));
}

// -log p(correct) at the last position, summed over the prompts.
at::Tensor loss_sum(const Transformer& model, const ScoredPrompts& prompts, const Hooks& hooks) {
  const at::Tensor resid = model.run(prompts.tokens, {.hooks = hooks}).resid;
  const at::Tensor last = at::tensor(prompts.tokens.lengths, at::kLong).to(resid.device()) - 1;
  const at::Tensor index = last.view({-1, 1, 1}).expand({-1, 1, resid.size(2)});
  const at::Tensor log_probs = at::log_softmax(model.logits(resid.gather(1, index).squeeze(1)), -1);
  const at::Tensor correct = prompts.correct.to(log_probs.device());
  return -log_probs.gather(1, correct.unsqueeze(1)).sum();
}

struct LossAndGradient {
  double loss = 0;
  std::vector<at::Tensor> gradient;  // as the adapters; empty unless wanted
};

LossAndGradient evaluate(const Transformer& model,
                         const ScoredPrompts& prompts,
                         const Hooks& hooks,
                         const std::vector<at::Tensor>& adapters,
                         bool wants_gradient) {
  const int64_t n = prompts.tokens.size(), count = (n + kPromptsAtOnce - 1) / kPromptsAtOnce;
  std::vector<LossAndGradient> parts(static_cast<size_t>(count));
  run_parts(count, [&](int64_t i) {
    const at::AutoGradMode grad_mode(wants_gradient);
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& adapter : adapters) {
      leaves.push_back(adapter.detach().requires_grad_(wants_gradient));
    }
    const at::Tensor loss = loss_sum(
        with_adapters(model, leaves), prompts.slice(n * i / count, n * (i + 1) / count), hooks);
    LossAndGradient& part = parts[static_cast<size_t>(i)];
    part.loss = loss.item<double>();
    if (wants_gradient) part.gradient = torch::autograd::grad({loss}, leaves);
  });
  LossAndGradient mean = std::move(parts.front());
  for (size_t p = 1; p < parts.size(); ++p) {
    mean.loss += parts[p].loss;
    for (size_t i = 0; i < mean.gradient.size(); ++i)
      mean.gradient[i] = mean.gradient[i] + parts[p].gradient[i];
  }
  mean.loss /= static_cast<double>(n);
  for (at::Tensor& gradient : mean.gradient) gradient = gradient / static_cast<double>(n);
  return mean;
}

RelearnOptions options_of(const AuditSpec& spec) {
  RelearnOptions options;
  options.seed = spec.seed;
  return options;
}

FinishedBatch run_relearn(const BatchContext& context,
                          const RowEnvironment& environment,
                          RelearnOn what) {
  const Subject& subject = *context.subject;
  const std::vector<const Prompt*> training = relearning_prompts(subject, environment.fold, what);
  if (training.empty()) return {};
  const auto started = std::chrono::steady_clock::now();
  const RelearnOptions options = options_of(environment.spec);
  const Hooks hooks = context.defence->hooks();
  const Relearned found = relearn(*subject.model, scored(training), hooks, options);
  std::vector<const Prompt*> tested;
  for (const ScoredExample& flip : context.flips) tested.push_back(flip.prompt);
  const at::NoGradGuard no_grad;
  const at::Tensor margin = logit_differences(found.model, scored(tested), hooks);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  FinishedBatch finished;
  for (size_t i = 0; i < tested.size(); ++i) {
    StoredResult result;
    result.prompt = context.flips[i].index;
    result.score = result.recheck_score = margin[static_cast<int64_t>(i)].item<double>();
    result.recovered = result.score > 0;
    result.steps = options.steps;
    result.seconds = seconds / static_cast<double>(tested.size());
    result.termination = "max_steps";
    result.figures = {{"n_trained", training.size()},
                      {"loss_before", found.loss.front()},
                      {"loss_after", found.loss.back()}};
    finished.results.push_back(std::move(result));
  }
  return finished;
}

}  // namespace

void RelearnOptions::validate() const {
  require<ConfigError>(steps >= 0, "RelearnOptions.steps must be >= 0, got ", steps);
  require<ConfigError>(rank > 0, "RelearnOptions.rank must be > 0, got ", rank);
  require<ConfigError>(lr > 0, "RelearnOptions.lr must be > 0, got ", lr);
}

Relearned relearn(const Transformer& model,
                  const ScoredPrompts& prompts,
                  const Hooks& hooks,
                  const RelearnOptions& options) {
  options.validate();
  std::vector<at::Tensor> adapters = make_adapters(model.weights(), options);
  std::vector<Adam> adam(adapters.size());
  for (size_t i = 0; i < adapters.size(); ++i) {
    adam[i] = {at::zeros_like(adapters[i]), at::zeros_like(adapters[i])};
  }
  std::vector<double> losses;
  for (int64_t step = 1; step <= options.steps; ++step) {
    const LossAndGradient now = evaluate(model, prompts, hooks, adapters, /*wants_gradient=*/true);
    losses.push_back(now.loss);
    for (size_t i = 0; i < adapters.size(); ++i) {
      const at::Tensor& gradient = now.gradient[i];
      adapters[i] =
          adapters[i] - options.lr * adam[i].direction(gradient, gradient.square(), step, {});
    }
  }
  losses.push_back(evaluate(model, prompts, hooks, adapters, /*wants_gradient=*/false).loss);
  const at::NoGradGuard no_grad;
  return {with_adapters(model, adapters), std::move(losses)};
}

std::string to_string(RelearnOn what) { return what == RelearnOn::kForget ? "forget" : "retain"; }

std::vector<const Prompt*> relearning_prompts(const Subject& subject,
                                              int64_t fold,
                                              RelearnOn what) {
  std::vector<const Prompt*> pool;
  if (what == RelearnOn::kRetain) {
    for (const Prompt& prompt : subject.retain) pool.push_back(&prompt);
  } else {
    for (const Prompt& prompt : subject.prompts.test) {
      if (prompt.fold != fold) pool.push_back(&prompt);
    }
  }
  const size_t most = (subject.prompts.test.size() + 1) / 2;
  if (pool.size() <= most) return pool;
  std::vector<const Prompt*> chosen;
  for (size_t i = 0; i < most; ++i) chosen.push_back(pool[i * pool.size() / most]);
  return chosen;
}

std::vector<Row> relearn_rows(const AuditSpec& spec) {
  std::vector<Row> rows;
  if (!spec.has_folds() || !spec.controls.is_on) return rows;
  const RelearnOptions options = options_of(spec);
  for (const RelearnOn what : {RelearnOn::kForget, RelearnOn::kRetain}) {
    RowSummary head;
    head.constraint = concat("lora", options.rank);
    head.name = concat("relearn/", head.constraint, "x", options.steps, "/", to_string(what));
    head.objective = "log_prob";
    head.threat_model = "weights";
    head.scope = "fold";
    head.control = "relearn";
    head.target = to_string(what);
    rows.push_back({head, [what](const BatchContext& context, const RowEnvironment& environment) {
                      return run_relearn(context, environment, what);
                    }});
  }
  return rows;
}

}  // namespace rebound
