// Rotary positions in a config.json: rope_theta, partial_rotary_factor, rope_scaling (older files)
// and rope_parameters (newer ones, for one kind of layer or for each).
#pragma once

#include "rebound/base/json.h"
#include "rebound/model/config.h"

namespace rebound {

struct RopeDefaults {
  double theta = 10000;
  double partial_rotary_factor = 1;
  bool can_be_partial = false;  // other families ignore the key in transformers: 1 alone is read
  const char* theta_key = "rope_theta";
  const char* partial_key = "partial_rotary_factor";
  double local_theta =
      0;  // of sliding layers (rope_local_base_freq); 0: they have no base of their own
  // What the family's config class says of original_max_position_embeddings; 0: nothing. As a key
  // of config.json itself, or from here, it wins over the one inside rope_scaling.
  int64_t original_positions = 0;
  bool yarn_is_longrope = false;  // older names of Phi-3's: "yarn", "su"
};

// Fills in rope_theta, rotary_dim, rope_scaling and rope_local_base_freq; needs head_dim and
// max_position_embeddings. Throws DataError on a kind of scaling that is not implemented. Of
// longrope the short factors alone are used: max_position_embeddings becomes the length up to which
// they hold (transformers chooses by the length of each whole text, and a cache of keys cannot
// cross that border).
void read_rope_keys(ObjectReader& config, const RopeDefaults& defaults, ModelConfig& out);

}  // namespace rebound
