// libFuzzer target: any bytes are a GGUF file or a DataError. Whatever parses is read to the end.
#include <cstdint>
#include <span>
#include <string>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/gguf.h"

namespace {

// An accessor of the wrong type throws DataError, which is fine; anything else is a finding.
template <class Read>
void try_reading(Read&& read) {
  try {
    read();
  } catch (const rebound::DataError&) {
  }
}

void read_key(const rebound::GgufMetadata& metadata, const std::string& key) {
  metadata.describe(key);
  try_reading([&] { metadata.integer(key); });
  try_reading([&] { metadata.number(key); });
  try_reading([&] { metadata.boolean(key); });
  try_reading([&] { metadata.string(key); });
  try_reading([&] { metadata.integers(key); });
  try_reading([&] { metadata.floats(key); });
  try_reading([&] { metadata.booleans(key); });
  try_reading([&] { metadata.strings(key); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try_reading([&] {
    const auto content = rebound::parse_gguf(std::as_bytes(std::span(data, size)));
    for (const std::string& key : content.metadata.keys()) read_key(content.metadata, key);
    for (const rebound::TensorView& tensor : content.tensors.tensors()) to_float32(tensor);
  });
  return 0;
}
