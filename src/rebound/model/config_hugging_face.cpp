#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>

#include "rebound/base/error.h"
#include "rebound/model/config.h"
#include "rebound/model/families.h"
#include "rebound/model/family_keys.h"
#include "rebound/model/text_tower.h"

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
    "transformers.js_config transformers_version unsloth_fixed unsloth_version use_cache "
    // Of generate(), which older files repeat in every part of a config.
    "bad_words_ids begin_suppress_tokens decoder_start_token_id diversity_penalty do_sample "
    "early_stopping encoder_no_repeat_ngram_size exponential_decay_length_penalty finetuning_task "
    "forced_bos_token_id forced_eos_token_id length_penalty min_length no_repeat_ngram_size "
    "num_beam_groups num_beams num_return_sequences output_scores prefix remove_invalid_values "
    "repetition_penalty return_dict_in_generate suppress_tokens temperature tokenizer_class top_k "
    "top_p typical_p";

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

void read_harmless_keys(ObjectReader& config, const char* keys) {
  std::istringstream harmless(keys);
  for (std::string key; harmless >> key;) config.get<Json>(key, Json());
}

void require_known_keys(const ObjectReader& config, const std::string& model_type) {
  const std::vector<std::string> unknown = config.unknown_keys();
  require<DataError>(unknown.empty(),
                     config.where(),
                     ": unknown key \"",
                     unknown.empty() ? "" : unknown[0].substr(0, 80),
                     "\" for model_type \"",
                     model_type,
                     "\" (a key that may change the arithmetic is never ignored)");
}

// What every family shares: keys without a meaning here, and keys of what no family does.
void read_shared_keys(ObjectReader& config) {
  read_harmless_keys(config, kHarmlessKeys);
  for (const char* key :
       {"add_cross_attention", "is_decoder", "is_encoder_decoder", "use_bidirectional_attention"}) {
    require_value(config, key, false);
  }
  require_value(config, "quantization_config", nullptr);
}

// The text part of a model that also sees images; nothing for others.
std::optional<Json> read_image_wrapper(const Json& json) {
  const ImageWrapper* wrapper = find_image_wrapper(json);
  if (!wrapper) return std::nullopt;
  ObjectReader config(json, "config.json");
  for (const char* key : {"model_type", "text_config", "tie_word_embeddings"}) {
    config.get<Json>(key, Json());
  }
  read_shared_keys(config);
  read_harmless_keys(config, wrapper->own_keys);
  require_known_keys(config, wrapper->model_type);
  return text_config_of(*wrapper, json);
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

ModelConfig read_hugging_face_config(const Json& given) {
  try {
    const std::optional<Json> text = read_image_wrapper(given);
    const Json& json = text ? *text : given;
    ObjectReader config(json, text ? "config.json.text_config" : "config.json");
    const auto model_type = config.get<std::string>("model_type");
    const Architecture* row = find_architecture(model_type);
    require<DataError>(row != nullptr,
                       config.where(),
                       ".model_type: got \"",
                       model_type.substr(0, 80),
                       "\", expected one of: ",
                       known_model_types(),
                       row ? "" : nearest_family(model_type.substr(0, 80), json));
    ModelConfig out = read_as(*row, config);
    require_known_keys(config, model_type);
    out.validate();
    return out;
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

}  // namespace rebound
