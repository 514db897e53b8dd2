// What sets two sets of answers apart inside the model: means over their tokens, the directions and
// features that differ. Defences that make a model refuse are built from it (method.md section 6).
//
//   const AnswerMeans refusing = answer_means(model, sites, refusing_texts, options);
//   direction = refusing.at(site) - complying.at(site)                [d_model]
#pragma once

#include <map>
#include <vector>

#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"

namespace rebound {

// Prompts with an answer behind each.
struct AnsweredPrompt {
  std::vector<int64_t> prompt, answer;
};

struct AnswerMeanOptions {
  int64_t most_tokens = 16;  // of each answer, from its start
  int64_t batch = 16;        // changes cost only
};

// Mean residual at each residual site over the answers' tokens, every answer weighing the same.
// [d_model] each.
std::map<Site, at::Tensor> answer_means(const Transformer& model, const std::vector<Site>& sites,
                                        const std::vector<AnsweredPrompt>& texts, const AnswerMeanOptions& options);

// Mean code over the same tokens, at the SAE's site. [d_sae]
at::Tensor answer_mean_code(const Transformer& model, const Sae& sae, const std::vector<AnsweredPrompt>& texts,
                            const AnswerMeanOptions& options);

}  // namespace rebound
