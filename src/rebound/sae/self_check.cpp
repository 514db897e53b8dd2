#include "rebound/sae/self_check.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>

#include "rebound/sae/centring.h"
#include "rebound/sae/fit_stats.h"
#include "rebound/sae/harvest.h"
#include "rebound/sae/load_sae.h"

namespace rebound {
namespace {

double fvu_on(const Sae& sae, const at::Tensor& x) {
  FitStats stats(sae);
  stats.add(x);
  return stats.fvu();
}

}  // namespace

std::string likely_cause_of_bad_fit(const Sae& sae, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  const double centred = fvu_on(sae, x - x.mean({-1}, true));
  if (centred < 1) {
    return concat("centring: FVU is ",
                  centred,
                  " when each activation has its mean over d_model removed, so it was trained on a "
                  "model with centred writing weights");
  }
  const double scale =
      std::sqrt(static_cast<double>(sae.d_in())) / x.norm(2, {-1}).mean().item<double>();
  const double scaled = fvu_on(sae, x * scale);
  if (scaled < 1) {
    return concat("scale: FVU is ",
                  scaled,
                  " when the input is multiplied by sqrt(d_in) / mean |x| = ",
                  scale,
                  "; give that as norm_scaling_factor");
  }
  FitStats stats(sae);
  stats.add(x);
  if (stats.l0() < 0.5) {
    return "scale or threshold: almost no latent fires, so its input or its threshold is in "
           "another "
           "unit";
  }
  return "another layer, site or model, or a scale of its weights: neither centring nor rescaling "
         "the "
         "input helps";
}

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
                !trained_with_bos ? ""
                : begins_alike    ? "; trained with BOS"
                                  : "; trained with BOS, but these texts begin without");
  return line;
}

Json SelfCheck::to_json() const {
  return {{"tokens", tokens},
          {"sinks", sinks},
          {"fvu", fvu},
          {"l0", l0},
          {"norm_ratio", norm_ratio},
          {"trained_with_bos", trained_with_bos},
          {"begins_alike", begins_alike}};
}

SelfCheck self_check(const Sae& sae, const Transformer& model, const TokenBatch& batch) {
  check_fits(sae, model.config());
  const SiteActivations at_site = activations_at(model, parse_site(sae.config().hook_name), batch);
  FitStats stats(sae);
  const at::Tensor x = at_site.counted();
  stats.add(x);
  require<DataError>(stats.tokens() > 1, "SAE self-check: got too few tokens");
  const at::Tensor first = batch.ids.select(1, 0);
  return {.tokens = stats.tokens(),
          .sinks = at_site.sinks(),
          .fvu = stats.fvu(),
          .l0 = stats.l0(),
          .norm_ratio = stats.norm_ratio(),
          .trained_with_bos = bos_policy_of(sae).value_or(false),
          .begins_alike = (first == first[0]).all().item<bool>(),
          .likely_cause = stats.fvu() <= 1 ? "" : likely_cause_of_bad_fit(sae, x)};
}

ModelLoadOptions load_options_of(const Sae& sae, ModelLoadOptions options) {
  const Json& metadata = sae.config().metadata;
  const auto found =
      metadata.is_object() ? metadata.find("transformer_lens_processing") : metadata.end();
  options.has_transformer_lens_processing =
      (found != metadata.end() && *found == Json(true)) || is_of_centred_model(sae.config());
  return options;
}

std::optional<bool> bos_policy_of(const Sae& sae) {
  const Json& metadata = sae.config().metadata;
  const auto found = metadata.is_object() ? metadata.find("prepend_bos") : metadata.end();
  if (found == metadata.end() || !found->is_boolean()) return std::nullopt;
  return found->get<bool>();
}

void require_good_fit(const SelfCheck& check, bool allow_bad_fit) {
  if (allow_bad_fit || check.fvu <= 1) return;
  throw DataError(concat("SAE self-check: got ",
                         check.summary(),
                         "; expected FVU <= 1. Likely cause: ",
                         check.likely_cause.empty()
                             ? "an SAE of another model or layer, or a wrong input scale"
                             : check.likely_cause,
                         ". It may also have been trained with BOS or other tokens"));
}

}  // namespace rebound
