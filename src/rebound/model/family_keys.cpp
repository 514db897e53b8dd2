#include "rebound/model/family_keys.h"

#include <functional>
#include <map>

#include "rebound/base/error.h"
#include "rebound/model/rope_keys.h"

namespace rebound {
namespace {

// Of a key that may be absent, null (none) or a number.
template <class T>
T read_optional(ObjectReader& config, const std::string& key, T when_absent) {
  const T none = 0;
  return config.get<T>(key, config.contains(key) ? none : when_absent);
}

void require_false(ObjectReader& config, const std::string& key) {
  require<DataError>(!config.get<bool>(key, false),
                     config.where(),
                     ".",
                     key,
                     ": got true, expected false (the other is not implemented)");
}

Activation read_activation(ObjectReader& config, const std::string& key, const char* fallback) {
  static const std::map<std::string, Activation> known = {
      {"silu", Activation::kSilu},
      {"swish", Activation::kSilu},
      {"gelu", Activation::kGelu},
      {"gelu_new", Activation::kGeluTanh},
      {"gelu_fast", Activation::kGeluTanh},
      {"gelu_pytorch_tanh", Activation::kGeluTanh},
      {"relu", Activation::kRelu}};
  const std::string name = config.get<std::string>(key, fallback);
  const auto found = known.find(name);
  require<DataError>(found != known.end(),
                     config.where(),
                     ".",
                     key,
                     ": got \"",
                     name,
                     "\", expected silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh or relu");
  return found->second;
}

void check_counts(const ModelConfig& config) {
  constexpr int64_t kMostLayers = 4096;
  require<DataError>(config.num_attention_heads > 0,
                     "config.num_attention_heads: got ",
                     config.num_attention_heads,
                     ", expected > 0");
  require<DataError>(config.num_hidden_layers > 0 && config.num_hidden_layers <= kMostLayers,
                     "config.num_hidden_layers: got ",
                     config.num_hidden_layers,
                     ", expected 1..",
                     kMostLayers);
}

void read_sizes(ObjectReader& config, ModelConfig& out) {
  out.vocab_size = config.get<int64_t>("vocab_size");
  out.hidden_size = config.get<int64_t>("hidden_size");
  out.intermediate_size = config.get<int64_t>("intermediate_size");
  out.num_hidden_layers = config.get<int64_t>("num_hidden_layers");
  out.num_attention_heads = config.get<int64_t>("num_attention_heads");
  out.num_key_value_heads = config.get<int64_t>("num_key_value_heads", out.num_attention_heads);
  check_counts(out);
  out.max_position_embeddings = config.get<int64_t>("max_position_embeddings", 2048);
}

void read_head_dim(ObjectReader& config, ModelConfig& out, int64_t when_absent = 0) {
  const int64_t equal_share = out.hidden_size / out.num_attention_heads;
  out.head_dim = config.get<int64_t>("head_dim", when_absent ? when_absent : equal_share);
}

void read_attention_bias(ObjectReader& config, ModelConfig& out) {
  out.has_qkv_bias = out.has_o_bias = config.get<bool>("attention_bias", false);
}

void set_sliding(ModelConfig& out, const std::function<bool(int64_t)>& is_sliding) {
  out.layer_kinds.resize(static_cast<size_t>(out.num_hidden_layers));
  for (size_t i = 0; i < out.layer_kinds.size(); ++i) {
    out.layer_kinds[i].is_sliding = out.sliding_window > 0 && is_sliding(static_cast<int64_t>(i));
  }
}

// layer_types, or `by_default` where the file has none.
void read_layer_types(ObjectReader& config,
                      ModelConfig& out,
                      const std::function<bool(int64_t)>& by_default) {
  const Json types = config.get<Json>("layer_types", Json());
  if (types.is_null()) return set_sliding(out, by_default);
  require<DataError>(
      types.is_array() && static_cast<int64_t>(types.size()) == out.num_hidden_layers,
      config.where(),
      ".layer_types: got ",
      types.size(),
      " layers, expected num_hidden_layers=",
      out.num_hidden_layers);
  for (const Json& type : types) {
    require<DataError>(type == "sliding_attention" || type == "full_attention",
                       config.where(),
                       ".layer_types: got ",
                       type.dump().substr(0, 80),
                       ", expected full_attention or sliding_attention");
  }
  set_sliding(out, [&](int64_t i) { return types[static_cast<size_t>(i)] == "sliding_attention"; });
}

// What every descendant of Llama has.
void read_llama_like(ObjectReader& config, ModelConfig& out, double eps = 1e-6) {
  out.rms_norm_eps = config.get<double>("rms_norm_eps", eps);
  out.activation = read_activation(config, "hidden_act", "silu");
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", false);
}

void read_llama_with(ObjectReader& config, const RopeDefaults& rope, ModelConfig& out) {
  read_head_dim(config, out);
  read_llama_like(config, out);
  read_attention_bias(config, out);
  out.has_mlp_bias = config.get<bool>("mlp_bias", false);
  read_rope_keys(config, rope, out);
}

void read_llama(ObjectReader& config, ModelConfig& out) { read_llama_with(config, {}, out); }

void read_mistral(ObjectReader& config, ModelConfig& out) {
  read_head_dim(config, out);
  read_llama_like(config, out);
  read_rope_keys(config, {}, out);
  out.sliding_window = read_optional<int64_t>(config, "sliding_window", 4096);
  set_sliding(out, [](int64_t) { return true; });
}

void read_qwen_windows(ObjectReader& config, ModelConfig& out) {
  const int64_t window = read_optional<int64_t>(config, "sliding_window", 4096);
  out.sliding_window = config.get<bool>("use_sliding_window", false) ? window : 0;
  const int64_t first = config.get<int64_t>("max_window_layers", 28);
  read_layer_types(config, out, [&](int64_t i) { return i >= first; });
}

void read_qwen2(ObjectReader& config, ModelConfig& out) {
  read_head_dim(config, out);
  read_llama_like(config, out);
  read_rope_keys(config, {}, out);
  read_qwen_windows(config, out);
}

void read_qwen3(ObjectReader& config, ModelConfig& out) {
  read_head_dim(config, out, 128);
  read_llama_like(config, out);
  read_attention_bias(config, out);
  read_rope_keys(config, {}, out);
  read_qwen_windows(config, out);
}

void read_smollm3(ObjectReader& config, ModelConfig& out) {
  read_llama_with(config, {.theta = 2e6}, out);
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", true);
  const int64_t interval = config.get<int64_t>("no_rope_layer_interval", 4);
  require<DataError>(
      interval > 0, config.where(), ".no_rope_layer_interval: got ", interval, ", expected > 0");
  std::vector<int64_t> has_rope;
  for (int64_t i = 0; i < out.num_hidden_layers; ++i) has_rope.push_back((i + 1) % interval != 0);
  has_rope = config.get<std::vector<int64_t>>("no_rope_layers", has_rope);
  require<DataError>(static_cast<int64_t>(has_rope.size()) == out.num_hidden_layers,
                     config.where(),
                     ".no_rope_layers: got ",
                     has_rope.size(),
                     " layers, expected num_hidden_layers=",
                     out.num_hidden_layers);
  const int64_t window = read_optional<int64_t>(config, "sliding_window", 0);
  out.sliding_window = config.get<bool>("use_sliding_window", false) ? window : 0;
  read_layer_types(config, out, [&](int64_t i) { return !has_rope[static_cast<size_t>(i)]; });
  for (size_t i = 0; i < has_rope.size(); ++i) out.layer_kinds[i].has_rope = has_rope[i] != 0;
}

// Released files say "gelu" and mean its tanh form.
Activation read_gemma_activation(ObjectReader& config) {
  const Activation older = read_activation(config, "hidden_act", "gelu_pytorch_tanh");
  const bool is_named = config.has("hidden_activation");
  const Activation named = read_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  const Activation chosen = is_named ? named : older;
  return chosen == Activation::kGelu ? Activation::kGeluTanh : chosen;
}

void read_gemma(ObjectReader& config, ModelConfig& out, const RopeDefaults& rope) {
  read_head_dim(config, out, 256);
  out.rms_norm_eps = config.get<double>("rms_norm_eps", 1e-6);
  out.activation = read_gemma_activation(config);
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", true);
  read_attention_bias(config, out);
  read_rope_keys(config, rope, out);
}

void read_gemma1(ObjectReader& config, ModelConfig& out) { read_gemma(config, out, {}); }

void read_gemma2(ObjectReader& config, ModelConfig& out) {
  read_gemma(config, out, {});
  out.query_pre_attn_scalar = config.get<double>("query_pre_attn_scalar", 256.0);
  out.attn_logit_softcapping = read_optional(config, "attn_logit_softcapping", 50.0);
  out.final_logit_softcapping = read_optional(config, "final_logit_softcapping", 30.0);
  out.sliding_window = read_optional<int64_t>(config, "sliding_window", 4096);
  read_layer_types(config, out, [](int64_t i) { return (i + 1) % 2 != 0; });
}

void read_gemma3(ObjectReader& config, ModelConfig& out) {
  read_gemma(config, out, {.theta = 1e6, .local_theta = 1e4});
  out.query_pre_attn_scalar = config.get<double>("query_pre_attn_scalar", 256.0);
  // transformers has the key and applies it nowhere.
  const double attention_cap = read_optional(config, "attn_logit_softcapping", 0.0);
  require<DataError>(attention_cap == 0,
                     config.where(),
                     ".attn_logit_softcapping: got ",
                     attention_cap,
                     ", expected null for Gemma 3");
  out.final_logit_softcapping = read_optional(config, "final_logit_softcapping", 0.0);
  out.sliding_window = read_optional<int64_t>(config, "sliding_window", 4096);
  const int64_t older_pattern = config.get<int64_t>("_sliding_window_pattern", 6);
  const int64_t pattern = config.get<int64_t>("sliding_window_pattern", older_pattern);
  require<DataError>(
      pattern > 0, config.where(), ".sliding_window_pattern: got ", pattern, ", expected > 0");
  read_layer_types(config, out, [&](int64_t i) { return (i + 1) % pattern != 0; });
}

void read_phi3(ObjectReader& config, ModelConfig& out) {
  read_head_dim(config, out);
  read_llama_like(config, out, 1e-5);
  // Released files have these, always so.
  for (const char* key : {"attention_bias", "mlp_bias", "lm_head_bias"}) require_false(config, key);
  for (const char* key : {"full_attn_mod", "interpolate_factor"}) {
    const int64_t value = config.get<int64_t>(key, 1);
    require<DataError>(value == 1, config.where(), ".", key, ": got ", value, ", expected 1");
  }
  read_rope_keys(
      config, {.can_be_partial = true, .original_positions = 4096, .yarn_is_longrope = true}, out);
  out.sliding_window = read_optional<int64_t>(config, "sliding_window", 0);
  set_sliding(out, [](int64_t) { return true; });
}

void read_olmo2(ObjectReader& config, ModelConfig& out) {
  read_head_dim(config, out);
  read_llama_like(config, out, 1e-5);
  read_attention_bias(config, out);
  read_rope_keys(config, {}, out);
}

void read_stablelm(ObjectReader& config, ModelConfig& out) {
  out.head_dim = out.hidden_size / out.num_attention_heads;
  read_llama_like(config, out);
  out.rms_norm_eps = config.get<double>("layer_norm_eps", 1e-5);
  out.has_qkv_bias = config.get<bool>("use_qkv_bias", false);
  out.is_parallel = out.shares_norm = config.get<bool>("use_parallel_residual", false);
  require_false(config, "qk_layernorm");
  read_rope_keys(config, {.partial_rotary_factor = 0.25, .can_be_partial = true}, out);
}

void read_gpt_neox(ObjectReader& config, ModelConfig& out) {
  out.head_dim = out.hidden_size / out.num_attention_heads;
  out.rms_norm_eps = config.get<double>("layer_norm_eps", 1e-5);
  out.activation = read_activation(config, "hidden_act", "gelu");
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", false);
  out.has_qkv_bias = out.has_o_bias = config.get<bool>("attention_bias", true);
  out.is_parallel = config.get<bool>("use_parallel_residual", true);
  read_rope_keys(config,
                 {.partial_rotary_factor = 0.25,
                  .can_be_partial = true,
                  .theta_key = "rotary_emb_base",
                  .partial_key = "rotary_pct"},
                 out);
}

void read_gpt2(ObjectReader& config, ModelConfig& out) {
  out.vocab_size = config.get<int64_t>("vocab_size");
  out.hidden_size = config.get<int64_t>("n_embd");
  out.intermediate_size = config.get<int64_t>("n_inner", 4 * out.hidden_size);
  out.num_hidden_layers = config.get<int64_t>("n_layer");
  out.num_attention_heads = out.num_key_value_heads = config.get<int64_t>("n_head");
  check_counts(out);
  out.head_dim = out.hidden_size / out.num_attention_heads;
  out.max_position_embeddings = config.get<int64_t>("n_positions", 1024);
  out.rms_norm_eps = config.get<double>("layer_norm_epsilon", 1e-5);
  out.activation = read_activation(config, "activation_function", "gelu_new");
  out.tie_word_embeddings = config.get<bool>("tie_word_embeddings", true);
  require_false(config, "scale_attn_by_inverse_layer_idx");
  require<DataError>(
      config.get<bool>("scale_attn_weights", true),
      config.where(),
      ".scale_attn_weights: got false, expected true (the other is not implemented)");
}

using ReadKeys = void (*)(ObjectReader&, ModelConfig&);

const std::map<std::string, ReadKeys>& readers() {
  static const std::map<std::string, ReadKeys> table = {{"llama", read_llama},
                                                        {"mistral", read_mistral},
                                                        {"qwen2", read_qwen2},
                                                        {"qwen3", read_qwen3},
                                                        {"smollm3", read_smollm3},
                                                        {"gemma", read_gemma1},
                                                        {"gemma2", read_gemma2},
                                                        {"gemma3_text", read_gemma3},
                                                        {"phi3", read_phi3},
                                                        {"olmo2", read_olmo2},
                                                        {"stablelm", read_stablelm},
                                                        {"gpt_neox", read_gpt_neox},
                                                        {"gpt2", read_gpt2}};
  return table;
}

}  // namespace

void read_family_keys(const Architecture& row, ObjectReader& config, ModelConfig& out) {
  const std::string family = row.model_type;
  if (family != "gpt2") read_sizes(config, out);
  if (row.assign) row.assign(out);
  readers().at(family)(config, out);
}

}  // namespace rebound
