#include "rebound/model/rope_keys.h"

#include "rebound/base/error.h"

namespace rebound {
namespace {

struct Rope {
  double theta = 0, partial = 1;
  RopeScaling scaling;
};

RopeScaling::Kind scaling_kind(const std::string& type, const std::string& where) {
  if (type == "default") return RopeScaling::Kind::kNone;
  if (type == "linear") return RopeScaling::Kind::kLinear;
  if (type == "llama3") return RopeScaling::Kind::kLlama3;
  throw DataError(concat(where,
                         ".rope_type: got \"",
                         type,
                         "\", expected default, linear or llama3 (others change the arithmetic and "
                         "are not implemented)"));
}

// One object such as {"rope_type": "llama3", "factor": 8.0, ...}; what it lacks stays.
void read_object(const Json& json, const std::string& where, int64_t max_positions, Rope& rope) {
  ObjectReader keys(json, where);
  const std::string older_type = keys.get<std::string>("type", "default");
  rope.scaling.kind = scaling_kind(keys.get<std::string>("rope_type", older_type), where);
  rope.theta = keys.get<double>("rope_theta", rope.theta);
  rope.partial = keys.get<double>("partial_rotary_factor", rope.partial);
  const int64_t original = keys.get<int64_t>("original_max_position_embeddings", max_positions);
  if (rope.scaling.kind == RopeScaling::Kind::kNone) {
    keys.get<Json>("factor", Json());
    keys.finish();
    return;
  }
  rope.scaling.factor = keys.get<double>("factor");
  if (rope.scaling.kind == RopeScaling::Kind::kLlama3) {
    rope.scaling.low_freq_factor = keys.get<double>("low_freq_factor");
    rope.scaling.high_freq_factor = keys.get<double>("high_freq_factor");
    rope.scaling.original_max_position_embeddings = original;
  }
  keys.finish();
}

// {"full_attention": {...}, "sliding_attention": {...}} (Gemma 3), or one object for all layers.
void read_parameters(
    const Json& json, const std::string& where, int64_t max_positions, Rope& all, Rope& sliding) {
  if (!json.is_object() ||
      (!json.contains("full_attention") && !json.contains("sliding_attention"))) {
    read_object(json, where, max_positions, all);
    return;
  }
  ObjectReader kinds(json, where);
  for (const auto& [kind, rope] :
       {std::pair{"full_attention", &all}, std::pair{"sliding_attention", &sliding}}) {
    const Json part = kinds.get<Json>(kind, Json());
    if (!part.is_null()) read_object(part, concat(where, ".", kind), max_positions, *rope);
  }
  kinds.finish();
}

}  // namespace

void read_rope_keys(ObjectReader& config, const RopeDefaults& defaults, ModelConfig& out) {
  Rope all, sliding;
  all.theta = config.get<double>(defaults.theta_key, defaults.theta);
  all.partial = config.get<double>(defaults.partial_key, defaults.partial_rotary_factor);
  sliding.theta = defaults.local_theta;
  if (defaults.local_theta > 0) {
    sliding.theta = config.get<double>("rope_local_base_freq", defaults.local_theta);
  }
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json json = config.get<Json>(key, Json());
    if (json.is_null()) continue;
    const std::string where = concat(config.where(), ".", key);
    read_parameters(json, where, out.max_position_embeddings, all, sliding);
  }
  require<DataError>(
      sliding.scaling.kind == RopeScaling::Kind::kNone && sliding.partial == 1,
      config.where(),
      ".rope_parameters.sliding_attention: got a scaled or partial rope, expected the "
      "default one (others are not implemented)");
  require<DataError>(defaults.can_be_partial || all.partial == 1,
                     config.where(),
                     ".",
                     defaults.partial_key,
                     ": got ",
                     all.partial,
                     ", expected 1 for this family");
  require<DataError>(all.partial > 0 && all.partial <= 1,
                     config.where(),
                     ".",
                     defaults.partial_key,
                     ": got ",
                     all.partial,
                     ", expected above 0, at most 1");
  out.rope_theta = all.theta;
  out.rope_scaling = all.scaling;
  out.rope_local_base_freq = sliding.theta;
  const auto rotary = static_cast<int64_t>(static_cast<double>(out.head_dim) * all.partial);
  out.rotary_dim = rotary == out.head_dim ? 0 : rotary;
  require<DataError>(rotary > 0,
                     config.where(),
                     ".",
                     defaults.partial_key,
                     ": got ",
                     all.partial,
                     ", expected enough for one pair of head_dim=",
                     out.head_dim);
}

}  // namespace rebound
