// A defence: feature edits of one SAE, applied to the residual stream with the error term kept.
//
//   h_def = h + decode(edit(f)) - decode(f),  f = encode(h)          (method.md section 1)
//
// The defended features S are the union of the edits' features. Attention sinks (position 0 and
// tokens with |h| > sink_norm) are never edited.
#pragma once

#include <memory>
#include <vector>

#include "rebound/intervene/clamp.h"
#include "rebound/intervene/edit.h"
#include "rebound/sae/sae.h"

namespace rebound {

class Defence : public Clamp {
 public:
  // Edits apply in order to the code they find. Throws ConfigError on features outside the SAE.
  Defence(std::shared_ptr<const Sae> sae, std::vector<FeatureEdit> edits, double sink_norm);

  const Sae& sae() const { return *sae_; }
  const std::shared_ptr<const Sae>& shared_sae() const { return sae_; }
  const std::vector<FeatureEdit>& edits() const { return edits_; }
  const Site& site() const override { return site_; }
  const Sae::Features& features() const { return features_; }  // S, ascending
  double sink_norm() const { return sink_norm_; }

  // value [batch, rows, d_model] -> the same, clamped; differentiable.
  at::Tensor apply(const at::Tensor& value, const Rows& rows) const override;
  at::Tensor read(const at::Tensor& value) const override { return sae_->pre_activations(value, features_); }
  at::Tensor read_active(const at::Tensor& value) const override { return sae_->encode(value, features_); }
  at::Tensor read_columns() const override { return sae_->encoder_columns(features_); }
  at::Tensor write_rows() const override { return sae_->decoder_rows(features_); }
  bool is_affine() const override { return sae_->is_pointwise() && sae_->config().norm == SaeNorm::kNone; }
  // The same as an edit of the site. The defence must outlive the hooks.
  Hooks hooks() const;

  Json to_json() const override;

 private:
  std::shared_ptr<const Sae> sae_;
  std::vector<FeatureEdit> edits_;
  double sink_norm_;
  Site site_;
  Sae::Features features_;
};

// 10 x the median norm of real tokens past position 0 (the sink rule of sae/sinks.h, as one number
// that does not depend on how prompts are batched). resid [batch, pos, d_model].
double sink_norm_of(const at::Tensor& resid, const Rows& rows);

}  // namespace rebound
