#include "rebound/model/site.h"

#include <array>
#include <charconv>

#include "rebound/base/error.h"

namespace rebound {
namespace {

struct KindName {
  SiteKind kind;
  std::string_view name;
};

constexpr std::array kBlockKinds = {
    KindName{SiteKind::kResidPre, "hook_resid_pre"},
    KindName{SiteKind::kLn1Normalized, "ln1.hook_normalized"},
    KindName{SiteKind::kQ, "attn.hook_q"},
    KindName{SiteKind::kK, "attn.hook_k"},
    KindName{SiteKind::kV, "attn.hook_v"},
    KindName{SiteKind::kRotQ, "attn.hook_rot_q"},
    KindName{SiteKind::kRotK, "attn.hook_rot_k"},
    KindName{SiteKind::kPattern, "attn.hook_pattern"},
    KindName{SiteKind::kZ, "attn.hook_z"},
    KindName{SiteKind::kResult, "attn.hook_result"},
    KindName{SiteKind::kAttnOut, "hook_attn_out"},
    KindName{SiteKind::kResidMid, "hook_resid_mid"},
    KindName{SiteKind::kLn2Normalized, "ln2.hook_normalized"},
    KindName{SiteKind::kMlpPre, "mlp.hook_pre"},
    KindName{SiteKind::kMlpPreLinear, "mlp.hook_pre_linear"},
    KindName{SiteKind::kMlpPost, "mlp.hook_post"},
    KindName{SiteKind::kMlpOut, "hook_mlp_out"},
    KindName{SiteKind::kResidPost, "hook_resid_post"},
};
constexpr std::string_view kEmbedName = "hook_embed";
constexpr std::string_view kPosEmbedName = "hook_pos_embed";
constexpr std::string_view kFinalName = "ln_final.hook_normalized";
constexpr std::string_view kBlockPrefix = "blocks.";

std::string known_names() {
  std::string names = concat(kEmbedName, ", ", kPosEmbedName, ", ", kFinalName);
  for (const KindName& row : kBlockKinds) names += concat(", blocks.N.", row.name);
  return names;
}

}  // namespace

std::string to_string(const Site& site) {
  if (site.kind == SiteKind::kEmbed) return std::string(kEmbedName);
  if (site.kind == SiteKind::kPosEmbed) return std::string(kPosEmbedName);
  if (site.kind == SiteKind::kFinalNormalized) return std::string(kFinalName);
  for (const KindName& row : kBlockKinds) {
    if (row.kind == site.kind) return concat(kBlockPrefix, site.layer, ".", row.name);
  }
  return "unknown site";
}

Site parse_site(std::string_view text) {
  if (text == kEmbedName) return {-1, SiteKind::kEmbed};
  if (text == kPosEmbedName) return {-1, SiteKind::kPosEmbed};
  if (text == kFinalName) return {-1, SiteKind::kFinalNormalized};
  if (text.starts_with(kBlockPrefix)) {
    const std::string_view rest = text.substr(kBlockPrefix.size());
    int64_t layer = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    const std::string_view kind = rest.substr(static_cast<size_t>(end - rest.data()));
    if (error == std::errc() && layer >= 0 && kind.starts_with(".")) {
      for (const KindName& row : kBlockKinds) {
        if (row.name == kind.substr(1)) return {layer, row.kind};
      }
    }
  }
  throw ConfigError(concat("site: got \"", text, "\", expected one of: ", known_names()));
}

std::vector<Site> all_sites(int64_t n_layers) {
  std::vector<Site> sites = {{-1, SiteKind::kEmbed}, {-1, SiteKind::kPosEmbed}};
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    for (const KindName& row : kBlockKinds) sites.push_back({layer, row.kind});
  }
  sites.push_back({-1, SiteKind::kFinalNormalized});
  return sites;
}

bool is_residual(const Site& site) {
  return site.kind == SiteKind::kResidPre || site.kind == SiteKind::kResidMid ||
         site.kind == SiteKind::kResidPost;
}

}  // namespace rebound
