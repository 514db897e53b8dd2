#include "rebound/model/config.h"

#include <set>

#include "rebound/base/error.h"

namespace rebound {
namespace {

// Keys of a config.json that leave a forward pass in evaluation mode as it is.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {"architectures",
                                             "attention_dropout",
                                             "bos_token_id",
                                             "eos_token_id",
                                             "pad_token_id",
                                             "dtype",
                                             "torch_dtype",
                                             "initializer_range",
                                             "is_llama_config",
                                             "max_length",
                                             "pretraining_tp",
                                             "rope_interleaved",
                                             "transformers_version",
                                             "transformers.js_config",
                                             "use_cache",
                                             "_name_or_path",
                                             "unsloth_fixed",
                                             "hidden_dropout",
                                             "return_dict",
                                             "output_attentions",
                                             "output_hidden_states",
                                             "use_bidirectional_attention"};
  return keys;
}

// rope_scaling (older files) and rope_parameters (newer ones) say the same thing.
double read_rope(ObjectReader& config, double theta) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!config.has(key)) {
      config.get<Json>(key, Json());
      continue;
    }
    const Json& rope = config.at(key);
    const std::string type = rope.value("rope_type", rope.value("type", "default"));
    require<DataError>(type == "default",
                       config.where(),
                       ".",
                       key,
                       ".rope_type: got \"",
                       type,
                       "\", expected \"default\" (others change the arithmetic: not implemented)");
    theta = rope.value("rope_theta", theta);
  }
  return theta;
}

void require_value(ObjectReader& config, const std::string& key, const Json& only) {
  const Json got = config.get<Json>(key, only);
  require<DataError>(got == only || got.is_null(),
                     config.where(),
                     ".",
                     key,
                     ": got ",
                     got.dump(),
                     ", expected ",
                     only.dump(),
                     " (other values are not implemented)");
}

}  // namespace

void ModelConfig::validate() const {
  constexpr int64_t kLargest = int64_t{1} << 24;
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocab_size", vocab_size},
      {"hidden_size", hidden_size},
      {"intermediate_size", intermediate_size},
      {"num_hidden_layers", num_hidden_layers},
      {"num_attention_heads", num_attention_heads},
      {"num_key_value_heads", num_key_value_heads},
      {"head_dim", head_dim},
      {"max_position_embeddings", max_position_embeddings}};
  for (const auto& [field, size] : sizes) {
    require<DataError>(
        size > 0 && size <= kLargest, "config.", field, ": got ", size, ", expected 1..", kLargest);
  }
  require<DataError>(num_attention_heads % num_key_value_heads == 0,
                     "config.num_key_value_heads: got ",
                     num_key_value_heads,
                     ", expected a divisor of num_attention_heads=",
                     num_attention_heads);
  require<DataError>(
      head_dim % 2 == 0, "config.head_dim: got ", head_dim, ", expected an even number");
  require<DataError>(rms_norm_eps > 0, "config.rms_norm_eps: got ", rms_norm_eps, ", expected > 0");
  require<DataError>(rope_theta > 0, "config.rope_theta: got ", rope_theta, ", expected > 0");
}

const std::vector<Architecture>& architectures() {
  static const std::vector<Architecture> table = {
      {.model_type = "llama",
       .gguf_name = "llama",
       .gguf_interleaves_qk = true,
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
       .head = {"lm_head.weight", "output.weight"}},
  };
  return table;
}

namespace {

template <class Field>
const Architecture& find_row(Field field, const std::string& name, const char* what) {
  std::string known;
  for (const Architecture& row : architectures()) {
    if (row.*field == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.*field);
  }
  throw DataError(concat(what, ": got \"", name, "\", expected one of: ", known));
}

}  // namespace

const Architecture& architecture_of(const std::string& model_type) {
  return find_row(&Architecture::model_type, model_type, "config.model_type");
}

const Architecture& architecture_of_gguf(const std::string& gguf_name) {
  return find_row(&Architecture::gguf_name, gguf_name, "general.architecture");
}

ModelConfig read_hugging_face_config(const Json& json) {
  ObjectReader config(json, "config.json");
  ModelConfig out;
  out.model_type = config.get<std::string>("model_type");
  architecture_of(out.model_type);
  out.vocab_size = config.get<int64_t>("vocab_size");
  out.hidden_size = config.get<int64_t>("hidden_size");
  out.intermediate_size = config.get<int64_t>("intermediate_size");
  out.num_hidden_layers = config.get<int64_t>("num_hidden_layers");
  out.num_attention_heads = config.get<int64_t>("num_attention_heads");
  out.num_key_value_heads = config.get<int64_t>("num_key_value_heads", out.num_attention_heads);
  require<DataError>(out.num_attention_heads > 0,
                     "config.num_attention_heads: got ",
                     out.num_attention_heads,
                     ", expected > 0");
  out.head_dim = config.get<int64_t>("head_dim", out.hidden_size / out.num_attention_heads);
  out.max_position_embeddings = config.get<int64_t>("max_position_embeddings", 2048);
  out.rms_norm_eps = config.get<double>("rms_norm_eps", 1e-6);
  out.rope_theta = read_rope(config, config.get<double>("rope_theta", 10000.0));
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", false);
  require_value(config, "hidden_act", "silu");
  require_value(config, "attention_bias", false);
  require_value(config, "mlp_bias", false);
  require_value(config, "partial_rotary_factor", 1.0);
  require_value(config, "quantization_config", nullptr);
  for (const std::string& key : harmless_keys()) config.get<Json>(key, Json());
  try {
    config.finish();
  } catch (const ConfigError& e) {
    throw DataError(concat(e.what(), " (a key that may change the arithmetic is never ignored)"));
  }
  out.validate();
  return out;
}

}  // namespace rebound
