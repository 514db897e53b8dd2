// SAEs of models with centred writing weights, as TransformerLens makes them of LayerNorm models:
// the residual stream is its own difference from its mean over d_model. SAELens keeps this in
// metadata.model_from_pretrained_kwargs.center_writing_weights, SAEs trained here in
// metadata.transformer_lens_processing.
#pragma once

#include "rebound/sae/sae.h"

namespace rebound {

// Whether the metadata say so. Never of families with RMS norms, whose residual stream stays as it
// is.
bool is_of_centred_model(const SaeConfig& config);

// Writes it into metadata, SAELens's way.
void record_centring(Json& metadata);

}  // namespace rebound
