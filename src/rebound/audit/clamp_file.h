// Clamps as data: a JSON list, each entry one site.
//
//   {"site": "blocks.10.hook_resid_pre", "direction": [0.1, ...] or "file.safetensors#name",
//    "edit": {"kind": "add", "strength": 0.5}, "positions": "all", "sink_norm": 1200}
//   {"sae": "assets/sae/NAME" or "ORG/NAME:PATH" of the hub, "features": [3, 8],
//    "edit": {"kind": "scale", "value": 3, "when": "active_only"}, "positions": "all", "sink_norm": 1200}
//
// "value" is a number or one for each feature. Without "sink_norm" only position 0 counts as a sink.
#pragma once

#include <memory>
#include <vector>

#include "rebound/intervene/clamp.h"
#include "rebound/model/transformer.h"

namespace rebound {

// Throws ConfigError naming the entry; DataError or IoError from its files.
std::vector<std::shared_ptr<const Clamp>> read_clamps(const Json& list, const Transformer& model);

// Whether an SAE of the list was trained on weights as TransformerLens has them (sae/self_check.h).
// Entries that read_clamps would refuse are passed over; IoError or DataError of an SAE's files.
bool has_processed_sae(const Json& list);

}  // namespace rebound
