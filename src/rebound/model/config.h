// What a model is, under Hugging Face names, and the table of architectures we can run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

struct ModelConfig {
  std::string model_type = "llama";
  std::string name;  // for people: general.name or the folder's name
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;          // d_model
  int64_t intermediate_size = 0;    // d_mlp
  int64_t num_hidden_layers = 0;    // n_layers
  int64_t num_attention_heads = 0;  // n_heads
  int64_t num_key_value_heads = 0;  // n_kv_heads
  int64_t head_dim = 0;             // d_head
  int64_t max_position_embeddings = 2048;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  bool tie_word_embeddings = false;

  // Throws DataError naming the field: sizes positive, heads divisible, head_dim even, and no
  // size so large that its weights could not exist.
  void validate() const;
};

// A weight in the file formats we read. "{}" stands for the layer.
struct WeightName {
  const char* hugging_face;
  const char* gguf;
};

// One row of the table. Every family is data; the block that reads it is shared.
struct Architecture {
  const char* model_type;  // config.json "model_type"
  const char* gguf_name;   // general.architecture
  // GGUF conversion stores the rows of Q and K of this family with the two rotary halves
  // interleaved; loading undoes it.
  bool gguf_interleaves_qk;
  WeightName embed, attn_norm, q, k, v, o, mlp_norm, gate, up, down, final_norm, head;
};

const std::vector<Architecture>& architectures();
const Architecture& architecture_of(const std::string& model_type);      // DataError if unknown
const Architecture& architecture_of_gguf(const std::string& gguf_name);  // DataError if unknown

// Reads a config.json. A key that changes the arithmetic and is not implemented is a DataError;
// keys that do not stand in one list.
ModelConfig read_hugging_face_config(const Json& config);

}  // namespace rebound
