// When a drift relative to the defended readings means something: not where these are next to
// nothing beside what a random residual as long would read (an ablated reading is rounding).
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <limits>

#include "rebound/intervene/clamp.h"

namespace rebound {

inline constexpr double kNextToNothing = 1e-3;  // of the scale; below it a ratio means nothing

// |A|_F / sqrt(d_model): what the clamp reads of a random residual, bias aside, over its norm.
inline double reading_gain(const Clamp& clamp) {
  const at::Tensor columns = clamp.read_columns();
  return columns.norm().item<double>() / std::sqrt(static_cast<double>(columns.size(0)));
}

// shift / defended, NaN where undefined. Norms, [batch]; scale: of the defended readings before the
// activation, at least those of a random residual as long.
inline at::Tensor relative_or_nan(const at::Tensor& shift,
                                  const at::Tensor& defended,
                                  const at::Tensor& scale) {
  const at::Tensor undefined = at::full_like(shift, std::numeric_limits<double>::quiet_NaN());
  return at::where(defended > kNextToNothing * scale, shift / defended, undefined);
}

}  // namespace rebound
