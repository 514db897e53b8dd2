#include "rebound/audit/fold_rates.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/audit/utility.h"
#include "rebound/behaviour/project_path.h"
#include "rebound/model/device.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/text_files.h"

namespace rebound {
namespace {

constexpr const char* kRetainText = "data/text/heldout.txt.gz";
constexpr int64_t kRetainContexts = 32;

// Tokens on which each feature fires, and the tokens counted behind them. [d_sae + 1] float64
at::Tensor firing_counts(const Subject& subject, const TokenBatch& batch) {
  const at::NoGradGuard no_grad;
  const Site site = parse_site(subject.sae->config().hook_name);
  RunOptions options{.hooks = {}, .stop_before_layer = site.layer + 1};
  options.hooks.capture = {site};
  const at::Tensor resid = subject.model->run(batch, options).activations.at(site);
  const Rows rows = on_device(batch, resid.device()).rows();
  const at::Tensor counted =
      rows.is_real & (rows.position > 0) & (resid.norm(2, -1) <= subject.statistics.sink_norm);
  const at::Tensor fires = subject.sae->encode(resid.index({counted})) != 0;
  return at::cat({fires.sum(0).cpu().to(at::kDouble),
                  at::full({1}, static_cast<double>(fires.size(0)), at::kDouble)});
}

at::Tensor text_counts(const Subject& subject) {
  const at::Tensor ids = retain_contexts(*subject.tokenizer);
  at::Tensor sum;
  for (int64_t i = 0; i < ids.size(0); ++i) {
    const at::Tensor one = firing_counts(subject, batch_of_contexts(ids.slice(0, i, i + 1)));
    sum = sum.defined() ? sum + one : one;
  }
  return sum;
}

at::Tensor rates(const at::Tensor& counts) {
  const int64_t last = counts.size(0) - 1;
  return counts.slice(0, 0, last) / counts[last].clamp_min(1);
}

}  // namespace

Prompts prompts_of_fold(const std::vector<Prompt>& prompts, int64_t fold) {
  Prompts out;
  for (const Prompt& prompt : prompts) {
    if (prompt.fold == fold) out.push_back(&prompt);
  }
  return out;
}

int64_t fold_count(const std::vector<Prompt>& prompts) {
  int64_t last = 0;
  for (const Prompt& prompt : prompts) last = std::max(last, prompt.fold);
  return last + 1;
}

int64_t fold_count(const Subject& subject) { return fold_count(subject.prompts.test); }

Prompts known_of(const Transformer& model, const Prompts& prompts) {
  if (prompts.empty()) return {};
  const at::NoGradGuard no_grad;
  const at::Tensor margin = logit_differences(model, scored(prompts), {});
  Prompts known;
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (margin[static_cast<int64_t>(i)].item<float>() > 0) known.push_back(prompts[i]);
  }
  return known;
}

// Sum over the folds other than `fold`; undefined parts are empty folds.
at::Tensor sum_of_others(const std::vector<at::Tensor>& parts, int64_t fold) {
  at::Tensor sum;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (static_cast<int64_t>(i) == fold || !parts[i].defined()) continue;
    sum = sum.defined() ? sum + parts[i] : parts[i];
  }
  return sum;
}

at::Tensor retain_contexts(const Tokenizer& tokenizer) {
  const at::Tensor ids = contexts_of(read_documents(find_project_path(kRetainText)),
                                     tokenizer,
                                     nullptr,
                                     {.max_contexts = kMeasuredContexts + kRetainContexts});
  return ids.slice(0, std::min(kMeasuredContexts, ids.size(0) - 1));
}

FoldRates fold_rates(const Subject& subject) {
  std::vector<at::Tensor> forget, retain;
  const auto counts = [&](const Prompts& prompts) {
    return prompts.empty() ? at::Tensor() : firing_counts(subject, scored(prompts).tokens);
  };
  const int64_t n_folds = fold_count(subject);
  for (int64_t fold = 0; fold < n_folds; ++fold) {
    forget.push_back(counts(prompts_of_fold(subject.prompts.test, fold)));
    retain.push_back(counts(prompts_of_fold(subject.retain, fold)));
  }
  const at::Tensor text = text_counts(subject);
  FoldRates out;
  for (int64_t fold = 0; fold < n_folds; ++fold) {
    const at::Tensor forgotten = sum_of_others(forget, fold), kept = sum_of_others(retain, fold);
    out.forget.push_back(rates(forgotten.defined() ? forgotten : at::zeros_like(text)));
    out.retain.push_back(rates(kept.defined() ? kept + text : text));
  }
  return out;
}

Sae::Features firing_rate_features(const at::Tensor& forget,
                                   const at::Tensor& retain,
                                   double retain_threshold,
                                   int64_t count) {
  constexpr double kDecimals = 1e6;
  const auto rounded = [&](const at::Tensor& rate) {
    return (rate.to(at::kDouble) * kDecimals).round() / kDecimals;
  };
  const at::Tensor score =
      at::where(rounded(retain) >= retain_threshold, at::zeros({}, at::kDouble), rounded(forget));
  const auto [values, order] = score.sort(/*stable=*/true, 0, /*descending=*/true);
  Sae::Features features;
  for (int64_t i = 0; i < std::min(count, order.size(0)) && values[i].item<double>() > 0; ++i) {
    features.push_back(order[i].item<int64_t>());
  }
  return features;
}

}  // namespace rebound
