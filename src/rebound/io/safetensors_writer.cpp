#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <tuple>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

constexpr const char* kReservedName = "__metadata__";

void check_tensor(const TensorView& tensor) {
  require<DataError>(tensor.name != kReservedName, "the name is reserved");
  require<DataError>(!is_quantized(tensor.dtype),
                     "dtype: got ",
                     dtype_info(tensor.dtype).name,
                     ", expected a type that safetensors knows");
  const std::optional<size_t> expected = byte_count(tensor.dtype, tensor.shape);
  require<DataError>(expected == tensor.bytes,
                     "got ",
                     tensor.bytes,
                     " bytes, expected ",
                     expected.value_or(0),
                     " for ",
                     dtype_info(tensor.dtype).name,
                     " ",
                     shape_text(tensor.shape));
}

std::vector<const TensorView*> in_file_order(const std::vector<TensorView>& tensors) {
  std::vector<const TensorView*> order;
  for (const TensorView& tensor : tensors) {
    with_context(concat("tensor ", quoted_name(tensor.name)), [&] { check_tensor(tensor); });
    order.push_back(&tensor);
  }
  std::sort(order.begin(), order.end(), [](const TensorView* a, const TensorView* b) {
    return std::make_tuple(-dtype_info(a->dtype).block_bytes, std::string_view(a->name)) <
           std::make_tuple(-dtype_info(b->dtype).block_bytes, std::string_view(b->name));
  });
  return order;
}

// Padded with spaces so that the data starts at a multiple of 8.
std::string header_text(const std::vector<const TensorView*>& order, const TextMap& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kReservedName] = metadata;
  TensorTable names;
  size_t offset = 0;
  for (const TensorView* tensor : order) {
    names.add(*tensor);
    const size_t end = offset + tensor->bytes;
    header.push_back({tensor->name,
                      {{"dtype", dtype_info(tensor->dtype).name},
                       {"shape", tensor->shape},
                       {"data_offsets", {offset, end}}}});
    offset = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    throw DataError("a tensor name or metadata text is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

void write_all(const std::filesystem::path& path,
               const std::string& header,
               const std::vector<const TensorView*>& order) {
  errno = 0;
  std::ofstream out(path, std::ios::binary);
  const uint64_t length = header.size();
  out.write(reinterpret_cast<const char*>(&length), sizeof length);
  out.write(header.data(), static_cast<std::streamsize>(header.size()));
  for (const TensorView* tensor : order) {
    out.write(reinterpret_cast<const char*>(tensor->data),
              static_cast<std::streamsize>(tensor->bytes));
  }
  out.close();
  require<IoError>(!out.fail(), std::strerror(errno));
}

}  // namespace

void write_safetensors(const std::filesystem::path& path,
                       const std::vector<TensorView>& tensors,
                       const TextMap& metadata) {
  with_context(path.string(), [&] {
    const std::vector<const TensorView*> order = in_file_order(tensors);
    const std::string header = header_text(order, metadata);
    replace_file_atomically(
        path, [&](const std::filesystem::path& temporary) { write_all(temporary, header, order); });
  });
}

}  // namespace rebound
