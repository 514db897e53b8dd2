// The table of architectures: names of weights and of their files, and what is fixed for a family.
//
// To add a family: a row here, its config keys in config_hugging_face.cpp (and config_gguf.cpp), a
// tiny model in tools/golden/make_families.py.
#pragma once

#include <string>
#include <vector>

#include "rebound/model/config.h"

namespace rebound {

// A weight in the file formats we read. "{}" stands for the layer; empty: the family has none. Its
// bias has the same name with "bias" for "weight".
struct WeightName {
  const char* hugging_face = "";
  const char* gguf = "";
  const char* older_hugging_face = "";
};

// How the rows of one matrix hold q, k and v in a Hugging Face file.
enum class FusedQkv {
  kNone,     // three matrices
  kStacked,  // all of q, all of k, all of v
  kByHead,   // q, k, v of the first head, then of the next (GPT-NeoX)
};

struct Architecture {
  const char* model_type;  // config.json "model_type"
  const char* gguf_name;   // general.architecture
  // What is fixed for the family, over Llama's defaults.
  void (*assign)(ModelConfig& config) = nullptr;
  // GGUF conversion stores the rows of Q and K of this family with the two rotary halves
  // interleaved; loading undoes it.
  bool gguf_interleaves_qk = false;
  // In Hugging Face files. GGUF conversion undoes both: it stores Gemma's gains with their 1 and
  // GPT-2's matrices the usual way round.
  bool gain_is_plus_one = false;         // gain = 1 + weight
  bool stores_transposed = false;        // [in, out] instead of [out, in]
  FusedQkv fused_qkv = FusedQkv::kNone;  // GGUF: kStacked unless kNone
  // Prefix of every name but the head's that older files lack ("transformer.").
  const char* hugging_face_prefix = "";
  // Names with a fused form (qkv, gate_up) or with parts (q, k, v; gate, up), never both.
  WeightName embed, position_embed;
  WeightName attn_norm, qkv, q, k, v, q_norm, k_norm, o, attn_out_norm;
  WeightName mlp_norm, gate_up, gate, up, down, mlp_out_norm;
  WeightName final_norm, head;
};

const std::vector<Architecture>& architectures();
const Architecture* find_architecture(const std::string& model_type);    // nullptr if unknown
const Architecture& architecture_of(const std::string& model_type);      // DataError if unknown
const Architecture& architecture_of_gguf(const std::string& gguf_name);  // DataError if unknown
std::string known_model_types();                                         // "gpt2, gpt_neox, ..."

}  // namespace rebound
