// Tiny models of every family with what `transformers` computes; tools/golden/make_families.py.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/model/family_sites.h"
#include "rebound/model/transformer.h"
#include "support/tiny_model.h"

namespace rebound {

inline constexpr const char* kFamilies[] = {"gemma",
                                            "gemma2",
                                            "gemma3",
                                            "gpt2",
                                            "gpt_neox",
                                            "llama",
                                            "llama_linear",
                                            "mistral",
                                            "olmo2",
                                            "phi3",
                                            "qwen2",
                                            "qwen3",
                                            "smollm3",
                                            "stablelm",
                                            "stablelm_parallel"};

// Other kinds of a family's files: RoPE scaling, and a text model inside one that sees images.
inline constexpr const char* kVariants[] = {
    "gemma3_images", "llama_yarn", "mistral3_images", "phi3_longrope", "qwen2_yarn"};

inline std::filesystem::path family_folder(const std::string& family) {
  return std::filesystem::path(REBOUND_SOURCE_DIR) / "tests/model/golden/families" / family;
}

inline at::Tensor floats_of(const Json& json) { return at::tensor(json.get<std::vector<float>>()); }

inline std::vector<int64_t> ids_of(const Json& json, const char* key = "ids") {
  return json.at(key).get<std::vector<int64_t>>();
}

inline at::Tensor last_logits(const Transformer& model, const std::vector<int64_t>& ids) {
  return model.logits(model.run(TokenBatch::from({ids})).resid[0][-1]);
}

// Every site of one run.
inline Activations all_activations(const Transformer& model, const std::vector<int64_t>& ids) {
  RunOptions options;
  for (const Site& site : all_sites(model.config())) options.hooks.capture.insert(site);
  return model.run(TokenBatch::from({ids}), options).activations;
}

// `golden` is {norm, at}: at[i] is the element at i * numel // n.
inline void expect_site(const at::Tensor& value, const Json& golden, const std::string& name) {
  EXPECT_EQ(value.sizes().vec(), golden.at("shape").get<std::vector<int64_t>>()) << name;
  const at::Tensor flat = value.contiguous().view(-1);
  const at::Tensor expected = floats_of(golden.at("at"));
  const int64_t n = expected.size(0);
  const at::Tensor index = at::div(at::arange(n, at::kLong) * flat.numel(), n, "trunc");
  const double norm = golden.at("norm").get<double>();
  EXPECT_NEAR(flat.norm().item<double>(), norm, 1e-4 * std::max(norm, 1e-3)) << name;
  const double scale = std::max(1.0, expected.abs().max().item<double>());
  EXPECT_LT((flat.index_select(0, index) - expected).abs().max().item<double>(), 1e-4 * scale)
      << name;
}

class FamilyTest : public ::testing::TestWithParam<const char*> {
 protected:
  const at::NoGradGuard no_grad_;
  Transformer model_ = load_model(family_folder(GetParam()).string());
  Json golden_ = read_json_file(family_folder(GetParam()) / "golden.json");

  int64_t n_layers() const { return model_.n_layers(); }
  std::vector<int64_t> random_tokens(Rng& rng, int64_t count) const {
    return random_ids(rng, count, model_.config().vocab_size);
  }
};

}  // namespace rebound
