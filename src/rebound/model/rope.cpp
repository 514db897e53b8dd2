#include "rebound/model/rope.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

namespace rebound {
namespace {

// What a frequency is divided by under the rule of Llama 3.1: with w = wavelength,
//   1 for w < original / high, factor for w > original / low, and between
//   1 / ((1 - s) / factor + s), s = (original / w - low) / (high - low).
double llama3_divisor(double frequency, const RopeScaling& scaling) {
  const double wavelength = 2 * M_PI / frequency;
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const double low = scaling.low_freq_factor, high = scaling.high_freq_factor;
  if (wavelength < original / high) return 1;
  if (wavelength > original / low) return scaling.factor;
  const double share = (original / wavelength - low) / (high - low);
  return 1 / ((1 - share) / scaling.factor + share);
}

// The pair, counted as a real number, that turns `rotations` times over the original length.
double pair_of_rotations(double rotations,
                         double theta,
                         int64_t rotary_dim,
                         const RopeScaling& scaling) {
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  return static_cast<double>(rotary_dim) * std::log(original / (rotations * 2 * M_PI)) /
         (2 * std::log(theta));
}

double yarn_divisor(size_t i, double theta, int64_t rotary_dim, const RopeScaling& scaling) {
  double low = pair_of_rotations(scaling.beta_fast, theta, rotary_dim, scaling);
  double high = pair_of_rotations(scaling.beta_slow, theta, rotary_dim, scaling);
  if (scaling.is_ramp_whole) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rotary_dim - 1));
  constexpr double kLeastWidth = 0.001;
  if (low == high) high += kLeastWidth;
  const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
  return 1 / (1 - ramp + ramp / scaling.factor);
}

// Of the pair i of `rotary_dim` dimensions, whose frequency theta gives.
double divisor(
    double frequency, size_t i, double theta, int64_t rotary_dim, const RopeScaling& scaling) {
  switch (scaling.kind) {
    case RopeScaling::Kind::kLinear:
      return scaling.factor;
    case RopeScaling::Kind::kLlama3:
      return llama3_divisor(frequency, scaling);
    case RopeScaling::Kind::kYarn:
      return yarn_divisor(i, theta, rotary_dim, scaling);
    case RopeScaling::Kind::kDivisors:
      return scaling.divisors.at(i);
    default:
      return 1;
  }
}

at::Tensor rotate_half(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return at::cat({-halves[1], halves[0]}, -1);
}

}  // namespace

double yarn_attention(double factor, double mscale) {
  return factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
}

double longrope_attention(double factor, int64_t original) {
  return factor <= 1 ? 1
                     : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

std::vector<double> rope_frequencies(double theta, int64_t rotary_dim, const RopeScaling& scaling) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(rotary_dim);
    const double frequency = std::pow(theta, -exponent);
    frequencies.push_back(frequency /
                          divisor(frequency, static_cast<size_t>(i), theta, rotary_dim, scaling));
  }
  return frequencies;
}

RopeTable::RopeTable(const std::vector<double>& frequencies,
                     int64_t max_positions,
                     at::Device device,
                     double scale) {
  const at::Tensor frequency = at::tensor(frequencies, at::kDouble).to(at::kFloat);
  const at::Tensor angle = at::outer(at::arange(max_positions, at::kFloat), frequency).to(device);
  cos = angle.cos();
  sin = angle.sin();
  if (scale == 1) return;
  cos = cos * scale;
  sin = sin * scale;
}

at::Tensor RopeTable::rotate(const at::Tensor& heads, const at::Tensor& position) const {
  const int64_t rotary_dim = 2 * cos.size(1), rest = heads.size(-1) - rotary_dim;
  const auto at_positions = [&](const at::Tensor& table) {
    const at::Tensor half = table.index({position}).unsqueeze(2);  // [batch, rows, 1, half]
    return at::cat({half, half}, -1);
  };
  const at::Tensor turning = rest ? heads.narrow(-1, 0, rotary_dim) : heads;
  const at::Tensor turned = turning * at_positions(cos) + rotate_half(turning) * at_positions(sin);
  return rest ? at::cat({turned, heads.narrow(-1, rotary_dim, rest)}, -1) : turned;
}

}  // namespace rebound
