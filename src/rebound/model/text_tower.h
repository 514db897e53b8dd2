// The text part of models that also see images: Gemma 3 (`gemma3`) and Mistral Small 3.1
// (`mistral3`). What sees images is left aside, and said so (docs/model.md); texts without an image
// run as in the whole model.
//
//   config.json   {"model_type": "gemma3", "text_config": {...}, "vision_config": {...}, ...}
//   weights       "language_model.model.layers.0..." (files of the hub), or
//                 "model.language_model.layers.0..." (as the modules are named now)
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/io/safetensors.h"

namespace rebound {

struct ImageWrapper {
  const char* model_type;  // of the whole
  const char* text_type;   // of its text part, a row of families.h
  const char* own_keys;    // of its config.json that leave texts as they are, between spaces
  Json text_defaults;      // what transformers fills in where text_config is silent
};
// nullptr for a model of texts alone.
const ImageWrapper* find_image_wrapper(const Json& config);

// The text part's config, as if it stood alone. `config` is the wrapper's own, whose other keys the
// caller has looked at. Throws ConfigError or DataError where there is no such part.
Json text_config_of(const ImageWrapper& wrapper, const Json& config);

// The tensors of a Hugging Face folder's text model, under the names of the text model alone; all
// tensors of a folder that has nothing else. The names of a wrapper's vision tower and projector
// are known; any other stays, for the reader to refuse. Throws as SafetensorsFolder.
class TextFolder : public TensorTable {
 public:
  explicit TextFolder(const std::filesystem::path& folder);

  struct LeftOut {
    int64_t tensors = 0;
    int64_t parameters = 0;
  };
  const LeftOut& left_out() const { return left_out_; }

 private:
  SafetensorsFolder files_;
  LeftOut left_out_;
};

}  // namespace rebound
