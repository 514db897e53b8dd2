// Edits along one direction of the residual stream, for instance a difference of means:
//
//   add      h_def = h + strength * direction          (steering vector)
//   ablate   h_def = h - u (u . h),  u = direction / |direction|
//
// What is protected is the coordinate u . h. Attention sinks (position 0 and tokens with
// |h| > sink_norm) are never edited.
#pragma once

#include "rebound/intervene/clamp.h"
#include "rebound/intervene/edit.h"

namespace rebound {

enum class DirectionEdit { kAdd, kAblate };
std::string to_string(DirectionEdit edit);
DirectionEdit parse_direction_edit(const std::string& text);  // "add", "ablate"; ConfigError

class DirectionClamp : public Clamp {
 public:
  struct Options {
    DirectionEdit edit = DirectionEdit::kAdd;
    double strength = 1;  // of add
    PositionSet positions;
    double sink_norm = 0;
  };
  // direction [d_model]. Throws ConfigError for another shape, DataError for NaN or a zero vector.
  DirectionClamp(Site site, at::Tensor direction, Options options);

  const Site& site() const override { return site_; }
  at::Tensor apply(const at::Tensor& value, const Rows& rows) const override;
  at::Tensor read(const at::Tensor& value) const override;
  at::Tensor read_active(const at::Tensor& value) const override { return read(value); }
  at::Tensor read_columns() const override { return unit_.unsqueeze(1); }
  at::Tensor write_rows() const override { return unit_.unsqueeze(0); }
  bool is_affine() const override { return true; }
  Json to_json() const override;

 private:
  Site site_;
  at::Tensor direction_, unit_;
  Options options_;
};

}  // namespace rebound
