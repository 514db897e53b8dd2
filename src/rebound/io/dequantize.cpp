#include "rebound/io/dequantize.h"

#include <bit>
#include <cstring>

#include "rebound/base/error.h"

namespace rebound {
namespace {

template <class T>
T load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Without branches, so that loops over it vectorise: normal numbers by a product with 2^-112,
// subnormal ones by a difference with 0.5 (as in the FP16 library).
inline float half_to_float(uint16_t half) {
  const uint32_t word = static_cast<uint32_t>(half) << 16;
  const uint32_t magnitude = word + word;
  const float normal = std::bit_cast<float>((magnitude >> 4) + (0xE0u << 23)) * 0x1.0p-112f;
  const float subnormal = std::bit_cast<float>((magnitude >> 17) | (126u << 23)) - 0.5f;
  const uint32_t bits =
      magnitude < (1u << 27) ? std::bit_cast<uint32_t>(subnormal) : std::bit_cast<uint32_t>(normal);
  return std::bit_cast<float>(bits | (word & 0x80000000u));
}

inline float bfloat_to_float(uint16_t bfloat) {
  return std::bit_cast<float>(static_cast<uint32_t>(bfloat) << 16);
}

inline float half_at(const uint8_t* bytes) { return half_to_float(load<uint16_t>(bytes)); }

void unpack_q8_0(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
}

void unpack_q4_0(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const uint8_t* q = block + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((q[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((q[i] >> 4) - 8);
  }
}

void unpack_q4_1(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const uint8_t* q = block + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(q[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(q[i] >> 4) + m;
  }
}

// Five bits of element i: a nibble below, bit i of `high` above.
inline int five_bits(uint32_t nibble, uint32_t high, int i) {
  return static_cast<int>(nibble | (((high >> i) & 1u) << 4));
}

void unpack_q5_0(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const auto high = load<uint32_t>(block + 2);
  const uint8_t* q = block + 6;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(five_bits(q[i] & 15u, high, i) - 16);
    out[i + 16] = d * static_cast<float>(five_bits(q[i] >> 4, high, i + 16) - 16);
  }
}

void unpack_q5_1(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const auto high = load<uint32_t>(block + 4);
  const uint8_t* q = block + 8;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(five_bits(q[i] & 15u, high, i)) + m;
    out[i + 16] = d * static_cast<float>(five_bits(q[i] >> 4, high, i + 16)) + m;
  }
}

struct ScaleMin {
  float scale;
  float min;
};

// Group g of 8 in the twelve bytes of 6-bit scales and minima that Q4_K and Q5_K share.
ScaleMin scale_min(const uint8_t* packed, int g) {
  if (g < 4) {
    return {static_cast<float>(packed[g] & 63), static_cast<float>(packed[g + 4] & 63)};
  }
  const int scale = (packed[g + 4] & 15) | ((packed[g - 4] >> 2) & 48);
  const int min = (packed[g + 4] >> 4) | ((packed[g] >> 2) & 48);
  return {static_cast<float>(scale), static_cast<float>(min)};
}

void unpack_q4_k(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  for (int g = 0; g < 8; ++g) {
    const auto [scale, min] = scale_min(block + 4, g);
    const float ds = d * scale;
    const float dm = dmin * min;
    const uint8_t* q = block + 16 + 32 * (g / 2);
    const int shift = 4 * (g % 2);
    for (int i = 0; i < 32; ++i) {
      out[32 * g + i] = ds * static_cast<float>((q[i] >> shift) & 15) - dm;
    }
  }
}

void unpack_q5_k(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block);
  const float dmin = half_at(block + 2);
  const uint8_t* high = block + 16;
  for (int g = 0; g < 8; ++g) {
    const auto [scale, min] = scale_min(block + 4, g);
    const float ds = d * scale;
    const float dm = dmin * min;
    const uint8_t* q = block + 48 + 32 * (g / 2);
    const int shift = 4 * (g % 2);
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) | (((high[i] >> g) & 1) << 4);
      out[32 * g + i] = ds * static_cast<float>(value) - dm;
    }
  }
}

