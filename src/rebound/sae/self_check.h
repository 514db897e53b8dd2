// No SAE is used before it has been tried on real activations: a file with the wrong scale or of
// another layer loads without complaint and gives silent wrong numbers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rebound/model/transformer.h"
#include "rebound/sae/sae.h"

namespace rebound {

struct SelfCheck {
  int64_t tokens = 0;  // counted
  int64_t sinks = 0;   // left out (sinks.h)
  double fvu = 0;
  double l0 = 0;
  double norm_ratio = 0;  // mean |out| / mean |x|
  // Whether the SAE's metadata say that it was trained on texts that begin with BOS.
  bool trained_with_bos = false;
  bool begins_alike = true;  // all texts begin with one token, as they do behind BOS
  std::string likely_cause;  // of an FVU above 1; "" otherwise

  std::string summary() const;  // one line
  Json to_json() const;
};

// Runs the model up to the SAE's site. Throws DataError when the SAE does not fit the model.
SelfCheck self_check(const Sae& sae, const Transformer& model, const TokenBatch& batch);

// Why an SAE that should fit x [tokens, d_in] does not: x is tried minus its mean over d_in (a
// model with centred writing weights) and times sqrt(d_in) / mean |x| (a scale that was not
// folded). One clause for an error message.
std::string likely_cause_of_bad_fit(const Sae& sae, const at::Tensor& x);

// How to load the model of an SAE: an SAE trained on weights as TransformerLens has them says so in
// metadata.transformer_lens_processing, or SAELens's word for it (centring.h).
ModelLoadOptions load_options_of(const Sae& sae, ModelLoadOptions options = {});

// Whether an SAE was trained on texts that begin with BOS: metadata.prepend_bos; absent where the
// SAE does not say.
std::optional<bool> bos_policy_of(const Sae& sae);

// Throws DataError naming the likely cause when FVU > 1 or is not a number, unless `allow_bad_fit`.
void require_good_fit(const SelfCheck& check, bool allow_bad_fit = false);

}  // namespace rebound
