// TransformerLens hook names and the Hugging Face modules they stand for:
//
//   blocks.12.hook_resid_post  <->  model.layers.12.output
//   blocks.12.hook_mlp_out     <->  model.layers.12.mlp.output, on Gemma 2 and 3
//                                   model.layers.12.post_feedforward_layernorm.output
//
//   hook_embed                 <->  model.embed_tokens.output, on Gemma model.layers.0.input
//
// Gemma's hook_embed has the factor sqrt(d_model), which transformers 4 applies to Gemma 1 and 2
// behind embed_tokens and 5.23 inside it.
//
// A module's name ends in ".input" or ".output", as in Gemma Scope 2's config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rebound {

// kGemma: 2 and 3.
enum class ModelFamily { kUnknown, kLlama, kGemma, kGpt2, kNeoX, kGemma1 };

// From a model's name; kLlama has Qwen, Mistral, SmolLM and Phi with it.
ModelFamily family_of_model(const std::string& model_name);

// "" when hook or family is not known.
std::string hf_module_of(const std::string& hook, ModelFamily family);

// "" when there is no such hook, as for Gemma's embed_tokens. Names without family prefix
// ("layers.10.mlp.output") are read too.
std::string hook_of_hf_module(const std::string& module, ModelFamily family);

// The number after `before`, as in number_after("layers.", "model.layers.12.mlp").
std::optional<int64_t> number_after(const std::string& before, const std::string& text);

}  // namespace rebound
