// Which sites a model has: parallel blocks have no hook_resid_mid, models without a gate no
// hook_pre_linear, GPT-2 no rotated queries.
#pragma once

#include <vector>

#include "rebound/model/config.h"
#include "rebound/model/hooks.h"

namespace rebound {

// The layer itself is not checked against num_hidden_layers.
bool has_site(const ModelConfig& config, const Site& site);

// In the order in which a forward pass reaches them.
std::vector<Site> all_sites(const ModelConfig& config);

// Throws ConfigError naming the first site of an edit or a capture that the model does not have.
void require_sites(const ModelConfig& config, const Hooks& hooks);

}  // namespace rebound
