// A bench over a tiny random model with two random SAEs, made in memory.
#pragma once

#include "rebound/serve/bench.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"

namespace rebound {

inline BenchSae tiny_bench_sae(const std::string& site, uint64_t seed) {
  Rng rng({seed, 5});
  const int64_t d = tiny_config().hidden_size, n = 40;
  SaeConfig config;
  config.d_in = d;
  config.d_sae = n;
  config.hook_name = site;
  SaeWeights weights{.W_enc = random_tensor(rng, {d, n}, 0.4),
                     .b_enc = random_tensor(rng, {n}, 0.1),
                     .W_dec = random_tensor(rng, {n, d}, 0.4),
                     .b_dec = at::zeros({d}),
                     .threshold = at::zeros({n})};
  return {.name = "tiny-" + std::to_string(seed),
          .path = "/saes/tiny-" + std::to_string(seed),
          .sae = std::make_shared<const Sae>(config, weights),
          .site = parse_site(site)};
}

inline BenchModel tiny_bench_model() {
  ModelConfig config = tiny_config();
  config.vocab_size = 112;  // more than the tokenizer has
  return {.name = "tiny",
          .model = std::make_shared<const Transformer>(tiny_transformer(3, config)),
          .tokenizer = std::make_shared<const Tokenizer>(tiny_tokenizer({" Mary", " John"})),
          .chat = nullptr,
          .saes = {tiny_bench_sae("blocks.1.hook_resid_pre", 1),
                   tiny_bench_sae("blocks.3.hook_resid_pre", 2)}};
}

inline Bench tiny_bench(const BenchLimits& limits = {}) {
  return Bench(tiny_bench_model(), limits);
}

}  // namespace rebound
