#include "rebound/model/generate.h"

#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/model/decoder.h"

namespace rebound {
namespace {

int64_t choose_token(const at::Tensor& logits, const GenerateOptions& options, Rng& rng) {
  if (options.temperature == 0) return logits.argmax(-1).item<int64_t>();
  const at::Tensor exact = logits.cpu().to(at::kDouble);
  const at::Tensor probability = at::softmax(exact / options.temperature, -1);
  const auto [sorted, order] = probability.sort(-1, /*descending=*/true);
  const at::Tensor kept = at::where(sorted.cumsum(-1) - sorted < options.top_p, sorted, 0.0);
  const at::Tensor cumulative = kept.cumsum(-1);
  const double draw = rng.uniform() * cumulative[-1].item<double>();
  const int64_t rank = (cumulative <= draw).sum().item<int64_t>();
  return order[std::min(rank, order.size(0) - 1)].item<int64_t>();
}

}  // namespace

void GenerateOptions::validate() const {
  require<ConfigError>(max_new_tokens >= 0,
                       "GenerateOptions.max_new_tokens: got ",
                       max_new_tokens,
                       ", expected >= 0");
  require<ConfigError>(
      temperature >= 0, "GenerateOptions.temperature: got ", temperature, ", expected >= 0");
  require<ConfigError>(
      top_p > 0 && top_p <= 1, "GenerateOptions.top_p: got ", top_p, ", expected in (0, 1]");
}

std::vector<int64_t> generate(const Transformer& model,
                              const std::vector<int64_t>& prompt,
                              const GenerateOptions& options,
                              const Hooks& hooks) {
  options.validate();
  const at::NoGradGuard no_grad;
  Rng rng({options.seed});
  Decoder decoder(model, TokenBatch::from({prompt}), hooks);
  std::vector<int64_t> tokens;
  const int64_t room = model.config().max_position_embeddings - static_cast<int64_t>(prompt.size());
  const int64_t most = std::min(options.max_new_tokens, room);
  for (int64_t i = 0; i < most; ++i) {
    const int64_t token = choose_token(decoder.logits()[0], options, rng);
    if (options.stop_tokens.count(token)) break;
    tokens.push_back(token);
    if (options.on_token && !options.on_token(token)) break;
    if (i + 1 == most) break;
    decoder.step(at::full({1}, token, at::kLong));
  }
  return tokens;
}

}  // namespace rebound
