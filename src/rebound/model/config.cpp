#include "rebound/model/config.h"

#include <algorithm>
#include <cmath>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr int64_t kLargest = int64_t{1} << 24;

void check_sizes(const ModelConfig& config) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"num_hidden_layers", config.num_hidden_layers},
      {"num_attention_heads", config.num_attention_heads},
      {"num_key_value_heads", config.num_key_value_heads},
      {"head_dim", config.head_dim},
      {"max_position_embeddings", config.max_position_embeddings}};
  for (const auto& [field, size] : sizes) {
    require<DataError>(
        size > 0 && size <= kLargest, "config.", field, ": got ", size, ", expected 1..", kLargest);
  }
  require<DataError>(config.num_attention_heads % config.num_key_value_heads == 0,
                     "config.num_key_value_heads: got ",
                     config.num_key_value_heads,
                     ", expected a divisor of num_attention_heads=",
                     config.num_attention_heads);
}

bool is_positive_number(double value) { return std::isfinite(value) && value > 0; }

void check_divisors(const RopeScaling& scaling, int64_t pairs) {
  if (scaling.kind != RopeScaling::Kind::kDivisors) return;
  const auto& divisors = scaling.divisors;
  require<DataError>(static_cast<int64_t>(divisors.size()) == pairs &&
                         std::all_of(divisors.begin(), divisors.end(), is_positive_number),
                     "rope scaling: got ",
                     divisors.size(),
                     " factors, one for each pair of a head, expected ",
                     pairs,
                     " numbers > 0");
}

void check_rope(const ModelConfig& config) {
  const int64_t rotary = config.rotary_size();
  require<DataError>(config.rotary_dim >= 0 && rotary <= config.head_dim,
                     "config.rotary_dim: got ",
                     config.rotary_dim,
                     ", expected at most head_dim=",
                     config.head_dim);
  require<DataError>(config.has_position_embeddings || rotary % 2 == 0,
                     "config.head_dim: got ",
                     rotary,
                     " rotary dimensions, expected an even number");
  require<DataError>(
      config.rope_theta > 0, "config.rope_theta: got ", config.rope_theta, ", expected > 0");
  require<DataError>(config.rope_local_base_freq >= 0,
                     "config.rope_local_base_freq: got ",
                     config.rope_local_base_freq,
                     ", expected >= 0");
  const RopeScaling& scaling = config.rope_scaling;
  require<DataError>(scaling.factor > 0 && scaling.original_max_position_embeddings > 0 &&
                         scaling.high_freq_factor > scaling.low_freq_factor,
                     "config.rope_scaling: got factor ",
                     scaling.factor,
                     ", low_freq_factor ",
                     scaling.low_freq_factor,
                     ", high_freq_factor ",
                     scaling.high_freq_factor,
                     ", expected a factor > 0 and high above low");
  check_divisors(scaling, rotary / 2);
  require<DataError>(is_positive_number(scaling.attention_factor) && scaling.beta_fast > 0 &&
                         scaling.beta_slow > 0,
                     "config.rope_scaling: got attention_factor ",
                     scaling.attention_factor,
                     ", beta_fast ",
                     scaling.beta_fast,
                     ", beta_slow ",
                     scaling.beta_slow,
                     ", expected all > 0");
  require<DataError>(scaling.kind != RopeScaling::Kind::kYarn || config.rope_theta > 1,
                     "config.rope_theta: got ",
                     config.rope_theta,
                     ", expected > 1 for yarn");
}

void check_layers(const ModelConfig& config) {
  require<DataError>(
      config.layer_kinds.empty() ||
          static_cast<int64_t>(config.layer_kinds.size()) == config.num_hidden_layers,
      "config.layer_types: got ",
      config.layer_kinds.size(),
      " layers, expected num_hidden_layers=",
      config.num_hidden_layers);
  require<DataError>(!config.has_sliding_layers() || config.sliding_window > 0,
                     "config.sliding_window: got ",
                     config.sliding_window,
                     ", expected > 0 for layers of sliding attention");
  require<DataError>(!config.shares_norm || config.is_parallel,
                     "config: got one norm for attention and MLP, expected a parallel residual");
  for (const auto& [field, value] :
       {std::pair{"attn_logit_softcapping", config.attn_logit_softcapping},
        std::pair{"final_logit_softcapping", config.final_logit_softcapping},
        std::pair{"query_pre_attn_scalar", config.query_pre_attn_scalar}}) {
    require<DataError>(value >= 0, "config.", field, ": got ", value, ", expected >= 0");
  }
}

}  // namespace

bool ModelConfig::has_sliding_layers() const {
  return std::any_of(layer_kinds.begin(), layer_kinds.end(), [](const LayerKind& kind) {
    return kind.is_sliding;
  });
}

std::string ModelConfig::position_limit() const {
  const std::string limit = std::to_string(max_position_embeddings);
  const int64_t longer = rope_scaling.long_positions;
  return longer == 0 ? limit
                     : concat(limit,
                              " (up to ",
                              longer,
                              " the file has other rope factors, longrope's long ones, which are "
                              "not implemented)");
}

void ModelConfig::validate() const {
  check_sizes(*this);
  require<DataError>(rms_norm_eps > 0, "config.rms_norm_eps: got ", rms_norm_eps, ", expected > 0");
  check_rope(*this);
  check_layers(*this);
}

}  // namespace rebound
