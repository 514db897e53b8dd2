#include "rebound/model/family_sites.h"

#include <algorithm>

#include "rebound/base/error.h"

namespace rebound {
namespace {

void require_site(const ModelConfig& config, const Site& site) {
  require<ConfigError>(has_site(config, site),
                       "site ",
                       to_string(site),
                       ": got a model of type ",
                       config.model_type,
                       ", expected one that has it",
                       site.kind == SiteKind::kResidMid
                           ? " (attention and MLP of a parallel block read the same residual)"
                           : "");
}

}  // namespace

bool has_site(const ModelConfig& config, const Site& site) {
  switch (site.kind) {
    case SiteKind::kPosEmbed:
      return config.has_position_embeddings;
    case SiteKind::kRotQ:
    case SiteKind::kRotK:
      return site.layer >= config.num_hidden_layers ? !config.has_position_embeddings
                                                    : config.has_rope(site.layer);
    case SiteKind::kLn1Normalized:
      return config.has_pre_norms;
    case SiteKind::kLn2Normalized:
      return config.has_pre_norms && !config.shares_norm;
    case SiteKind::kResidMid:
      return !config.is_parallel;
    case SiteKind::kMlpPreLinear:
      return config.has_gate;
    default:
      return true;
  }
}

std::vector<Site> all_sites(const ModelConfig& config) {
  std::vector<Site> sites = all_sites(config.num_hidden_layers);
  std::erase_if(sites, [&](const Site& site) { return !has_site(config, site); });
  return sites;
}

void require_sites(const ModelConfig& config, const Hooks& hooks) {
  for (const auto& [site, edit] : hooks.edits) require_site(config, site);
  for (const Site& site : hooks.capture) require_site(config, site);
}

}  // namespace rebound
