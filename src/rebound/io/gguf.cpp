#include "rebound/io/gguf.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/io/byte_cursor.h"

namespace rebound {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kDefaultAlignment = 32;
constexpr size_t kLeastKeyBytes = 8 + 4 + 1;
constexpr size_t kLeastTensorBytes = 8 + 4 + 4 + 8;
constexpr const char* kAlignmentKey = "general.alignment";

struct GgmlType {
  uint32_t id;
  DType dtype;
};
// Ids of ggml_type; the ones left out are not implemented here.
constexpr std::array kGgmlTypes = {
    GgmlType{0, DType::kF32},
    GgmlType{1, DType::kF16},
    GgmlType{2, DType::kQ4_0},
    GgmlType{3, DType::kQ4_1},
    GgmlType{6, DType::kQ5_0},
    GgmlType{7, DType::kQ5_1},
    GgmlType{8, DType::kQ8_0},
    GgmlType{12, DType::kQ4_K},
    GgmlType{13, DType::kQ5_K},
    GgmlType{14, DType::kQ6_K},
    GgmlType{24, DType::kI8},
    GgmlType{25, DType::kI16},
    GgmlType{26, DType::kI32},
    GgmlType{27, DType::kI64},
    GgmlType{28, DType::kF64},
    GgmlType{30, DType::kBF16},
};

DType dtype_from_ggml(uint32_t id) {
  for (const GgmlType& type : kGgmlTypes) {
    if (type.id == id) return type.dtype;
  }
  std::string known;
  for (const GgmlType& type : kGgmlTypes) {
    known += concat(known.empty() ? "" : ", ", dtype_info(type.dtype).name);
  }
  throw DataError(concat("ggml type ", id, " is not supported, expected one of ", known));
}

uint32_t read_version(ByteCursor& cursor) {
  require<DataError>(cursor.remaining() >= 4 && cursor.read<uint32_t>() == kMagic,
                     "not a GGUF file: expected \"GGUF\" at the start");
  const auto version = cursor.read<uint32_t>();
  require<DataError>((version & 0xffff) != 0, "GGUF in big-endian order is not supported");
  require<DataError>(
      version == 2 || version == 3, "GGUF version: got ", version, ", expected 2 or 3");
  return version;
}

size_t bytes_of(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 4;
  }
}

GgufType read_type(ByteCursor& cursor) {
  const auto id = cursor.read<uint32_t>();
  require<DataError>(id <= static_cast<uint32_t>(GgufType::kF64),
                     "value type: got ",
                     id,
                     ", expected 0 to ",
                     static_cast<uint32_t>(GgufType::kF64));
  return static_cast<GgufType>(id);
}

std::span<const std::byte> take_elements(ByteCursor& cursor, GgufType type, uint64_t count) {
  if (type != GgufType::kString) return cursor.take(count * bytes_of(type));
  ByteCursor start = cursor;
  for (uint64_t i = 0; i < count; ++i) cursor.read_text();
  return start.take(cursor.position() - start.position());
}

GgufValue read_value(ByteCursor& cursor) {
  GgufValue value;
  value.type = read_type(cursor);
  if (value.type == GgufType::kArray) {
    value.is_array = true;
    value.type = read_type(cursor);
    require<DataError>(value.type != GgufType::kArray, "arrays of arrays are not supported");
    const size_t least_bytes = value.type == GgufType::kString ? 8 : bytes_of(value.type);
    value.count = cursor.read_count(least_bytes, "array length");
  }
  value.bytes = take_elements(cursor, value.type, value.count);
  return value;
}

GgufMetadata read_metadata(ByteCursor& cursor, uint64_t count) {
  GgufMetadata metadata;
  for (uint64_t i = 0; i < count; ++i) {
    std::string key(cursor.read_text());
    const GgufValue value = with_context(quoted_name(key), [&] { return read_value(cursor); });
    metadata.add(std::move(key), value);
  }
  return metadata;
}

struct TensorInfo {
  TensorView view;
  uint64_t offset = 0;
};

Shape read_shape(ByteCursor& cursor) {
  const auto n_dims = cursor.read<uint32_t>();
  require<DataError>(
      n_dims <= kMaxDims, "got ", n_dims, " dimensions, expected at most ", kMaxDims);
  Shape shape;
  for (uint32_t i = 0; i < n_dims; ++i) {
    const auto size = cursor.read<uint64_t>();
    require<DataError>(size <= INT64_MAX, "size: got ", size, ", expected less than 2^63");
    shape.push_back(static_cast<int64_t>(size));
  }
  std::reverse(shape.begin(), shape.end());
  return shape;
}

