// Places in the model where activations are read or edited, under TransformerLens names:
// "blocks.12.hook_resid_pre" <-> Site{12, SiteKind::kResidPre}. One parser, one printer.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rebound {

enum class SiteKind {
  kEmbed,          // hook_embed                     [batch, pos, d_model]
  kPosEmbed,       // hook_pos_embed                 [batch, pos, d_model] learned positions
  kResidPre,       // blocks.i.hook_resid_pre        [batch, pos, d_model]
  kLn1Normalized,  // blocks.i.ln1.hook_normalized   x / rms (or LayerNorm), before gain and bias
  kQ,              // blocks.i.attn.hook_q           [batch, pos, n_heads, d_head] before qk-norm
  kK,              // blocks.i.attn.hook_k           [batch, pos, n_kv_heads, d_head]
  kV,              // blocks.i.attn.hook_v           [batch, pos, n_kv_heads, d_head]
  kRotQ,           // blocks.i.attn.hook_rot_q       [batch, pos, n_heads, d_head]
  kRotK,           // blocks.i.attn.hook_rot_k       [batch, pos, n_kv_heads, d_head]
  kPattern,        // blocks.i.attn.hook_pattern     [batch, n_heads, query pos, key pos]
  kZ,              // blocks.i.attn.hook_z           [batch, pos, n_heads, d_head]
  kResult,    // blocks.i.attn.hook_result      [batch, pos, n_heads, d_model] z of one head W_O
  kAttnOut,   // blocks.i.hook_attn_out         [batch, pos, d_model] as added (post-normed)
  kResidMid,  // blocks.i.hook_resid_mid        [batch, pos, d_model] not in parallel blocks
  kLn2Normalized,    // blocks.i.ln2.hook_normalized   x / rms, before the gain
  kMlpPre,           // blocks.i.mlp.hook_pre          [batch, pos, d_mlp] before the activation
  kMlpPreLinear,     // blocks.i.mlp.hook_pre_linear   [batch, pos, d_mlp] up projection
  kMlpPost,          // blocks.i.mlp.hook_post         [batch, pos, d_mlp] act(gate) * up
  kMlpOut,           // blocks.i.hook_mlp_out          [batch, pos, d_model] as added (post-normed)
  kResidPost,        // blocks.i.hook_resid_post       [batch, pos, d_model]
  kFinalNormalized,  // ln_final.hook_normalized       x / rms, before the gain
};

struct Site {
  int64_t layer = -1;  // -1 for sites outside the blocks
  SiteKind kind = SiteKind::kResidPre;
  auto operator<=>(const Site&) const = default;
};

std::string to_string(const Site& site);

// Throws ConfigError naming the text and the known kinds.
Site parse_site(std::string_view text);

// Every site that some model with `n_layers` layers has, in the order in which a forward pass
// reaches them; family_sites.h has those of one model.
std::vector<Site> all_sites(int64_t n_layers);

// Sites whose value is a residual stream: edits and perturbations are allowed there.
bool is_residual(const Site& site);

}  // namespace rebound