// Two halves of 128 elements, each four runs of 32: low nibbles of 64 bytes, then high ones; two
// upper bits per element; one signed scale per 16 elements.
void unpack_q6_k(const uint8_t* __restrict block, float* __restrict out) {
  const float d = half_at(block + 208);
  const auto* scales = reinterpret_cast<const int8_t*>(block + 192);
  for (int run = 0; run < 8; ++run) {
    const int half = run / 4;
    const uint8_t* low = block + 64 * half + 32 * (run % 2);
    const uint8_t* high = block + 128 + 32 * half;
    const int low_shift = run % 4 < 2 ? 0 : 4;
    const int high_shift = 2 * (run % 4);
    for (int part = 0; part < 2; ++part) {
      const float ds = d * static_cast<float>(scales[2 * run + part]);
      for (int i = 16 * part; i < 16 * part + 16; ++i) {
        const int value = ((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4);
        out[32 * run + i] = ds * static_cast<float>(value - 32);
      }
    }
  }
}

using Unpack = void (*)(const uint8_t* __restrict, float* __restrict);

template <Unpack unpack, int kBlockBytes, int kBlockElements>
void unpack_blocks(const uint8_t* data, int64_t elements, float* out) {
  const int64_t blocks = elements / kBlockElements;
  for (int64_t i = 0; i < blocks; ++i) unpack(data + i * kBlockBytes, out + i * kBlockElements);
}

template <class T>
void cast_each(const uint8_t* __restrict data, int64_t elements, float* __restrict out) {
  for (int64_t i = 0; i < elements; ++i) out[i] = static_cast<float>(load<T>(data + i * sizeof(T)));
}

template <float (*convert)(uint16_t)>
void convert_each(const uint8_t* __restrict data, int64_t elements, float* __restrict out) {
  for (int64_t i = 0; i < elements; ++i) out[i] = convert(load<uint16_t>(data + 2 * i));
}

void copy_floats(const uint8_t* data, int64_t elements, float* out) {
  if (elements > 0) std::memcpy(out, data, static_cast<size_t>(elements) * sizeof(float));
}

void bools_to_floats(const uint8_t* data, int64_t elements, float* out) {
  for (int64_t i = 0; i < elements; ++i) out[i] = data[i] != 0 ? 1.0f : 0.0f;
}

using Convert = void (*)(const uint8_t* data, int64_t elements, float* out);

Convert converter(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return copy_floats;
    case DType::kF16:
      return convert_each<half_to_float>;
    case DType::kBF16:
      return convert_each<bfloat_to_float>;
    case DType::kF64:
      return cast_each<double>;
    case DType::kI8:
      return cast_each<int8_t>;
    case DType::kI16:
      return cast_each<int16_t>;
    case DType::kI32:
      return cast_each<int32_t>;
    case DType::kI64:
      return cast_each<int64_t>;
    case DType::kU8:
      return cast_each<uint8_t>;
    case DType::kU16:
      return cast_each<uint16_t>;
    case DType::kU32:
      return cast_each<uint32_t>;
    case DType::kU64:
      return cast_each<uint64_t>;
    case DType::kBool:
      return bools_to_floats;
    case DType::kQ8_0:
      return unpack_blocks<unpack_q8_0, 34, 32>;
    case DType::kQ4_0:
      return unpack_blocks<unpack_q4_0, 18, 32>;
    case DType::kQ4_1:
      return unpack_blocks<unpack_q4_1, 20, 32>;
    case DType::kQ5_0:
      return unpack_blocks<unpack_q5_0, 22, 32>;
    case DType::kQ5_1:
      return unpack_blocks<unpack_q5_1, 24, 32>;
    case DType::kQ4_K:
      return unpack_blocks<unpack_q4_k, 144, 256>;
    case DType::kQ5_K:
      return unpack_blocks<unpack_q5_k, 176, 256>;
    case DType::kQ6_K:
      return unpack_blocks<unpack_q6_k, 210, 256>;
  }
  throw DataError("unknown element type");
}

uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  constexpr uint32_t kInfinity = 0x7f800000u;
  constexpr uint32_t kTooLarge = 0x477ff000u;        // 65520: rounds to infinity
  constexpr uint32_t kSmallestNormal = 0x38800000u;  // 2^-14
  if (magnitude > kInfinity) return sign | 0x7e00u;
  if (magnitude >= kTooLarge) return sign | 0x7c00u;
  if (magnitude < kSmallestNormal) {
    // In [0.5, 1) one unit in the last place is 2^-24, the step of subnormal halves: the
    // addition itself rounds to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000u);
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return sign | static_cast<uint16_t>((rounded - (112u << 23)) >> 13);
}

uint16_t float_to_bfloat(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

int64_t row_length(const TensorView& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.back();
}

void require_whole(const TensorView& tensor) {
  const std::optional<size_t> expected = byte_count(tensor.dtype, tensor.shape);
  require<DataError>(expected == tensor.bytes,
                     "tensor ",
                     quoted_name(tensor.name),
                     ": got ",
                     tensor.bytes,
                     " bytes, expected ",
                     expected.value_or(0),
                     " for ",
                     dtype_info(tensor.dtype).name,
                     " ",
                     shape_text(tensor.shape));
}

}  // namespace

void to_float32(const TensorView& tensor, float* out) {
  require_whole(tensor);
  const auto* data = reinterpret_cast<const uint8_t*>(tensor.data);
  converter(tensor.dtype)(data, tensor.elements(), out);
}

std::vector<float> to_float32(const TensorView& tensor) {
  require_whole(tensor);
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  to_float32(tensor, values.data());
  return values;
}

void rows_to_float32(const TensorView& tensor, int64_t first, int64_t count, float* out) {
  require_whole(tensor);
  const int64_t length = row_length(tensor);
  const int64_t rows = length > 0 ? tensor.elements() / length : 0;
  require<DataError>(first >= 0 && count >= 0 && first <= rows && count <= rows - first,
                     "tensor ",
                     quoted_name(tensor.name),
                     ": got rows from ",
                     first,
                     " and ",
                     count,
                     " of them, expected a range within ",
                     rows);
  const DTypeInfo& info = dtype_info(tensor.dtype);
  const int64_t row_bytes = length / info.block_elements * info.block_bytes;
  const auto* data = reinterpret_cast<const uint8_t*>(tensor.data) + first * row_bytes;
  converter(tensor.dtype)(data, count * length, out);
}

std::vector<uint16_t> to_float16(std::span<const float> values) {
  std::vector<uint16_t> halves(values.size());
  for (size_t i = 0; i < values.size(); ++i) halves[i] = float_to_half(values[i]);
  return halves;
}

std::vector<uint16_t> to_bfloat16(std::span<const float> values) {
  std::vector<uint16_t> bfloats(values.size());
  for (size_t i = 0; i < values.size(); ++i) bfloats[i] = float_to_bfloat(values[i]);
  return bfloats;
}

}  // namespace rebound
