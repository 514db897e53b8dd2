// Models that also see images: their text part under either naming, and what is refused.
#include "rebound/model/text_tower.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "model/family_fixture.h"
#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/model/memory_plan.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

Json image_config(const Json& changes = Json::object()) {
  Json config = read_json_file(family_folder("gemma3_images") / "config.json");
  config.update(changes);
  return config;
}

std::string image_error(const Json& config) {
  return message_of<DataError>([&] { read_hugging_face_config(config); });
}

// The tiny model with its tensors renamed by `rename`.
template <class Rename>
fs::path renamed_copy(const Rename& rename) {
  const fs::path folder = fresh_folder("images");
  const SafetensorsFolder original(family_folder("gemma3_images"));
  std::vector<TensorView> tensors = original.tensors();
  for (TensorView& tensor : tensors) tensor.name = rename(tensor.name);
  write_safetensors(folder / "model.safetensors", tensors);
  write_file_atomically(folder / "config.json", image_config().dump());
  return folder;
}

std::string as_modules_are_named(const std::string& name) {
  const std::string from = "language_model.model.";
  return name.starts_with(from) ? "model.language_model." + name.substr(from.size())
                                : "model." + name;
}

TEST(TextTowerTest, BothNamingsGiveOneModel) {
  const at::NoGradGuard no_grad;
  const fs::path folder = renamed_copy(as_modules_are_named);
  ASSERT_NE(SafetensorsFolder(folder).find("model.vision_tower.head.probe"), nullptr);
  const std::vector<int64_t> ids = {1, 17, 39, 3, 62};
  EXPECT_TRUE(at::equal(last_logits(load_model(folder.string()), ids),
                        last_logits(load_model(family_folder("gemma3_images").string()), ids)));
}

TEST(TextTowerTest, WhatSeesImagesIsCountedAndTakesNoMemory) {
  const fs::path folder = family_folder("gemma3_images");
  const SafetensorsFolder all(folder);
  const TextFolder text(folder);
  EXPECT_GT(text.left_out().tensors, 20);
  EXPECT_EQ(text.tensors().size() + static_cast<size_t>(text.left_out().tensors),
            all.tensors().size());
  int64_t parameters = text.left_out().parameters;
  for (const TensorView& tensor : text.tensors()) parameters += tensor.elements();
  int64_t bytes = 0;
  for (const TensorView& tensor : all.tensors()) {
    parameters -= tensor.elements();
    bytes += static_cast<int64_t>(tensor.bytes);
  }
  EXPECT_EQ(parameters, 0);
  EXPECT_LT(WeightBytes::of(folder.string()).stored, bytes + 64 * 8 * 16);  // rope tables
  EXPECT_EQ(TextFolder(family_folder("gemma3")).left_out().tensors, 0);
}

TEST(TextTowerTest, ATensorOfNoKnownPartIsRefused) {
  const fs::path folder = renamed_copy([](const std::string& name) {
    return name.starts_with("multi_modal") ? "audio_tower." + name : name;
  });
  const std::string error = message_of<DataError>([&] { load_model(folder.string()); });
  EXPECT_NE(error.find("audio_tower."), std::string::npos) << error;
}

// gemma-3-4b-it says no more than this of its text model.
TEST(TextTowerTest, WhatTheTextConfigLeavesOutIsItsClasssDefault) {
  const Json config = {{"model_type", "gemma3"},
                       {"architectures", {"Gemma3ForConditionalGeneration"}},
                       {"boi_token_index", 255999},
                       {"eoi_token_index", 256000},
                       {"eos_token_id", {1, 106}},
                       {"image_token_index", 262144},
                       {"initializer_range", 0.02},
                       {"mm_tokens_per_image", 256},
                       {"text_config",
                        {{"hidden_size", 2560},
                         {"intermediate_size", 10240},
                         {"model_type", "gemma3_text"},
                         {"num_hidden_layers", 34},
                         {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                         {"sliding_window", 1024}}},
                       {"torch_dtype", "bfloat16"},
                       {"vision_config", {{"hidden_size", 1152}}}};
  const ModelConfig text = read_hugging_face_config(config);
  EXPECT_EQ(text.model_type, "gemma3_text");
  EXPECT_EQ(text.vocab_size, 262208);
  EXPECT_EQ(text.num_attention_heads, 8);
  EXPECT_EQ(text.num_key_value_heads, 4);
  EXPECT_EQ(text.head_dim, 256);
  EXPECT_EQ(text.max_position_embeddings, 131072);
  EXPECT_EQ(text.rope_scaling.kind, RopeScaling::Kind::kLinear);
  EXPECT_EQ(text.rope_local_base_freq, 1e4);
  EXPECT_TRUE(text.tie_word_embeddings);
}

TEST(TextTowerTest, KeysOfTheWholeThatAreNotKnownAreRefused) {
  EXPECT_NE(image_error(image_config({{"new_arithmetic", 1}})).find("\"new_arithmetic\""),
            std::string::npos);
  EXPECT_NE(image_error(image_config({{"quantization_config", {{"bits", 4}}}}))
                .find("quantization_config"),
            std::string::npos);
  Json inside = image_config();
  inside["text_config"]["new_arithmetic"] = 1;
  EXPECT_NE(image_error(inside).find("text_config"), std::string::npos);
  inside = image_config();
  inside["text_config"]["model_type"] = "qwen2";
  EXPECT_NE(image_error(inside).find("expected \"gemma3_text\""), std::string::npos);
  inside.erase("text_config");
  EXPECT_NE(image_error(inside).find("text_config"), std::string::npos);
}

}  // namespace
}  // namespace rebound
