#include "rebound/model/config_gguf.h"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/model/rope.h"

namespace rebound {
namespace {

// Keys that this reader knows in every family's files, behind "llama.".
constexpr std::array<std::string_view, 26> kKnownKeys = {"attention.causal",
                                                         "attention.head_count",
                                                         "attention.head_count_kv",
                                                         "attention.key_length",
                                                         "attention.layer_norm_epsilon",
                                                         "attention.layer_norm_rms_epsilon",
                                                         "attention.sliding_window",
                                                         "attention.value_length",
                                                         "block_count",
                                                         "context_length",
                                                         "embedding_length",
                                                         "expert_count",
                                                         "expert_used_count",
                                                         "feed_forward_length",
                                                         "rope.dimension_count",
                                                         "rope.freq_base",
                                                         "rope.scaling.attn_factor",
                                                         "rope.scaling.factor",
                                                         "rope.scaling.finetuned",
                                                         "rope.scaling.original_context_length",
                                                         "rope.scaling.type",
                                                         "rope.scaling.yarn_beta_fast",
                                                         "rope.scaling.yarn_beta_slow",
                                                         "tensor_data_layout",
                                                         "use_parallel_residual",
                                                         "vocab_size"};

// Keys that only these families have; elsewhere they are as good as unknown.
struct FamilyKey {
  std::string_view key, model_type;
};
constexpr std::array<FamilyKey, 6> kFamilyKeys = {{
    {"attention.sliding_window_pattern", "gemma2"},
    {"attention.sliding_window_pattern", "gemma3_text"},
    {"attn_logit_softcapping", "gemma2"},
    {"final_logit_softcapping", "gemma2"},
    {"final_logit_softcapping", "gemma3_text"},
    {"rope.freq_base_swa", "gemma3_text"},
}};

bool is_known_key(std::string_view key, std::string_view model_type) {
  const auto is_of_family = [&](const FamilyKey& row) {
    return row.key == key && row.model_type == model_type;
  };
  return std::find(kKnownKeys.begin(), kKnownKeys.end(), key) != kKnownKeys.end() ||
         std::any_of(kFamilyKeys.begin(), kFamilyKeys.end(), is_of_family);
}

// The keys of one file's family: "llama.block_count" as "block_count".
class Keys {
 public:
  Keys(const GgufFile& file, const Architecture& row)
      : file_(file), prefix_(std::string(row.gguf_name) + ".") {}

  std::string name(std::string_view key) const { return concat(prefix_, key); }
  bool has(std::string_view key) const { return file_.has(name(key)); }

  int64_t integer(std::string_view key) const {
    const auto value = file_.integer(name(key));
    require<DataError>(value.has_value(), "missing metadata \"", name(key), "\"");
    return static_cast<int64_t>(*value);
  }
  int64_t integer(std::string_view key, int64_t fallback) const {
    return static_cast<int64_t>(file_.integer(name(key)).value_or(static_cast<uint64_t>(fallback)));
  }
  double number(std::string_view key, double fallback) const {
    return file_.number(name(key)).value_or(fallback);
  }
  std::string string(std::string_view key, const char* fallback) const {
    return file_.string(name(key)).value_or(fallback);
  }
  bool boolean(std::string_view key, bool fallback) const {
    return file_.boolean(name(key)).value_or(fallback);
  }

  void require_known(std::string_view model_type) const {
    for (const std::string& key : file_.keys()) {
      if (key.rfind(prefix_, 0) != 0) continue;
      const std::string_view own = std::string_view(key).substr(prefix_.size());
      require<DataError>(is_known_key(own, model_type),
                         "unknown metadata ",
                         quoted_name(key),
                         " for ",
                         model_type,
                         " (a key that may change the arithmetic is never ignored)");
    }
  }

