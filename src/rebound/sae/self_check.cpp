#include "rebound/sae/self_check.h"

#include <ATen/ATen.h>

#include <cstdio>

#include "rebound/sae/fit_stats.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/sae_lens_format.h"

namespace rebound {

std::string SelfCheck::summary() const {
  char line[200];
  std::snprintf(line,
                sizeof line,
                "FVU %.4f, L0 %.1f, norm ratio %.3f on %lld tokens (%lld sinks left out)%s",
                fvu,
                l0,
                norm_ratio,
                static_cast<long long>(tokens),
                static_cast<long long>(sinks),
                trained_with_bos ? "; trained with BOS, used without" : "");
  return line;
}

Json SelfCheck::to_json() const {
  return {{"tokens", tokens},
          {"sinks", sinks},
          {"fvu", fvu},
          {"l0", l0},
          {"norm_ratio", norm_ratio},
          {"trained_with_bos", trained_with_bos}};
}

SelfCheck self_check(const Sae& sae, const Transformer& model, const TokenBatch& batch) {
  check_fits(sae, model.config());
  const SiteActivations at_site = activations_at(model, parse_site(sae.config().hook_name), batch);
  FitStats stats(sae);
  stats.add(at_site.counted());
  require<DataError>(stats.tokens() > 1, "SAE self-check: got too few tokens");
  const Json& metadata = sae.config().metadata;
  return {.tokens = stats.tokens(),
          .sinks = at_site.sinks(),
          .fvu = stats.fvu(),
          .l0 = stats.l0(),
          .norm_ratio = stats.norm_ratio(),
          .trained_with_bos = metadata.contains("prepend_bos") &&
                              metadata.at("prepend_bos").is_boolean() &&
                              metadata.at("prepend_bos").get<bool>()};
}

ModelLoadOptions load_options_of(const Sae& sae, at::ScalarType dtype) {
  const Json& metadata = sae.config().metadata;
  const auto found = metadata.is_object() ? metadata.find("transformer_lens_processing") : metadata.end();
  return {.dtype = dtype,
          .has_transformer_lens_processing = found != metadata.end() && *found == Json(true)};
}

void require_good_fit(const SelfCheck& check, bool allow_bad_fit) {
  if (allow_bad_fit || check.fvu <= 1) return;
  throw DataError(concat("SAE self-check: got ",
                         check.summary(),
                         "; expected FVU <= 1. Likely causes: an SAE of another model or layer, a "
                         "wrong input scale (normalize_activations, norm_scaling_factor), or one "
                         "trained with BOS or other tokens"));
}

}  // namespace rebound
