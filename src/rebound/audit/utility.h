// What a defence costs on harmless text: next-token prediction with and without it. The same with
// refusals, facts and questions: utility_report.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rebound/audit/subject.h"
#include "rebound/stats/bootstrap.h"
#include "rebound/text/load.h"

namespace rebound {

// Means over the predictions of one context, in nats per token.
struct ContextCost {
  double ce_base = 0, ce_defended = 0;  // cross-entropy with the token that follows
  double kl = 0;                        // KL(base || defended)
  double top1_agreement = 0;            // share of positions with the same likeliest token
};

struct TextCost {
  std::string text;                    // the file
  int64_t predictions_to_context = 0;  // the same for all, so that means of means are means
  std::vector<ContextCost> contexts;

  // Means with 95 % intervals: bootstrap over contexts. Of one context the bounds are NaN.
  Estimate mean(double ContextCost::*figure) const;
  Estimate delta_ce() const;  // ce_defended - ce_base
};

// {"text", "contexts", "tokens", "ce_base", "ce_defended", "delta_ce", "kl_to_base",
//  "top1_agreement", "intervals": {"ce_base": {"value", "ci_low", "ci_high"}, ...}}
Json to_json(const TextCost& cost);

// What defences are measured on, at most, unless a caller asks for more: the first contexts of the
// text. Defences are chosen on later ones (fold_rates.h).
inline constexpr int64_t kMeasuredContexts = 32;

struct TextCostOptions {
  std::filesystem::path text;          // see sae/text_files.h; empty: data/text/heldout.txt.gz
  const ChatTemplate* chat = nullptr;  // for files of conversations
  int64_t contexts = 8;                // the first ones of 128 tokens; fewer where the text ends
};

// Throws IoError or DataError for the text, one that is shorter than a context included.
TextCost measure_text_cost(const Transformer& model,
                           const Tokenizer& tokenizer,
                           const Hooks& hooks,
                           const TextCostOptions& options = {});

// The same as JSON, of the subject's first defence. Null where it has no tokenizer.
Json measure_utility(const Subject& subject, int64_t contexts);
Json measure_cost_of_hooks(const Transformer& model,
                           const Tokenizer& tokenizer,
                           const Hooks& hooks,
                           int64_t contexts);

}  // namespace rebound