 private:
  const GgufFile& file_;
  std::string prefix_;
};

void require_no_window(const Keys& keys, const char* hint) {
  const int64_t window = keys.integer("attention.sliding_window", 0);
  require<DataError>(window == 0,
                     keys.name("attention.sliding_window"),
                     ": got ",
                     window,
                     ", expected none",
                     hint);
}

void require_causal(const Keys& keys) {
  require<DataError>(keys.boolean("attention.causal", true),
                     keys.name("attention.causal"),
                     ": got false, expected true (bidirectional attention is not implemented)");
}

void read_sizes(const Keys& keys, ModelConfig& config) {
  config.hidden_size = keys.integer("embedding_length");
  config.intermediate_size = keys.integer("feed_forward_length");
  config.num_hidden_layers = keys.integer("block_count");
  config.num_attention_heads = keys.integer("attention.head_count");
  config.num_key_value_heads = keys.integer("attention.head_count_kv", config.num_attention_heads);
  config.max_position_embeddings = keys.integer("context_length");
  require<DataError>(config.num_attention_heads > 0,
                     keys.name("attention.head_count"),
                     ": got ",
                     config.num_attention_heads,
                     ", expected > 0");
  const int64_t equal_share = config.hidden_size / config.num_attention_heads;
  config.head_dim = keys.integer("attention.key_length", equal_share);
  const int64_t value_length = keys.integer("attention.value_length", config.head_dim);
  require<DataError>(value_length == config.head_dim,
                     keys.name("attention.value_length"),
                     ": got ",
                     value_length,
                     ", expected that of keys, ",
                     config.head_dim);
  for (const char* key : {"expert_count", "expert_used_count"}) {
    require<DataError>(keys.integer(key, 0) == 0,
                       keys.name(key),
                       ": got ",
                       keys.integer(key, 0),
                       ", expected none (mixtures of experts are not implemented)");
  }
  config.validate();  // before anything is sized by these
}

constexpr const char* kShortFactors = "rope_factors_short.weight";

// Llama 3.1's divisors, or longrope's for texts up to the original length (rope_keys.h).
void read_divisors(const TensorTable& tensors, const std::string& type, ModelConfig& config) {
  const TensorView* longrope = tensors.find(kShortFactors);
  const TensorView* divisors = longrope ? longrope : tensors.find("rope_freqs.weight");
  if (!divisors) return;
  const bool is_type_right = type == "none" || (longrope && type == "longrope");
  require<DataError>(is_type_right && divisors->elements() == config.rotary_size() / 2,
                     divisors->name,
                     ": got shape ",
                     shape_text(divisors->shape),
                     " and rope.scaling.type ",
                     quoted_name(type),
                     ", expected [",
                     config.rotary_size() / 2,
                     "] and ",
                     longrope ? "longrope" : "none");
  RopeScaling& scaling = config.rope_scaling;
  scaling.kind = RopeScaling::Kind::kDivisors;
  const std::vector<float> values = to_float32(*divisors);
  scaling.divisors.assign(values.begin(), values.end());
  const int64_t original = scaling.original_max_position_embeddings;
  if (!longrope || config.max_position_embeddings <= original) return;
  scaling.long_positions = config.max_position_embeddings;
  config.max_position_embeddings = original;
}

void read_rope(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  if (config.has_position_embeddings) return;
  config.rope_theta = keys.number("rope.freq_base", 10000.0);
  const int64_t rotary = keys.integer("rope.dimension_count", config.head_dim);
  config.rotary_dim = rotary == config.head_dim ? 0 : rotary;
  const std::string type = keys.string("rope.scaling.type", "none");
  RopeScaling& scaling = config.rope_scaling;
  scaling.original_max_position_embeddings =
      keys.integer("rope.scaling.original_context_length", config.max_position_embeddings);
  scaling.attention_factor = keys.number("rope.scaling.attn_factor", 1.0);
  if (type == "linear" || type == "yarn") {
    scaling.kind = type == "linear" ? RopeScaling::Kind::kLinear : RopeScaling::Kind::kYarn;
    scaling.factor = keys.number("rope.scaling.factor", 1.0);
  }
  if (type == "yarn") {
    scaling.attention_factor *= yarn_attention(scaling.factor);
    scaling.beta_fast = keys.number("rope.scaling.yarn_beta_fast", scaling.beta_fast);
    scaling.beta_slow = keys.number("rope.scaling.yarn_beta_slow", scaling.beta_slow);
  }
  read_divisors(file, type, config);
  require<DataError>(scaling.kind != RopeScaling::Kind::kNone || type == "none",
                     keys.name("rope.scaling.type"),
                     ": got ",
                     quoted_name(type),
                     ", expected none, linear, yarn, or longrope with ",
                     kShortFactors,
                     " (others are not implemented)");
}

void set_sliding(ModelConfig& config, int64_t period) {
  config.layer_kinds.resize(static_cast<size_t>(config.num_hidden_layers));
  for (size_t i = 0; i < config.layer_kinds.size(); ++i) {
    const bool is_sliding = period == 1 || (static_cast<int64_t>(i) + 1) % period != 0;
    config.layer_kinds[i].is_sliding = config.sliding_window > 0 && is_sliding;
  }
}

// Gemma 2 and 3 scale scores by the width of a head, but their largest, told by its layers, by
// d_model / n_heads.
double gemma_query_scalar(const ModelConfig& config, int64_t layers_of_largest) {
  return config.num_hidden_layers != layers_of_largest
             ? 0
             : static_cast<double>(config.hidden_size) /
                   static_cast<double>(config.num_attention_heads);
}

void read_gemma2(const Keys& keys, ModelConfig& config) {
  config.query_pre_attn_scalar = gemma_query_scalar(config, 46);
  config.attn_logit_softcapping = keys.number("attn_logit_softcapping", 50.0);
  config.final_logit_softcapping = keys.number("final_logit_softcapping", 30.0);
  config.sliding_window = keys.integer("attention.sliding_window", 4096);
  set_sliding(config, keys.integer("attention.sliding_window_pattern", 2));
}

void read_gemma3(const Keys& keys, ModelConfig& config) {
  config.query_pre_attn_scalar = gemma_query_scalar(config, 62);
  config.final_logit_softcapping = keys.number("final_logit_softcapping", 0.0);
  config.rope_theta = keys.number("rope.freq_base", 1e6);
  config.rope_local_base_freq = keys.number("rope.freq_base_swa", 1e4);
  config.sliding_window = keys.integer("attention.sliding_window");
  set_sliding(config, keys.integer("attention.sliding_window_pattern", 6));
}

void read_smollm3(const Keys& keys, ModelConfig& config) {
  require_no_window(keys, " (windows of this family's GGUF files are not implemented)");
  constexpr int64_t kPeriod = 4;
  config.layer_kinds.resize(static_cast<size_t>(config.num_hidden_layers));
  for (size_t i = 0; i < config.layer_kinds.size(); ++i) {
    config.layer_kinds[i].has_rope = (static_cast<int64_t>(i) + 1) % kPeriod != 0;
  }
}

void read_family(const Keys& keys, ModelConfig& config) {
  if (config.model_type == "gemma2") return read_gemma2(keys, config);
  if (config.model_type == "gemma3_text") return read_gemma3(keys, config);
  if (config.model_type == "smollm3") return read_smollm3(keys, config);
  config.sliding_window = keys.integer("attention.sliding_window", 0);
  set_sliding(config, 1);
}

bool has_bias(const TensorTable& tensors, const WeightName& weight) {
  std::string name = weight.gguf;
  if (name.empty()) return false;
  name.replace(name.find("{}"), 2, "0");
  name.replace(name.rfind("weight"), 6, "bias");
  return tensors.find(name) != nullptr;
}

}  // namespace

ModelConfig read_gguf_config(const GgufFile& file, const Architecture& row) {
  const Keys keys(file, row);
  if (row.model_type == std::string_view("olmo2")) {
    require_no_window(keys, ": a file with windows is OLMo 3, which is not implemented");
  }
  keys.require_known(row.model_type);
  require_causal(keys);
  const TensorTable& tensors = file;
  ModelConfig config;
  config.model_type = row.model_type;
  config.name = file.string("general.name").value_or("");
  const TensorView& embed = file.get(row.embed.gguf);
  require<DataError>(embed.shape.size() == 2,
                     embed.name,
                     ": got shape ",
                     shape_text(embed.shape),
                     ", expected [vocab_size, hidden_size]");
  config.vocab_size = embed.shape[0];
  read_sizes(keys, config);
  if (row.assign) row.assign(config);
  const bool is_rms = config.norm == NormKind::kRms;
  config.rms_norm_eps = keys.number(
      is_rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", 1e-5);
  config.is_parallel = keys.boolean("use_parallel_residual", config.is_parallel);
  config.shares_norm = config.is_parallel && !tensors.find("blk.0.ffn_norm.weight");
  config.has_qkv_bias = has_bias(tensors, row.fused_qkv == FusedQkv::kNone ? row.q : row.qkv);
  config.has_o_bias = has_bias(tensors, row.o);
  config.has_mlp_bias = has_bias(tensors, row.down);
  config.tie_word_embeddings = tensors.find(row.head.gguf) == nullptr;
  read_rope(file, keys, config);
  read_family(keys, config);
  config.validate();
  return config;
}

}  // namespace rebound
