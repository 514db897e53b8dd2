#include "model_plan.h"

#include <algorithm>

#include "rebound/base/progress.h"
#include "rebound/sae/self_check.h"

namespace rebound {

PlannedModel plan_model(const std::string& path,
                        const CommonFlags& common,
                        const std::string& limit,
                        const RunShape& one,
                        int64_t at_once,
                        int64_t fixed) {
  if (limit.empty()) return {.form = dtype_named(common.dtype), .at_once = at_once};
  const MemoryPlan plan = plan_memory({.limit = parse_bytes(limit),
                                       .dtype = common.is_dtype_given ? common.dtype : "",
                                       .fixed = fixed,
                                       .at_once = at_once,
                                       .bytes_each = run_bytes(read_config(path), one)},
                                      WeightBytes::of(path));
  say(plan.text());
  return {.form = dtype_named(plan.dtype),
          .at_once = plan.at_once,
          .left = plan.limit - plan.limit / 16 - plan.total()};
}

ModelLoadOptions processed_form(ModelLoadOptions form, bool is_flag_given, const Sae* sae) {
  if (sae) form = load_options_of(*sae, form);
  form.has_transformer_lens_processing |= is_flag_given;
  return form;
}

int64_t cache_bytes(int64_t cache_mb, const PlannedModel& plan) {
  const int64_t wish = cache_mb << 20;
  return plan.left < 0 ? wish : std::min(wish, plan.left / 2);
}

}  // namespace rebound