TensorInfo read_tensor_info(ByteCursor& cursor) {
  TensorInfo info;
  info.view.name = cursor.read_text();
  with_context(concat("tensor ", quoted_name(info.view.name)), [&] {
    info.view.shape = read_shape(cursor);
    info.view.dtype = dtype_from_ggml(cursor.read<uint32_t>());
    info.offset = cursor.read<uint64_t>();
    const std::optional<size_t> bytes = byte_count(info.view.dtype, info.view.shape);
    require<DataError>(bytes.has_value(),
                       "shape ",
                       shape_text(info.view.shape),
                       " is too large or not a whole number of ",
                       dtype_info(info.view.dtype).name,
                       " blocks per row");
    info.view.bytes = *bytes;
  });
  return info;
}

uint64_t alignment_of(const GgufMetadata& metadata) {
  const uint64_t alignment = metadata.integer(kAlignmentKey).value_or(kDefaultAlignment);
  constexpr uint64_t kLargest = 1u << 30;
  const bool is_power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
  require<DataError>(is_power_of_two && alignment <= kLargest,
                     kAlignmentKey,
                     ": got ",
                     alignment,
                     ", expected a power of two up to 2^30");
  return alignment;
}

// Where the tensor bytes start: the next multiple of the alignment. A file without tensors may
// end before it.
std::span<const std::byte> data_section(std::span<const std::byte> bytes,
                                        size_t infos_end,
                                        uint64_t alignment) {
  const uint64_t start = (infos_end + alignment - 1) / alignment * alignment;
  return bytes.subspan(static_cast<size_t>(std::min<uint64_t>(start, bytes.size())));
}

void locate(TensorInfo& info, std::span<const std::byte> data, uint64_t alignment) {
  require<DataError>(info.offset % alignment == 0,
                     "tensor ",
                     quoted_name(info.view.name),
                     ": offset: got ",
                     info.offset,
                     ", expected a multiple of ",
                     alignment);
  require<DataError>(info.offset <= data.size() && info.view.bytes <= data.size() - info.offset,
                     "truncated: tensor ",
                     quoted_name(info.view.name),
                     " needs ",
                     info.view.bytes,
                     " bytes at data byte ",
                     info.offset,
                     ", the file has ",
                     data.size());
  info.view.data = data.data() + info.offset;
}

void require_disjoint(const std::vector<TensorInfo>& infos) {
  std::vector<const TensorView*> sorted;
  for (const TensorInfo& info : infos) sorted.push_back(&info.view);
  std::sort(sorted.begin(), sorted.end(), [](const TensorView* a, const TensorView* b) {
    return std::tie(a->data, a->bytes) < std::tie(b->data, b->bytes);
  });
  for (size_t i = 1; i < sorted.size(); ++i) {
    require<DataError>(sorted[i - 1]->data + sorted[i - 1]->bytes <= sorted[i]->data,
                       "tensors ",
                       quoted_name(sorted[i - 1]->name),
                       " and ",
                       quoted_name(sorted[i]->name),
                       " overlap");
  }
}

}  // namespace

GgufContent parse_gguf(std::span<const std::byte> bytes) {
  ByteCursor cursor(bytes);
  GgufContent content;
  content.version = read_version(cursor);
  const uint64_t n_tensors = cursor.read_count(kLeastTensorBytes, "tensor count");
  const uint64_t n_keys = cursor.read_count(kLeastKeyBytes, "key count");
  content.metadata = read_metadata(cursor, n_keys);
  std::vector<TensorInfo> infos;
  for (uint64_t i = 0; i < n_tensors; ++i) infos.push_back(read_tensor_info(cursor));
  const uint64_t alignment = alignment_of(content.metadata);
  const std::span<const std::byte> data = data_section(bytes, cursor.position(), alignment);
  for (TensorInfo& info : infos) locate(info, data, alignment);
  require_disjoint(infos);
  for (TensorInfo& info : infos) content.tensors.add(std::move(info.view));
  return content;
}

GgufFile::GgufFile(const std::filesystem::path& path) : file_(path) {
  GgufContent content = with_context(path.string(), [&] { return parse_gguf(file_.bytes()); });
  static_cast<TensorTable&>(*this) = std::move(content.tensors);
  static_cast<GgufMetadata&>(*this) = std::move(content.metadata);
  version_ = content.version;
}

}  // namespace rebound
