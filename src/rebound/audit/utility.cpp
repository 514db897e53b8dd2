#include "rebound/audit/utility.h"

#include <torch/torch.h>

#include "rebound/base/parallel.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/text_files.h"

namespace rebound {
namespace {

constexpr const char* kText = "data/text/heldout.txt.gz";

// Sums over the predictions of one context.
struct Sums {
  double ce_base = 0, ce_defended = 0, kl = 0, agree = 0;

  void add(const Sums& other) {
    ce_base += other.ce_base;
    ce_defended += other.ce_defended;
    kl += other.kl;
    agree += other.agree;
  }
};

Sums compare(const Transformer& model, const Hooks& hooks, const TokenBatch& context) {
  const at::NoGradGuard no_grad;
  const auto log_probs = [&](const Hooks& live) {
    const at::Tensor resid = model.run(context, {.hooks = live}).resid[0].slice(0, 0, -1);
    return at::log_softmax(model.logits(resid), -1);
  };
  const at::Tensor base = log_probs({}), defended = log_probs(hooks);
  const at::Tensor next = context.ids[0].slice(0, 1).unsqueeze(1);
  const auto sum = [](const at::Tensor& x) { return x.sum().item<double>(); };
  return {-sum(base.gather(1, next)), -sum(defended.gather(1, next)), sum(base.exp() * (base - defended)),
          sum((base.argmax(-1) == defended.argmax(-1)).to(at::kFloat))};
}

}  // namespace

Json measure_utility(const Subject& subject, int64_t contexts) {
  if (!subject.tokenizer) return nullptr;
  return measure_cost_of_hooks(*subject.model, *subject.tokenizer, subject.defences.front()->hooks(), contexts);
}

Json measure_cost_of_hooks(const Transformer& model, const Tokenizer& tokenizer, const Hooks& hooks, int64_t contexts) {
  const at::Tensor ids =
      contexts_of(read_documents(find_project_path(kText)), tokenizer, nullptr, {.max_contexts = contexts});
  std::vector<Sums> parts(static_cast<size_t>(ids.size(0)));
  run_parts(ids.size(0), [&](int64_t i) {
    parts[static_cast<size_t>(i)] = compare(model, hooks, batch_of_contexts(ids.slice(0, i, i + 1)));
  });
  Sums all;
  for (const Sums& part : parts) all.add(part);
  const auto n = static_cast<double>(ids.size(0) * (ids.size(1) - 1));
  return {{"text", kText},          {"tokens", n},
          {"ce_base", all.ce_base / n}, {"ce_defended", all.ce_defended / n},
          {"kl_to_base", all.kl / n},   {"top1_agreement", all.agree / n}};
}

}  // namespace rebound
