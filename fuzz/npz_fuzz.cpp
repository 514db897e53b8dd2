// libFuzzer target: any bytes are an .npz archive, a bare .npy array, or a DataError.
#include <cstdint>
#include <span>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/npz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto content = rebound::parse_npz(bytes);
    for (const rebound::TensorView& tensor : content.tensors.tensors()) to_float32(tensor);
  } catch (const rebound::DataError&) {
  }
  try {
    std::vector<std::vector<std::byte>> owned;
    to_float32(rebound::parse_npy(bytes, "x", owned));
  } catch (const rebound::DataError&) {
  }
  return 0;
}
