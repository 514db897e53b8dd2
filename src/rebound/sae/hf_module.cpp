#include "rebound/sae/hf_module.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <string_view>

#include "rebound/base/error.h"

namespace rebound {
namespace {

// Columns: hook within a block, then the module on Llama (and Gemma 1), Gemma 2 and 3, GPT-2,
// GPT-NeoX.
struct Row {
  const char* hook;
  std::array<const char*, 4> module;
};

constexpr std::array<Row, 8> kRows{{
    {"hook_resid_pre", {"input", "input", "input", "input"}},
    {"hook_resid_post", {"output", "output", "output", "output"}},
    {"hook_resid_mid",
     {"post_attention_layernorm.input", "pre_feedforward_layernorm.input", "ln_2.input", ""}},
    {"hook_attn_out",
     {"self_attn.output", "post_attention_layernorm.output", "attn.output", "attention.output"}},
    {"hook_mlp_out",
     {"mlp.output", "post_feedforward_layernorm.output", "mlp.output", "mlp.output"}},
    {"attn.hook_z",
     {"self_attn.o_proj.input",
      "self_attn.o_proj.input",
      "attn.c_proj.input",
      "attention.dense.input"}},
    {"mlp.hook_in", {"mlp.input", "mlp.input", "mlp.input", "mlp.input"}},
    {"mlp.hook_out", {"mlp.output", "mlp.output", "mlp.output", "mlp.output"}},
}};

constexpr std::array<const char*, 4> kBlocks = {
    "model.layers.", "model.layers.", "transformer.h.", "gpt_neox.layers."};
constexpr std::array<const char*, 4> kEmbeddings = {
    "model.embed_tokens", "model.embed_tokens", "transformer.wte", "gpt_neox.embed_in"};

size_t column_of(ModelFamily family) {
  const ModelFamily as = family == ModelFamily::kGemma1 ? ModelFamily::kLlama : family;
  return static_cast<size_t>(as) - 1;
}

bool is_gemma(ModelFamily family) {
  return family == ModelFamily::kGemma || family == ModelFamily::kGemma1;
}

bool contains_any(const std::string& text, std::initializer_list<const char*> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const char* part) {
    return text.find(part) != std::string::npos;
  });
}

}  // namespace

ModelFamily family_of_model(const std::string& model_name) {
  std::string name = model_name;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  if (contains_any(name, {"gemma-2-", "gemma-3-", "gemma2", "gemma3", "gemma-v2", "gemma-v3"}))
    return ModelFamily::kGemma;
  if (contains_any(name, {"gpt2", "gpt-2"})) return ModelFamily::kGpt2;
  if (contains_any(name, {"pythia", "neox"})) return ModelFamily::kNeoX;
  if (contains_any(name, {"gemma"})) return ModelFamily::kGemma1;
  if (contains_any(name, {"llama", "qwen", "mistral", "smollm", "phi-3"})) {
    return ModelFamily::kLlama;
  }
  return ModelFamily::kUnknown;
}

std::optional<int64_t> number_after(const std::string& before, const std::string& text) {
  for (size_t at = text.find(before); at != std::string::npos; at = text.find(before, at + 1)) {
    int64_t value = 0;
    const char* begin = text.data() + at + before.size();
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
    if (error == std::errc() && value >= 0 && end != begin) return value;
  }
  return {};
}

std::string hf_module_of(const std::string& hook, ModelFamily family) {
  if (family == ModelFamily::kUnknown) return "";
  const size_t column = column_of(family);
  if (hook == "hook_embed" && is_gemma(family)) return "model.layers.0.input";
  if (hook == "hook_embed") return concat(kEmbeddings[column], ".output");
  const std::optional<int64_t> layer = number_after("blocks.", hook);
  if (!layer) return "";
  const std::string block = concat(kBlocks[column], *layer, ".");
  const std::string kind = hook.substr(hook.find('.', hook.find('.') + 1) + 1);
  if (kind == "ln2.hook_normalized") {
    constexpr std::array<const char*, 4> kNorms = {"post_attention_layernorm",
                                                   "pre_feedforward_layernorm",
                                                   "ln_2",
                                                   "post_attention_layernorm"};
    return block + kNorms[column] + " before its gain";
  }
  for (const Row& row : kRows) {
    const std::string_view module = row.module[column];
    if (kind == row.hook && !module.empty()) return concat(block, module);
  }
  return "";
}

std::string hook_of_hf_module(const std::string& module, ModelFamily family) {
  if (module.find("embed_tokens") != std::string::npos || module.starts_with("transformer.wte")) {
    return is_gemma(family) ? "" : "hook_embed";
  }
  std::optional<int64_t> layer = number_after("layers.", module);
  if (!layer) layer = number_after("h.", module);
  if (!layer) return "";
  const std::string number = concat(".", *layer, ".");
  const size_t at = module.find(number);
  if (at == std::string::npos) return "";
  const std::string inside = module.substr(at + number.size());
  if (inside == "pre_feedforward_layernorm.output" && family == ModelFamily::kGemma) {
    return concat("blocks.", *layer, ".mlp.hook_in");
  }
  const bool is_known = family != ModelFamily::kUnknown;
  for (const Row& row : kRows) {
    // A block's own input and output are the same in every family.
    const std::string_view module_inside = row.module[is_known ? column_of(family) : 0];
    if (!is_known && module_inside != "input" && module_inside != "output") continue;
    if (inside == module_inside) return concat("blocks.", *layer, ".", row.hook);
  }
  return "";
}

}  // namespace rebound
