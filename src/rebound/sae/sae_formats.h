// The readers behind load_sae(), one pair of functions per format: does it look like mine, and read
// it. A reader notes its folds; what all formats share (hooks, family, note_use) load_sae adds.
#pragma once

#include "rebound/sae/sae_parts.h"

namespace rebound {

struct SaeFormat {
  const char* name;
  bool (*matches)(const SaeSource&);
  SaeParts (*read)(const SaeSource&, const LoadSaeOptions&);
};

bool is_sae_lens(const SaeSource& source);
SaeParts read_sae_lens(const SaeSource& source, const LoadSaeOptions& options);

bool is_gemma_scope(const SaeSource& source);
SaeParts read_gemma_scope(const SaeSource& source, const LoadSaeOptions& options);
bool is_gemma_scope_2(const SaeSource& source);
SaeParts read_gemma_scope_2(const SaeSource& source, const LoadSaeOptions& options);

bool is_dictionary_learning(const SaeSource& source);
SaeParts read_dictionary_learning(const SaeSource& source, const LoadSaeOptions& options);

bool is_sparsify(const SaeSource& source);
SaeParts read_sparsify(const SaeSource& source, const LoadSaeOptions& options);

bool is_llama_scope(const SaeSource& source);
SaeParts read_llama_scope(const SaeSource& source, const LoadSaeOptions& options);
bool is_llama_scope_r1(const SaeSource& source);
SaeParts read_llama_scope_r1(const SaeSource& source, const LoadSaeOptions& options);
bool is_llamascopium(const SaeSource& source);
SaeParts read_llamascopium(const SaeSource& source, const LoadSaeOptions& options);

bool is_circuit_tracer(const SaeSource& source);
SaeParts read_circuit_tracer(const SaeSource& source, const LoadSaeOptions& options);
bool is_circuit_tracer_clt(const SaeSource& source);
SaeParts read_circuit_tracer_clt(const SaeSource& source, const LoadSaeOptions& options);

// Single files of torch.save with little or no configuration.
bool is_goodfire(const SaeSource& source);
bool is_deepseek_r1(const SaeSource& source);
bool is_connor_rob(const SaeSource& source);
bool is_qwen_scope(const SaeSource& source);
bool is_e2e_sae(const SaeSource& source);
SaeParts read_goodfire(const SaeSource& source, const LoadSaeOptions& options);
SaeParts read_deepseek_r1(const SaeSource& source, const LoadSaeOptions& options);
SaeParts read_connor_rob(const SaeSource& source, const LoadSaeOptions& options);
SaeParts read_qwen_scope(const SaeSource& source, const LoadSaeOptions& options);
SaeParts read_e2e_sae(const SaeSource& source, const LoadSaeOptions& options);

// The one file of a set that is meant: the path itself, or the only such name in the folder. Throws
// DataError listing them otherwise.
std::string one_of_set(const SaeSource& source, const std::vector<std::string>& names);

// W_enc [d_in, d_sae], W_dec [d_sae, d_out] and biases under the given names; widths are set from
// the shapes. `rows_first`: the file has W_enc [d_sae, d_in] (and W_dec [d_out, d_sae]).
struct WeightNames {
  std::string W_enc, b_enc, W_dec, b_dec;
  bool W_enc_is_transposed = false;
  bool W_dec_is_transposed = false;
};
void read_weights(SaeParts& parts, const TensorTable& table, const WeightNames& names);

}  // namespace rebound
