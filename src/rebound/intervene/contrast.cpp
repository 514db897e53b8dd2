#include "rebound/intervene/contrast.h"

#include <torch/torch.h>

#include <algorithm>
#include <functional>

#include "rebound/base/error.h"

namespace rebound {
namespace {

struct AnswerBatch {
  TokenBatch tokens;
  at::Tensor weight;  // [batch, pos]: 1 / count at an answer's tokens, else 0
};

AnswerBatch make_batch(const std::vector<AnsweredPrompt>& texts, size_t first, size_t end, int64_t most) {
  std::vector<std::vector<int64_t>> ids;
  for (size_t i = first; i < end; ++i) {
    ids.push_back(texts[i].prompt);
    const int64_t kept = std::min<int64_t>(most, static_cast<int64_t>(texts[i].answer.size()));
    require<DataError>(kept > 0 && !texts[i].prompt.empty(), "answer ", i, ": got an empty prompt or answer");
    ids.back().insert(ids.back().end(), texts[i].answer.begin(), texts[i].answer.begin() + kept);
  }
  AnswerBatch batch{TokenBatch::from(ids), {}};
  batch.weight = at::zeros(batch.tokens.ids.sizes(), at::kFloat);
  for (size_t i = first; i < end; ++i) {
    const int64_t row = static_cast<int64_t>(i - first);
    const int64_t start = static_cast<int64_t>(texts[i].prompt.size()), stop = batch.tokens.lengths[i - first];
    batch.weight[row].slice(0, start, stop).fill_(1.0 / static_cast<double>(stop - start));
  }
  return batch;
}

// Calls `add(site, resid, weight)` for the residuals of every batch.
void for_each_batch(const Transformer& model, const std::vector<Site>& sites, const std::vector<AnsweredPrompt>& texts,
                    const AnswerMeanOptions& options,
                    const std::function<void(const Site&, const at::Tensor&, const at::Tensor&)>& add) {
  require<DataError>(!texts.empty(), "answers: got none, expected at least one");
  const at::NoGradGuard no_grad;
  int64_t last_layer = 0;
  Hooks hooks;
  for (const Site& site : sites) {
    require<ConfigError>(is_residual(site) && site.layer < model.n_layers(), "site: got ", to_string(site),
                         ", expected a residual site of the model");
    hooks.capture.insert(site);
    last_layer = std::max(last_layer, site.layer);
  }
  for (size_t first = 0; first < texts.size(); first += static_cast<size_t>(options.batch)) {
    const size_t end = std::min(texts.size(), first + static_cast<size_t>(options.batch));
    const AnswerBatch batch = make_batch(texts, first, end, options.most_tokens);
    const RunOutput run = model.run(batch.tokens, {.hooks = hooks, .stop_before_layer = last_layer + 1});
    const at::Tensor weight = batch.weight.to(model.device());
    for (const Site& site : sites) add(site, run.activations.at(site), weight);
  }
}

}  // namespace

std::map<Site, at::Tensor> answer_means(const Transformer& model, const std::vector<Site>& sites,
                                        const std::vector<AnsweredPrompt>& texts, const AnswerMeanOptions& options) {
  std::map<Site, at::Tensor> sums;
  for_each_batch(model, sites, texts, options, [&](const Site& site, const at::Tensor& resid, const at::Tensor& weight) {
    const at::Tensor sum = (resid * weight.unsqueeze(-1)).sum(at::IntArrayRef{0, 1}).to(at::kDouble);
    sums[site] = sums.count(site) ? sums[site] + sum : sum;
  });
  for (auto& [site, sum] : sums) sum = (sum / static_cast<double>(texts.size())).to(at::kFloat);
  return sums;
}

at::Tensor answer_mean_code(const Transformer& model, const Sae& sae, const std::vector<AnsweredPrompt>& texts,
                            const AnswerMeanOptions& options) {
  at::Tensor sum = at::zeros({sae.d_sae()}, sae.weights().b_enc.options().dtype(at::kDouble));
  for_each_batch(model, {parse_site(sae.config().hook_name)}, texts, options,
                 [&](const Site&, const at::Tensor& resid, const at::Tensor& weight) {
                   const at::Tensor is_answer = weight > 0;
                   const at::Tensor code = sae.encode(resid.index({is_answer}));  // [tokens, d_sae]
                   sum += at::matmul(weight.index({is_answer}), code).to(at::kDouble);
                 });
  return (sum / static_cast<double>(texts.size())).to(at::kFloat);
}

}  // namespace rebound
