#include "rebound/intervene/direction_clamp.h"

#include <torch/torch.h>

#include "rebound/base/error.h"

namespace rebound {

std::string to_string(DirectionEdit edit) { return edit == DirectionEdit::kAdd ? "add" : "ablate"; }

DirectionEdit parse_direction_edit(const std::string& text) {
  if (text == "add") return DirectionEdit::kAdd;
  if (text == "ablate") return DirectionEdit::kAblate;
  throw ConfigError(concat("direction edit: got \"", text, "\", expected add or ablate"));
}

DirectionClamp::DirectionClamp(Site site, at::Tensor direction, Options options)
    : site_(site), direction_(direction.to(at::kFloat).contiguous()), options_(std::move(options)) {
  require<ConfigError>(is_residual(site_), "direction: got site ", to_string(site_), ", expected a residual site");
  require<ConfigError>(direction_.dim() == 1, "direction at ", to_string(site_), ": got ", direction_.dim(),
                       " dimensions, expected a vector");
  const double norm = direction_.norm().item<double>();
  require<DataError>(std::isfinite(norm) && norm > 0, "direction at ", to_string(site_), ": got norm ", norm,
                     ", expected a finite vector that is not zero");
  unit_ = direction_ / norm;
}

at::Tensor DirectionClamp::apply(const at::Tensor& value, const Rows& rows) const {
  const at::Tensor edited =
      options_.edit == DirectionEdit::kAdd
          ? value + options_.strength * direction_
          : value - at::matmul(value, unit_).unsqueeze(-1) * unit_;
  const at::Tensor is_here = options_.positions.contains(rows) & (rows.position > 0) &
                             (value.detach().norm(2, -1) <= options_.sink_norm);
  return at::where(is_here.unsqueeze(-1), edited, value);
}

at::Tensor DirectionClamp::read(const at::Tensor& value) const { return at::matmul(value, unit_.unsqueeze(1)); }

Json DirectionClamp::to_json() const {
  Json json = {{"site", to_string(site_)},
               {"direction", to_string(options_.edit)},
               {"direction_norm", direction_.norm().item<double>()},
               {"positions", rebound::to_json(options_.positions)},
               {"sink_norm", options_.sink_norm}};
  if (options_.edit == DirectionEdit::kAdd) json["strength"] = options_.strength;
  return json;
}

}  // namespace rebound
