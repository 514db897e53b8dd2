// The model, the SAEs and the tokenizer of the bench.
#pragma once

#include <ATen/core/ScalarType.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"
#include "rebound/text/chat_template.h"
#include "rebound/text/tokenizer.h"

namespace rebound {

struct BenchFiles {
  std::string model;              // "": the default model
  std::vector<std::string> saes;  // folders or files; none: the default SAE with the default model
  ModelLoadOptions form;
};

struct BenchSae {
  std::string name;  // of its folder or file
  std::string path;  // as a spec may name it
  std::shared_ptr<const Sae> sae;
  Site site;
};

struct BenchModel {
  std::string name;
  std::shared_ptr<const Transformer> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat;  // null: the model has none
  std::vector<BenchSae> saes;
};

// Throws IoError where a file is missing (naming the script that fetches the default model),
// DataError where it cannot be used or an SAE does not fit the model, ConfigError for SAEs that
// need different processing of the weights.
BenchModel load_bench_model(const BenchFiles& files);

}  // namespace rebound
