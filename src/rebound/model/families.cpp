#include "rebound/model/families.h"

#include <algorithm>
#include <cmath>

#include "rebound/base/error.h"

namespace rebound {
namespace {

Architecture llama_like(const char* model_type, const char* gguf_name) {
  return {.model_type = model_type,
          .gguf_name = gguf_name,
          .embed = {"model.embed_tokens.weight", "token_embd.weight"},
          .attn_norm = {"model.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
          .q = {"model.layers.{}.self_attn.q_proj.weight", "blk.{}.attn_q.weight"},
          .k = {"model.layers.{}.self_attn.k_proj.weight", "blk.{}.attn_k.weight"},
          .v = {"model.layers.{}.self_attn.v_proj.weight", "blk.{}.attn_v.weight"},
          .o = {"model.layers.{}.self_attn.o_proj.weight", "blk.{}.attn_output.weight"},
          .mlp_norm = {"model.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
          .gate = {"model.layers.{}.mlp.gate_proj.weight", "blk.{}.ffn_gate.weight"},
          .up = {"model.layers.{}.mlp.up_proj.weight", "blk.{}.ffn_up.weight"},
          .down = {"model.layers.{}.mlp.down_proj.weight", "blk.{}.ffn_down.weight"},
          .final_norm = {"model.norm.weight", "output_norm.weight"},
          .head = {"lm_head.weight", "output.weight"}};
}

Architecture llama() {
  Architecture row = llama_like("llama", "llama");
  row.gguf_interleaves_qk = true;
  return row;
}

// As GGUF, Mistral is "llama".
Architecture mistral() { return llama_like("mistral", ""); }

Architecture qwen2() {
  Architecture row = llama_like("qwen2", "qwen2");
  row.assign = [](ModelConfig& config) { config.has_qkv_bias = true; };
  return row;
}

void add_qk_norm(Architecture& row) {
  row.q_norm = {"model.layers.{}.self_attn.q_norm.weight", "blk.{}.attn_q_norm.weight"};
  row.k_norm = {"model.layers.{}.self_attn.k_norm.weight", "blk.{}.attn_k_norm.weight"};
}

Architecture qwen3() {
  Architecture row = llama_like("qwen3", "qwen3");
  row.assign = [](ModelConfig& config) { config.qk_norm = QkNorm::kHead; };
  add_qk_norm(row);
  return row;
}

Architecture smollm3() {
  Architecture row = llama_like("smollm3", "smollm3");
  row.gguf_interleaves_qk = true;
  return row;
}

void assign_gemma(ModelConfig& config) {
  config.activation = Activation::kGeluTanh;
  config.embed_scale = std::sqrt(static_cast<double>(config.hidden_size));
}

Architecture gemma_like(const char* model_type, const char* gguf_name) {
  Architecture row = llama_like(model_type, gguf_name);
  row.gain_is_plus_one = true;
  row.assign = assign_gemma;
  return row;
}

void add_post_norms(Architecture& row) {
  row.attn_out_norm = {"model.layers.{}.post_attention_layernorm.weight",
                       "blk.{}.post_attention_norm.weight"};
  row.mlp_out_norm = {"model.layers.{}.post_feedforward_layernorm.weight",
                      "blk.{}.post_ffw_norm.weight"};
}

Architecture sandwich_gemma(const char* model_type, const char* gguf_name) {
  Architecture row = gemma_like(model_type, gguf_name);
  add_post_norms(row);
  row.mlp_norm = {"model.layers.{}.pre_feedforward_layernorm.weight", "blk.{}.ffn_norm.weight"};
  return row;
}

Architecture gemma2() {
  Architecture row = sandwich_gemma("gemma2", "gemma2");
  row.assign = [](ModelConfig& config) {
    assign_gemma(config);
    config.has_post_norms = true;
  };
  return row;
}

Architecture gemma3() {
  Architecture row = sandwich_gemma("gemma3_text", "gemma3");
  add_qk_norm(row);
  row.assign = [](ModelConfig& config) {
    assign_gemma(config);
    config.has_post_norms = true;
    config.qk_norm = QkNorm::kHead;
  };
  return row;
}

Architecture phi3() {
  Architecture row = llama_like("phi3", "phi3");
  row.fused_qkv = FusedQkv::kStacked;
  row.q = row.k = row.v = row.gate = row.up = {};
  row.qkv = {"model.layers.{}.self_attn.qkv_proj.weight", "blk.{}.attn_qkv.weight"};
  row.gate_up = {"model.layers.{}.mlp.gate_up_proj.weight", "blk.{}.ffn_up.weight"};
  return row;
}

Architecture olmo2() {
  Architecture row = llama_like("olmo2", "olmo2");
  row.attn_norm = row.mlp_norm = {};
  add_post_norms(row);
  add_qk_norm(row);
  row.assign = [](ModelConfig& config) {
    config.has_pre_norms = false;
    config.has_post_norms = true;
    config.qk_norm = QkNorm::kWidth;
  };
  return row;
}

Architecture stablelm() {
  Architecture row = llama_like("stablelm", "stablelm");
  row.assign = [](ModelConfig& config) { config.norm = NormKind::kLayer; };
  return row;
}

void assign_biases(ModelConfig& config) {
  config.has_qkv_bias = config.has_o_bias = config.has_mlp_bias = true;
}

Architecture gpt2() {
  return {.model_type = "gpt2",
          .gguf_name = "gpt2",
          .assign =
              [](ModelConfig& config) {
                assign_biases(config);
                config.norm = NormKind::kLayer;
                config.activation = Activation::kGeluTanh;
                config.has_gate = false;
                config.has_position_embeddings = true;
              },
          .stores_transposed = true,
          .fused_qkv = FusedQkv::kStacked,
          .hugging_face_prefix = "transformer.",
          .embed = {"transformer.wte.weight", "token_embd.weight"},
          .position_embed = {"transformer.wpe.weight", "position_embd.weight"},
          .attn_norm = {"transformer.h.{}.ln_1.weight", "blk.{}.attn_norm.weight"},
          .qkv = {"transformer.h.{}.attn.c_attn.weight", "blk.{}.attn_qkv.weight"},
          .o = {"transformer.h.{}.attn.c_proj.weight", "blk.{}.attn_output.weight"},
          .mlp_norm = {"transformer.h.{}.ln_2.weight", "blk.{}.ffn_norm.weight"},
          .up = {"transformer.h.{}.mlp.c_fc.weight", "blk.{}.ffn_up.weight"},
          .down = {"transformer.h.{}.mlp.c_proj.weight", "blk.{}.ffn_down.weight"},
          .final_norm = {"transformer.ln_f.weight", "output_norm.weight"},
          .head = {"lm_head.weight", "output.weight"}};
}

Architecture gpt_neox() {
  return {
      .model_type = "gpt_neox",
      .gguf_name = "gptneox",
      .assign =
          [](ModelConfig& config) {
            assign_biases(config);
            config.norm = NormKind::kLayer;
            config.activation = Activation::kGelu;
            config.has_gate = false;
            config.is_parallel = true;
          },
      .fused_qkv = FusedQkv::kByHead,
      .embed = {"gpt_neox.embed_in.weight", "token_embd.weight"},
      .attn_norm = {"gpt_neox.layers.{}.input_layernorm.weight", "blk.{}.attn_norm.weight"},
      .qkv = {"gpt_neox.layers.{}.attention.query_key_value.weight", "blk.{}.attn_qkv.weight"},
      .o = {"gpt_neox.layers.{}.attention.dense.weight", "blk.{}.attn_output.weight"},
      .mlp_norm = {"gpt_neox.layers.{}.post_attention_layernorm.weight", "blk.{}.ffn_norm.weight"},
      .up = {"gpt_neox.layers.{}.mlp.dense_h_to_4h.weight", "blk.{}.ffn_up.weight"},
      .down = {"gpt_neox.layers.{}.mlp.dense_4h_to_h.weight", "blk.{}.ffn_down.weight"},
      .final_norm = {"gpt_neox.final_layer_norm.weight", "output_norm.weight"},
      .head = {"lm_head.weight", "output.weight", "embed_out.weight"}};
}

}  // namespace

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> table = {llama(),
                                                  mistral(),
                                                  qwen2(),
                                                  qwen3(),
                                                  smollm3(),
                                                  gemma_like("gemma", "gemma"),
                                                  gemma2(),
                                                  gemma3(),
                                                  phi3(),
                                                  olmo2(),
                                                  stablelm(),
                                                  gpt2(),
                                                  gpt_neox()};
  return table;
}

std::string known_model_types() {
  std::string known;
  for (const Architecture& row : architectures()) {
    known += concat(known.empty() ? "" : ", ", row.model_type);
  }
  return known;
}

const Architecture* find_architecture(const std::string& model_type) {
  const auto& rows = architectures();
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const Architecture& row) {
    return row.model_type == model_type;
  });
  return found == rows.end() ? nullptr : &*found;
}

const Architecture& architecture_of(const std::string& model_type) {
  const Architecture* row = find_architecture(model_type);
  require<DataError>(row != nullptr,
                     "config.model_type: got \"",
                     model_type,
                     "\", expected one of: ",
                     known_model_types());
  return *row;
}

const Architecture& architecture_of_gguf(const std::string& gguf_name) {
  std::string known;
  for (const Architecture& row : architectures()) {
    if (!*row.gguf_name) continue;
    if (row.gguf_name == gguf_name) return row;
    known += concat(known.empty() ? "" : ", ", row.gguf_name);
  }
  throw DataError(
      concat("general.architecture: got \"", gguf_name, "\", expected one of: ", known));
}

}  // namespace rebound
