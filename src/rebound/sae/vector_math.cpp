#include "rebound/sae/vector_math.h"

#include <cmath>
#include <cstring>

// Sanitizers cannot instrument the resolvers that pick a clone when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define REBOUND_CLONES [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]]
#else
#define REBOUND_CLONES
#endif

namespace rebound {

REBOUND_CLONES float dot(const float* a, const float* b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

REBOUND_CLONES void add_scaled(float* out, const float* a, float scale, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] += scale * a[i];
}

REBOUND_CLONES int64_t count_above(const int16_t* a, int16_t limit, int64_t n) {
  int16_t count = 0;  // n is at most a block, far below the range
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < n; ++i) count = static_cast<int16_t>(count + (a[i] > limit ? 1 : 0));
  return count;
}

REBOUND_CLONES void to_bfloat16_nearest(const float* a, uint16_t* out, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    uint32_t bits;
    std::memcpy(&bits, a + i, sizeof bits);
    out[i] = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

REBOUND_CLONES void adam(
    float* p, float* m, float* v, const float* g, int64_t n, const AdamStep& step) {
  const AdamStep s = step;
  const float rate = s.lr / s.correction1;
  const float inverse2 = 1.0f / s.correction2;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    m[i] = s.beta1 * m[i] + (1 - s.beta1) * g[i];
    v[i] = s.beta2 * v[i] + (1 - s.beta2) * g[i] * g[i];
    p[i] -= rate * m[i] / (std::sqrt(v[i] * inverse2) + s.eps);
  }
}

}  // namespace rebound
