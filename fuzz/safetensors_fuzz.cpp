// libFuzzer target: any bytes are a safetensors file or a DataError. Whatever parses is read.
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"

namespace {

void read_file(std::string_view bytes) {
  try {
    const auto content = rebound::parse_safetensors(std::as_bytes(std::span(bytes)));
    for (const rebound::TensorView& tensor : content.tensors.tensors()) to_float32(tensor);
  } catch (const rebound::DataError&) {
  }
}

// The same bytes with a header length that fits, so that changes reach the JSON.
std::string with_right_length(std::string_view bytes) {
  std::string file(bytes);
  const size_t end = file.rfind('}');
  if (file.size() < 8 || end == std::string::npos || end < 8) return file;
  const uint64_t length = end - 7;
  std::memcpy(file.data(), &length, sizeof length);
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_file(bytes);
  read_file(with_right_length(bytes));
  return 0;
}
