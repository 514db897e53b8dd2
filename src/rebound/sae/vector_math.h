// Loops over short float vectors, compiled for several instruction sets where the compiler can.
#pragma once

#include <cstdint>

namespace rebound {

float dot(const float* a, const float* b, int64_t n);
void add_scaled(float* out, const float* a, float scale, int64_t n);  // out += scale * a
// How many of a[0..n) are > limit.
int64_t count_above(const int16_t* a, int16_t limit, int64_t n);
void to_bfloat16_nearest(const float* a, uint16_t* out, int64_t n);

struct AdamStep {
  float lr;
  float beta1, beta2, eps;
  float correction1, correction2;  // 1 - beta^step
};

// One Adam update of n parameters; `m` and `v` are the moments, `g` the gradient.
void adam(float* p, float* m, float* v, const float* g, int64_t n, const AdamStep& step);

}  // namespace rebound
