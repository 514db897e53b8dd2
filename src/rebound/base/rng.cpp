#include "rebound/base/rng.h"

#include <cmath>
#include <numbers>
#include <utility>

namespace rebound {
namespace {

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

}  // namespace

Rng::Rng(std::initializer_list<uint64_t> keys) : state_(0) {
  for (const uint64_t key : keys) state_ = mix(state_ + kGolden + mix(key + kGolden));
}

uint64_t Rng::next() { return mix(state_ += kGolden); }

double Rng::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

double Rng::normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  const double angle = 2.0 * std::numbers::pi * uniform();
  spare_ = radius * std::sin(angle);
  has_spare_ = true;
  return radius * std::cos(angle);
}

int64_t Rng::below(int64_t bound) {
  const uint64_t range = static_cast<uint64_t>(bound);
  const uint64_t limit = UINT64_MAX - UINT64_MAX % range;
  uint64_t draw = next();
  while (draw >= limit) draw = next();
  return static_cast<int64_t>(draw % range);
}

std::vector<float> Rng::normals(int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(normal());
  return values;
}

void Rng::shuffle(std::vector<int64_t>& items) {
  for (int64_t i = static_cast<int64_t>(items.size()) - 1; i > 0; --i) {
    std::swap(items[static_cast<size_t>(i)], items[static_cast<size_t>(below(i + 1))]);
  }
}

}  // namespace rebound
