#include <algorithm>
#include <limits>
#include <numeric>
#include <sstream>

#include "rebound/base/error.h"
#include "rebound/model/config.h"
#include "rebound/model/families.h"
#include "rebound/model/family_keys.h"

namespace rebound {
namespace {

// Keys that leave a forward pass in evaluation mode as it is, whatever their value.
constexpr const char* kHarmlessKeys =
    "_attn_implementation _name_or_path architectures attention_dropout "
    "attention_probs_dropout_prob attn_pdrop auto_map bos_token_id cache_implementation "
    "chunk_size_feed_forward classifier_dropout dtype embd_pdrop eos_token_id "
    "gradient_checkpointing hidden_dropout hidden_dropout_prob id2label initializer_range "
    "is_llama_config label2id max_length n_ctx num_labels output_attentions output_hidden_states "
    "output_past pad_token_id pretraining_tp problem_type reorder_and_upcast_attn resid_pdrop "
    "return_dict rope_interleaved sep_token_id summary_activation summary_first_dropout "
    "summary_proj_to_labels summary_type summary_use_proj task_specific_params torch_dtype "
    "transformers.js_config transformers_version unsloth_fixed unsloth_version use_cache";

void require_value(ObjectReader& config, const std::string& key, const Json& only) {
  const Json got = config.get<Json>(key, only);
  require<DataError>(got == only || got.is_null(),
                     config.where(),
                     ".",
                     key,
                     ": got ",
                     got.dump().substr(0, 80),
                     ", expected ",
                     only.dump(),
                     " (other values are not implemented)");
}

// What every family shares: keys without a meaning here, and keys of what no family does.
void read_shared_keys(ObjectReader& config) {
  std::istringstream harmless(kHarmlessKeys);
  for (std::string key; harmless >> key;) config.get<Json>(key, Json());
  for (const char* key :
       {"add_cross_attention", "is_decoder", "is_encoder_decoder", "use_bidirectional_attention"}) {
    require_value(config, key, false);
  }
  require_value(config, "quantization_config", nullptr);
}

ModelConfig read_as(const Architecture& row, ObjectReader& config) {
  ModelConfig out;
  out.model_type = row.model_type;
  config.get<Json>("model_type", Json());
  read_shared_keys(config);
  read_family_keys(row, config, out);
  return out;
}

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t swapped = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, swapped});
    }
  }
  return row.back();
}

// The keys by which a config.json is not of this family. A value that it refuses counts as one.
std::vector<std::string> differing_keys(const Architecture& row, const Json& json) {
  ObjectReader config(json, "config.json");
  try {
    read_as(row, config).validate();
    return config.unknown_keys();
  } catch (const Error& e) {
    return {e.what()};
  }
}

// "; the nearest is mistral, which lacks num_local_experts".
std::string nearest_family(const std::string& model_type, const Json& json) {
  constexpr size_t kRefusal = 1000;  // a family that reads every key is nearer than one that cannot
  size_t best = std::numeric_limits<size_t>::max();
  std::string text;
  for (const Architecture& row : architectures()) {
    const std::vector<std::string> keys = differing_keys(row, json);
    const bool is_refused = keys.size() == 1 && keys[0].find(' ') != std::string::npos;
    const size_t distance =
        (is_refused ? kRefusal : 10 * keys.size()) + edit_distance(model_type, row.model_type);
    if (distance >= best) continue;
    best = distance;
    constexpr size_t kMostShown = 5;
    std::string shown;
    for (size_t i = 0; i < std::min(keys.size(), kMostShown); ++i) {
      shown += concat(i ? ", " : "", keys[i].substr(0, 160));
    }
    if (keys.size() > kMostShown) shown += concat(" and ", keys.size() - kMostShown, " more");
    text = concat("; the nearest is \"",
                  row.model_type,
                  keys.empty() ? "\", which knows every key of this file"
                  : is_refused ? "\", which says: "
                               : "\", which lacks ",
                  shown);
  }
  return text;
}

}  // namespace

ModelConfig read_hugging_face_config(const Json& json) {
  ObjectReader config(json, "config.json");
  try {
    const auto model_type = config.get<std::string>("model_type");
    const Architecture* row = find_architecture(model_type);
    require<DataError>(row != nullptr,
                       "config.json.model_type: got \"",
                       model_type.substr(0, 80),
                       "\", expected one of: ",
                       known_model_types(),
                       row ? "" : nearest_family(model_type.substr(0, 80), json));
    ModelConfig out = read_as(*row, config);
    const std::vector<std::string> unknown = config.unknown_keys();
    require<DataError>(unknown.empty(),
                       "config.json: unknown key \"",
                       unknown.empty() ? "" : unknown[0].substr(0, 80),
                       "\" for model_type \"",
                       model_type,
                       "\" (a key that may change the arithmetic is never ignored)");
    out.validate();
    return out;
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

}  // namespace rebound
