#include "rebound/model/text_tower.h"

#include <array>
#include <string_view>

#include "rebound/base/error.h"

namespace rebound {
namespace {

using Renaming = std::pair<std::string_view, std::string_view>;

constexpr std::array<std::string_view, 4> kImageParts = {"vision_tower.",
                                                         "multi_modal_projector.",
                                                         "model.vision_tower.",
                                                         "model.multi_modal_projector."};
constexpr std::array<Renaming, 3> kTextParts = {Renaming{"language_model.model.", "model."},
                                                Renaming{"language_model.lm_head.", "lm_head."},
                                                Renaming{"model.language_model.", "model."}};

std::vector<ImageWrapper> all_image_wrappers() {
  return {{.model_type = "gemma3",
           .text_type = "gemma3_text",
           .own_keys = "boi_token_index boi_token_id eoi_token_index eoi_token_id "
                       "image_token_index image_token_id mm_tokens_per_image vision_config",
           .text_defaults = {{"vocab_size", 262208},
                             {"hidden_size", 2304},
                             {"intermediate_size", 9216},
                             {"num_hidden_layers", 26},
                             {"num_attention_heads", 8},
                             {"num_key_value_heads", 4},
                             {"head_dim", 256},
                             {"max_position_embeddings", 131072}}},
          {.model_type = "mistral3",
           .text_type = "mistral",
           .own_keys = "image_token_index image_token_id multimodal_projector_bias "
                       "projector_hidden_act spatial_merge_size vision_config vision_feature_layer",
           .text_defaults = Json::object()}};
}

bool is_of_images(std::string_view name) {
  for (const std::string_view part : kImageParts) {
    if (name.starts_with(part)) return true;
  }
  return false;
}

std::string name_in_text_model(const std::string& name) {
  for (const auto& [from, to] : kTextParts) {
    if (name.starts_with(from)) return concat(to, name.substr(from.size()));
  }
  return name;
}

}  // namespace

const ImageWrapper* find_image_wrapper(const Json& config) {
  static const std::vector<ImageWrapper> table = all_image_wrappers();
  if (!config.is_object()) return nullptr;
  const auto type = config.find("model_type");
  for (const ImageWrapper& wrapper : table) {
    if (type != config.end() && *type == wrapper.model_type) return &wrapper;
  }
  return nullptr;
}

Json text_config_of(const ImageWrapper& wrapper, const Json& config) {
  ObjectReader whole(config, "config.json");
  const Json& given = whole.at("text_config");
  ObjectReader text(given, "config.json.text_config");
  const auto type = text.get<std::string>("model_type", wrapper.text_type);
  require<DataError>(type == wrapper.text_type,
                     "config.json.text_config.model_type: got \"",
                     type.substr(0, 80),
                     "\", expected \"",
                     wrapper.text_type,
                     "\" inside of \"",
                     wrapper.model_type,
                     "\"");
  Json out = wrapper.text_defaults;
  out.update(given);
  out["model_type"] = wrapper.text_type;
  // The head belongs to the whole: its word counts, not the part's.
  out["tie_word_embeddings"] = whole.get<bool>("tie_word_embeddings", true);
  return out;
}

TextFolder::TextFolder(const std::filesystem::path& folder) : files_(folder) {
  const auto config = folder / "config.json";
  const bool has_images =
      std::filesystem::exists(config) && find_image_wrapper(read_json_file(config)) != nullptr;
  for (TensorView tensor : files_.tensors()) {
    if (has_images && is_of_images(tensor.name)) {
      ++left_out_.tensors;
      left_out_.parameters += tensor.elements();
      continue;
    }
    if (has_images) tensor.name = name_in_text_model(tensor.name);
    add(std::move(tensor));
  }
}

}  // namespace rebound
