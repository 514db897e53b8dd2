// Clamps as data: a JSON list, each entry one site.
//
//   {"site": "blocks.10.hook_resid_pre", "direction": [0.1, ...] or "file.safetensors#name",
//    "edit": {"kind": "add", "strength": 0.5}, "positions": "all", "sink_norm": 1200}
//   {"sae": "assets/sae/NAME" or "ORG/NAME:PATH" of the hub, "features": [3, 8],
//    "edit": {"kind": "scale", "value": 3, "when": "active_only"}, "positions": "all", "sink_norm": 1200}
//
// "value" is a number or one for each feature. Position 0 and tokens with a norm above "sink_norm"
// are attention sinks, which are never clamped; null: position 0 alone. Where the key is not there it
// is sink_norm_of the site's residuals in the first 8 contexts of data/text/heldout.txt.gz.
#pragma once

#include <memory>
#include <vector>

#include "rebound/intervene/clamp.h"
#include "rebound/model/transformer.h"
#include "rebound/text/tokenizer.h"

namespace rebound {

// Throws ConfigError naming the entry; DataError or IoError from its files. `tokenizer` is the model's;
// without one (null) every entry needs "sink_norm".
std::vector<std::shared_ptr<const Clamp>> read_clamps(const Json& list,
                                                      const Transformer& model,
                                                      const Tokenizer* tokenizer);

// Whether an SAE of the list was trained on weights as TransformerLens has them (sae/self_check.h).
// Entries that read_clamps would refuse are passed over; IoError or DataError of an SAE's files.
bool has_processed_sae(const Json& list);

}  // namespace rebound
