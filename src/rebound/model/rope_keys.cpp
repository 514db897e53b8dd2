#include "rebound/model/rope_keys.h"

#include <vector>

#include "rebound/base/error.h"
#include "rebound/model/rope.h"

namespace rebound {
namespace {

struct Rope {
  double theta = 0, partial = 1;
  RopeScaling scaling;
};

// What an object inside a config.json is read with.
struct RopeContext {
  int64_t max_positions = 0;
  int64_t original = 0;  // wins over the object's own; 0: there is none
  bool yarn_is_longrope = false;
};

void read_linear(ObjectReader& keys, RopeScaling& out) {
  out.kind = RopeScaling::Kind::kLinear;
  out.factor = keys.get<double>("factor");
}

void read_llama3(ObjectReader& keys, RopeScaling& out) {
  out.kind = RopeScaling::Kind::kLlama3;
  out.factor = keys.get<double>("factor");
  out.low_freq_factor = keys.get<double>("low_freq_factor");
  out.high_freq_factor = keys.get<double>("high_freq_factor");
}

double ratio_of_lengths(const RopeContext& context, const RopeScaling& scaling) {
  return static_cast<double>(context.max_positions) /
         static_cast<double>(scaling.original_max_position_embeddings);
}

// A number that is absent, null or 0 is the fallback, as transformers has it.
double number_or(ObjectReader& keys, const std::string& key, double fallback) {
  const double number = keys.get<double>(key, 0.0);
  return number == 0 ? fallback : number;
}

void read_yarn(ObjectReader& keys, const RopeContext& context, RopeScaling& out) {
  out.kind = RopeScaling::Kind::kYarn;
  require<DataError>(keys.contains("factor"), keys.where(), ": missing key \"factor\"");
  out.factor = keys.get<double>("factor", ratio_of_lengths(context, out));
  out.beta_fast = number_or(keys, "beta_fast", out.beta_fast);
  out.beta_slow = number_or(keys, "beta_slow", out.beta_slow);
  out.is_ramp_whole = keys.get<bool>("truncate", true);
  const double mscale = keys.get<double>("mscale", 0.0);
  const double mscale_all_dim = keys.get<double>("mscale_all_dim", 0.0);
  const double attention =
      mscale != 0 && mscale_all_dim != 0
          ? yarn_attention(out.factor, mscale) / yarn_attention(out.factor, mscale_all_dim)
          : yarn_attention(out.factor);
  out.attention_factor = keys.get<double>("attention_factor", attention);
}

void read_longrope(ObjectReader& keys, const RopeContext& context, RopeScaling& out) {
  out.kind = RopeScaling::Kind::kDivisors;
  out.divisors = keys.get<std::vector<double>>("short_factor");
  const auto longer = keys.get<std::vector<double>>("long_factor");
  require<DataError>(longer.size() == out.divisors.size(),
                     keys.where(),
                     ".long_factor: got ",
                     longer.size(),
                     " numbers, expected as many as short_factor, ",
                     out.divisors.size());
  const int64_t original = out.original_max_position_embeddings;
  require<DataError>(original > 1,
                     keys.where(),
                     ".original_max_position_embeddings: got ",
                     original,
                     ", expected > 1");
  const double factor = keys.get<double>("factor", ratio_of_lengths(context, out));
  const double attention = longrope_attention(factor, original);
  out.attention_factor = keys.get<double>("attention_factor", attention);
  if (context.max_positions > original) out.long_positions = context.max_positions;
}

void read_scaling(ObjectReader& keys,
                  const std::string& type,
                  const RopeContext& context,
                  RopeScaling& out) {
  const bool is_older_longrope = context.yarn_is_longrope && (type == "yarn" || type == "su");
  if (type == "default") {
    keys.get<Json>("factor", Json());
  } else if (type == "linear") {
    read_linear(keys, out);
  } else if (type == "llama3") {
    read_llama3(keys, out);
  } else if (type == "longrope" || is_older_longrope) {
    read_longrope(keys, context, out);
  } else if (type == "yarn") {
    read_yarn(keys, context, out);
  } else {
    throw DataError(concat(keys.where(),
                           ".rope_type: got \"",
                           type.substr(0, 80),
                           "\", expected default, linear, llama3, yarn or longrope (others change "
                           "the arithmetic and are not implemented)"));
  }
}

// One object such as {"rope_type": "llama3", "factor": 8.0, ...}; what it lacks stays.
void read_object(const Json& json,
                 const std::string& where,
                 const RopeContext& context,
                 Rope& rope) {
  ObjectReader keys(json, where);
  const std::string older_type = keys.get<std::string>("type", "default");
  const std::string type = keys.get<std::string>("rope_type", older_type);
  rope.theta = keys.get<double>("rope_theta", rope.theta);
  rope.partial = keys.get<double>("partial_rotary_factor", rope.partial);
  const int64_t original =
      keys.get<int64_t>("original_max_position_embeddings", context.max_positions);
  rope.scaling = {};
  rope.scaling.original_max_position_embeddings = context.original ? context.original : original;
  require<DataError>(rope.scaling.original_max_position_embeddings > 0,
                     where,
                     ".original_max_position_embeddings: got ",
                     rope.scaling.original_max_position_embeddings,
                     ", expected > 0");
  read_scaling(keys, type, context, rope.scaling);
  keys.finish();
}

// {"full_attention": {...}, "sliding_attention": {...}} (Gemma 3), or one object for all layers.
void read_parameters(const Json& json,
                     const std::string& where,
                     const RopeContext& context,
                     Rope& all,
                     Rope& sliding) {
  if (!json.is_object() ||
      (!json.contains("full_attention") && !json.contains("sliding_attention"))) {
    read_object(json, where, context, all);
    return;
  }
  ObjectReader kinds(json, where);
  for (const auto& [kind, rope] :
       {std::pair{"full_attention", &all}, std::pair{"sliding_attention", &sliding}}) {
    const Json part = kinds.get<Json>(kind, Json());
    if (!part.is_null()) read_object(part, concat(where, ".", kind), context, *rope);
  }
  kinds.finish();
}

// `transformers` takes rope_scaling alone then, even its absent rope_theta.
void require_one_account(ObjectReader& config) {
  const Json older = config.get<Json>("rope_scaling", Json());
  const Json newer = config.get<Json>("rope_parameters", Json());
  require<DataError>(older.empty() || newer.empty() || older == newer,
                     config.where(),
                     ": got rope_scaling and another rope_parameters, expected one of the two");
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
  const RopeContext context = {.max_positions = out.max_position_embeddings,
                               .original = config.get<int64_t>("original_max_position_embeddings",
                                                               defaults.original_positions),
                               .yarn_is_longrope = defaults.yarn_is_longrope};
  require_one_account(config);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json json = config.get<Json>(key, Json());
    if (json.empty()) continue;
    const std::string where = concat(config.where(), ".", key);
    read_parameters(json, where, context, all, sliding);
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
  if (all.scaling.long_positions > 0) {
    out.max_position_embeddings = all.scaling.original_max_position_embeddings;
  }
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
