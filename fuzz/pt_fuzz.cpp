// libFuzzer target: any bytes are a file of torch.save or a DataError. The same bytes are also put
// into an archive as its pickle, so that changes reach the pickle machine.
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "rebound/base/error.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/torch_file.h"

namespace {

void read_file(std::string_view bytes) {
  try {
    const auto content = rebound::parse_torch(std::as_bytes(std::span(bytes)));
    for (const rebound::TensorView& tensor : content.tensors.tensors()) to_float32(tensor);
  } catch (const rebound::DataError&) {
  }
}

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// One stored entry: its local header, or its place in the directory.
std::string header(const std::string& name, size_t bytes, const size_t* offset) {
  const auto size = static_cast<uint32_t>(bytes);
  const std::string common = raw(uint16_t{0}) + raw(uint16_t{0}) + raw(uint32_t{0}) +
                             raw(uint32_t{0}) + raw(size) + raw(size) +
                             raw(static_cast<uint16_t>(name.size())) + raw(uint16_t{0});
  if (offset == nullptr) return "PK\x03\x04" + raw(uint16_t{20}) + common + name;
  return "PK\x01\x02" + raw(uint32_t{20}) + common + raw(uint16_t{0}) + raw(uint32_t{0}) +
         raw(uint32_t{0}) + raw(static_cast<uint32_t>(*offset)) + name;
}

std::string archive_of(std::string_view pickle) {
  const std::string storage(64, '\x3c');
  const size_t first = 0;
  std::string file = header("a/data.pkl", pickle.size(), nullptr) + std::string(pickle);
  const size_t second = file.size();
  file += header("a/data/0", storage.size(), nullptr) + storage;
  const size_t at = file.size();
  file += header("a/data.pkl", pickle.size(), &first) + header("a/data/0", storage.size(), &second);
  return file + "PK\x05\x06" + raw(uint32_t{0}) + raw(uint16_t{2}) + raw(uint16_t{2}) +
         raw(static_cast<uint32_t>(file.size() - at)) + raw(static_cast<uint32_t>(at)) +
         raw(uint16_t{0});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  read_file(bytes);
  read_file(archive_of(bytes));
  return 0;
}
