// --dtype, --memory-limit and --transformer-lens-processing of the verbs that load a model.
#pragma once

#include <cstdint>
#include <string>

#include "rebound/model/memory_plan.h"
#include "verb.h"

namespace rebound {

class Sae;

inline constexpr const char* kMemoryLimitHelp =
    "Stay below this size (800M, 1.5G) by the form of the weights and how much goes at once";

inline constexpr const char* kTransformerLensHelp =
    "Weights as TransformerLens's from_pretrained leaves them";

struct PlannedModel {
  ModelLoadOptions form;
  int64_t at_once = 1;  // examples
  int64_t left = -1;    // bytes of the limit; -1: there is none
};

// Without a limit, all that is wished for in --dtype. Otherwise a plan, said on stderr: `one` is
// what an example has in work, `fixed` bytes stand besides. Throws as plan_memory.
PlannedModel plan_model(const std::string& path,
                        const CommonFlags& common,
                        const std::string& limit,
                        const RunShape& one,
                        int64_t at_once = 1,
                        int64_t fixed = 0);

// `form` with the processing that the flag or an SAE's metadata ask for; `sae` may be null.
ModelLoadOptions processed_form(ModelLoadOptions form, bool is_flag_given, const Sae* sae);

// What a cache may hold in memory: --cache-mb, or half of what the limit leaves if that is less.
int64_t cache_bytes(int64_t cache_mb, const PlannedModel& plan);

}  // namespace rebound
