#include "rebound/audit/utility.h"

#include <torch/torch.h>

#include "rebound/audit/result_figures.h"
#include "rebound/base/error.h"
#include "rebound/base/parallel.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/text_files.h"

namespace rebound {
namespace {

constexpr const char* kText = "data/text/heldout.txt.gz";

ContextCost compare(const Transformer& model, const Hooks& hooks, const TokenBatch& context) {
  const at::NoGradGuard no_grad;
  const auto log_probs = [&](const Hooks& live) {
    const at::Tensor resid = model.run(context, {.hooks = live}).resid[0].slice(0, 0, -1);
    return at::log_softmax(model.logits(resid), -1);
  };
  const at::Tensor base = log_probs({}), defended = log_probs(hooks);
  const at::Tensor next = context.ids[0].slice(0, 1).unsqueeze(1).to(base.device());
  const auto n = static_cast<double>(next.size(0));
  const auto mean = [n](const at::Tensor& x) { return x.sum().item<double>() / n; };
  return {.ce_base = -mean(base.gather(1, next)),
          .ce_defended = -mean(defended.gather(1, next)),
          .kl = mean(base.exp() * (base - defended)),
          .top1_agreement = mean((base.argmax(-1) == defended.argmax(-1)).to(at::kFloat))};
}

std::vector<double> column(const std::vector<ContextCost>& contexts, double ContextCost::*figure) {
  std::vector<double> values;
  for (const ContextCost& context : contexts) values.push_back(context.*figure);
  return values;
}

}  // namespace

Estimate TextCost::mean(double ContextCost::*figure) const {
  return bootstrap_mean(column(contexts, figure), {.fewest_clusters = 2});
}

Estimate TextCost::delta_ce() const {
  return bootstrap_difference(column(contexts, &ContextCost::ce_defended),
                              column(contexts, &ContextCost::ce_base),
                              {.fewest_clusters = 2});
}

Json to_json(const TextCost& cost) {
  const auto n = static_cast<int64_t>(cost.contexts.size());
  Json json = {{"text", cost.text},
               {"contexts", n},
               {"tokens", static_cast<double>(n * cost.predictions_to_context)}};
  const auto add = [&](const char* name, const Estimate& estimate) {
    json[name] = estimate.value;
    json["intervals"][name] = estimate_json(estimate);
  };
  add("ce_base", cost.mean(&ContextCost::ce_base));
  add("ce_defended", cost.mean(&ContextCost::ce_defended));
  add("delta_ce", cost.delta_ce());
  add("kl_to_base", cost.mean(&ContextCost::kl));
  add("top1_agreement", cost.mean(&ContextCost::top1_agreement));
  return json;
}

TextCost measure_text_cost(const Transformer& model,
                           const Tokenizer& tokenizer,
                           const Hooks& hooks,
                           const TextCostOptions& options) {
  const bool is_given = !options.text.empty();
  const std::filesystem::path path = is_given ? options.text : find_project_path(kText);
  const ContextOptions cut{.max_contexts = options.contexts};
  const at::Tensor ids = contexts_of(read_documents(path), tokenizer, options.chat, cut);
  require<DataError>(ids.size(0) > 0,
                     path.string(),
                     ": got less than one context, expected at least ",
                     cut.length,
                     " tokens");
  TextCost cost{.text = is_given ? path.string() : kText,
                .predictions_to_context = ids.size(1) - 1,
                .contexts = std::vector<ContextCost>(static_cast<size_t>(ids.size(0)))};
  run_parts(ids.size(0), [&](int64_t i) {
    cost.contexts[static_cast<size_t>(i)] =
        compare(model, hooks, batch_of_contexts(ids.slice(0, i, i + 1)));
  });
  return cost;
}

Json measure_utility(const Subject& subject, int64_t contexts) {
  if (!subject.tokenizer) return nullptr;
  return measure_cost_of_hooks(
      *subject.model, *subject.tokenizer, subject.defences.front()->hooks(), contexts);
}

Json measure_cost_of_hooks(const Transformer& model,
                           const Tokenizer& tokenizer,
                           const Hooks& hooks,
                           int64_t contexts) {
  return to_json(measure_text_cost(model, tokenizer, hooks, {.contexts = contexts}));
}

}  // namespace rebound
