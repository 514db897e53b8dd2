// A model's weights as TransformerLens's HookedTransformer.from_pretrained leaves them; published
// SAEs of GPT-2 were trained on activations of such a model.
//
//   fold_ln                 gains and biases of norms go into the matrices that read them; with
//                           LayerNorm these are centred over what they read
//   center_writing_weights  LayerNorm models: what is written to the residual sums to 0 over
//   d_model center_unembed          the logits sum to 0 over the vocabulary; not with a final soft
//   cap fold_value_biases       biases of values go into the bias behind W_O
//
// Logits change by a constant per position, none with a soft cap. The residual stream of a
// LayerNorm model becomes its own difference from its mean over d_model; that of an RMS model
// stays. Norms of what is written (Gemma 2, 3, OLMo 2) stay as they are, and with them OLMo 2's
// final one.
#pragma once

#include "rebound/model/transformer.h"

namespace rebound {

// The weights are float32.
Transformer process_as_transformer_lens(ModelConfig config, ModelWeights weights);

}  // namespace rebound
