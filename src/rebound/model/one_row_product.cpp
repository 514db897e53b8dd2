#include "rebound/model/one_row_product.h"

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>

#include "rebound/base/error.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace rebound {

#ifdef __x86_64__

namespace {

constexpr int64_t kLanes = 8, kAtOnce = 4 * kLanes;

__attribute__((target("avx2,fma"))) __m256 widened(const uint16_t* from) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

__attribute__((target("avx2,fma"))) __m256 widened(const float* from) {
  return _mm256_loadu_ps(from);
}

float widened_one(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float widened_one(float value) { return value; }

template <typename Weight>
__attribute__((target("avx2,fma"))) float dot(const Weight* w, const float* x, int64_t k) {
  __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + kAtOnce <= k; i += kAtOnce) {
    a = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), widened(w + i), a);
    b = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + kLanes), widened(w + i + kLanes), b);
    c = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 2 * kLanes), widened(w + i + 2 * kLanes), c);
    d = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 3 * kLanes), widened(w + i + 3 * kLanes), d);
  }
  float lanes[kLanes], sum = 0;
  _mm256_storeu_ps(lanes, _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
  for (const float lane : lanes) sum += lane;
  for (; i < k; ++i) sum += x[i] * widened_one(w[i]);
  return sum;
}

template <typename Weight>
at::Tensor product(const at::Tensor& x, const at::Tensor& weight) {
  const int64_t n = weight.size(0), k = weight.size(1);
  at::Tensor out = at::empty({1, n}, x.options());
  const auto* weights = static_cast<const Weight*>(weight.data_ptr());
  const float* row = x.data_ptr<float>();
  float* to = out.data_ptr<float>();
  // One thread reads 25 to 30 GB/s; two read no more, and waking the second takes longer than a row.
  for (int64_t i = 0; i < n; ++i) to[i] = dot(weights + i * k, row, k);
  return out;
}

}  // namespace

bool has_one_row_product() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

at::Tensor one_row_product(const at::Tensor& x, const at::Tensor& weight) {
  if (weight.scalar_type() == at::kFloat) return product<float>(x.contiguous(), weight);
  return product<uint16_t>(x.to(at::kBFloat16).to(at::kFloat).contiguous(), weight);
}

#else

bool has_one_row_product() { return false; }

at::Tensor one_row_product(const at::Tensor&, const at::Tensor&) {
  throw NumericError("one_row_product: this CPU lacks AVX2, expected has_one_row_product()");
}

#endif

}  // namespace rebound
