// Small SAEs and data for tests, made in memory.
#pragma once

#include <torch/torch.h>

#include <filesystem>
#include <string>

#include "rebound/sae/sae.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {

inline Sae tiny_sae(SaeKind kind,
                    SaeNorm norm = SaeNorm::kNone,
                    int64_t d_in = 24,
                    int64_t d_sae = 40,
                    uint64_t seed = 5) {
  Rng rng({seed});
  SaeConfig config;
  config.kind = kind;
  config.norm = norm;
  config.d_in = d_in;
  config.d_sae = d_sae;
  config.k = 4;
  config.hook_name = "blocks.2.hook_resid_pre";
  config.model_name = "tiny";
  return Sae(config,
             {.W_enc = random_tensor(rng, {d_in, d_sae}, 0.3),
              .b_enc = random_tensor(rng, {d_sae}, 0.1),
              .W_dec = random_tensor(rng, {d_sae, d_in}, 0.3),
              .b_dec = random_tensor(rng, {d_in}, 0.1),
              .threshold = random_tensor(rng, {d_sae}, 0.1).abs()});
}

// x = relu(x) - relu(-x): the input comes back whole, with half of the 2 d features on.
inline Sae identity_sae(int64_t d = 24) {
  const at::Tensor eye = at::eye(d);
  SaeConfig config = tiny_sae(SaeKind::kStandard).config();
  config.d_in = d;
  config.d_out = d;
  config.d_sae = 2 * d;
  return Sae(config,
             {.W_enc = at::cat({eye, -eye}, 1),
              .b_enc = at::zeros({2 * d}),
              .W_dec = at::cat({eye, -eye}, 0),
              .b_dec = at::zeros({d}),
              .threshold = {}});
}

// Feature j reads and writes axis j.
inline Sae axis_sae(int64_t d, SaeNorm norm = SaeNorm::kNone) {
  SaeConfig config;
  config.norm = norm;
  config.d_in = d;
  config.d_sae = d;
  return Sae(
      config,
      {.W_enc = at::eye(d), .b_enc = at::zeros({d}), .W_dec = at::eye(d), .b_dec = at::zeros({d})});
}

}  // namespace rebound
