#include "rebound/sae/hf_module.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"

namespace rebound {
namespace {

TEST(HfModuleTest, HooksAndModulesAreInversesWithinAFamily) {
  for (const ModelFamily family :
       {ModelFamily::kLlama, ModelFamily::kGemma, ModelFamily::kGpt2, ModelFamily::kNeoX}) {
    for (const char* kind : {"hook_resid_pre",
                             "hook_resid_post",
                             "hook_attn_out",
                             "hook_mlp_out",
                             "attn.hook_z",
                             "mlp.hook_in"}) {
      const std::string hook = concat("blocks.12.", kind);
      EXPECT_EQ(hook_of_hf_module(hf_module_of(hook, family), family), hook);
    }
  }
  EXPECT_EQ(hf_module_of("blocks.3.hook_mlp_out", family_of_model("google/gemma-2-2b")),
            "model.layers.3.post_feedforward_layernorm.output");
  EXPECT_EQ(hf_module_of("blocks.3.hook_mlp_out", family_of_model("google/gemma-2b")),
            "model.layers.3.mlp.output");
  EXPECT_EQ(hf_module_of("blocks.3.hook_resid_pre", family_of_model("some/model")), "");
  EXPECT_EQ(hook_of_hf_module("layers.7.output", ModelFamily::kUnknown),
            "blocks.7.hook_resid_post");
  EXPECT_EQ(hook_of_hf_module("layers.7.mlp.output", ModelFamily::kUnknown), "");
  EXPECT_EQ(hook_of_hf_module("nonsense", ModelFamily::kLlama), "");
}

// hook_embed of Gemma has the factor sqrt(d_model); what embed_tokens gives has it or not by
// version.
TEST(HfModuleTest, EmbeddingsOfGemmaAreTheInputOfItsFirstLayer) {
  for (const char* gemma : {"google/gemma-2b", "gemma-2-2b", "google/gemma-3-270m"}) {
    const ModelFamily family = family_of_model(gemma);
    EXPECT_EQ(hf_module_of("hook_embed", family), "model.layers.0.input") << gemma;
    EXPECT_EQ(hook_of_hf_module("model.embed_tokens.output", family), "") << gemma;
  }
  const ModelFamily llama = family_of_model("HuggingFaceTB/SmolLM2-135M");
  EXPECT_EQ(hf_module_of("hook_embed", llama), "model.embed_tokens.output");
  EXPECT_EQ(hook_of_hf_module("embed_tokens", llama), "hook_embed");
}

}  // namespace
}  // namespace rebound
