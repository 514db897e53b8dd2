// Zip archives with stored entries, made in memory; every field may be wrong on purpose.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/io_fixture.h"

namespace rebound {

struct ZipPart {
  std::string name;
  std::string data;
  uint16_t method = 0;
  int64_t declared_bytes = -1;  // unpacked; -1: those of `data`
  bool is_at_first = false;     // the directory points at the archive's first entry
};

inline std::string zip_of(const std::vector<ZipPart>& parts) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    const auto bytes = static_cast<uint32_t>(part.data.size());
    const auto unpacked =
        part.declared_bytes < 0 ? bytes : static_cast<uint32_t>(part.declared_bytes);
    const auto name_bytes = static_cast<uint16_t>(part.name.size());
    const std::string common = raw(part.method) + raw(uint32_t{0}) + raw(uint32_t{0}) + raw(bytes) +
                               raw(unpacked) + raw(name_bytes) + raw(uint16_t{0});
    const auto offset = part.is_at_first ? 0 : static_cast<uint32_t>(file.size());
    if (!part.is_at_first) {
      file += "PK\x03\x04" + raw(uint16_t{20}) + raw(uint16_t{0}) + common + part.name + part.data;
    }
    directory += "PK\x01\x02" + raw(uint16_t{20}) + raw(uint16_t{20}) + raw(uint16_t{0}) + common +
                 raw(uint16_t{0}) + raw(uint16_t{0}) + raw(uint16_t{0}) + raw(uint32_t{0}) +
                 raw(offset) + part.name;
  }
  const auto count = static_cast<uint16_t>(parts.size());
  return file + directory + "PK\x05\x06" + raw(uint32_t{0}) + raw(count) + raw(count) +
         raw(static_cast<uint32_t>(directory.size())) + raw(static_cast<uint32_t>(file.size())) +
         raw(uint16_t{0});
}

}  // namespace rebound
