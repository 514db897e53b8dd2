// rebound tpp --scr: spurious correlation removal.
#pragma once

#include <cstdint>
#include <string>

#include "rebound/probe/scr.h"
#include "verb.h"

namespace rebound {

inline constexpr const char* kScrTask = "intent_wrapper";

struct ScrFlags {
  std::string data;  // empty: kScrTask
  std::string model, sae, out;
  bool has_transformer_lens_processing = false;
  int64_t cache_mb = 512;
  int64_t texts = 0;  // of a combination in a split
  ScrOptions options;
};

void run_scr_verb(const ScrFlags& flags, const CommonFlags& common);

}  // namespace rebound
