#include "rebound/io/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "rebound/base/error.h"
#include "rebound/io/byte_cursor.h"
#include "rebound/io/tensor_view.h"

namespace rebound {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kLocator64 = 0x07064b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kLocatorBytes = 20;
constexpr size_t kCentralBytes = 46;
constexpr size_t kLongestComment = 65535;
constexpr uint16_t kZip64Extra = 1;
constexpr uint32_t kIn64 = 0xffffffff;    // the value stands in the zip64 field
constexpr uint64_t kMaxExpansion = 1032;  // of deflate
constexpr size_t kStep = size_t{1} << 16;
constexpr size_t kMostAtOnce = size_t{1} << 30;  // zlib counts in 32 bits

using Bytes = std::span<const std::byte>;

uint32_t u32_at(Bytes bytes, size_t at) {
  uint32_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint16_t u16_at(Bytes bytes, size_t at) {
  uint16_t value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

Bytes range(Bytes bytes, uint64_t offset, uint64_t count, const char* what) {
  require<DataError>(offset <= bytes.size() && count <= bytes.size() - offset,
                     what,
                     ": got ",
                     count,
                     " bytes at ",
                     offset,
                     ", the file has ",
                     bytes.size());
  return bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(count));
}

// The end record is last, up to a comment whose length it gives.
size_t find_end(Bytes bytes) {
  if (bytes.size() >= kEndBytes) {
    const size_t last = bytes.size() - kEndBytes;
    const size_t first = last > kLongestComment ? last - kLongestComment : 0;
    for (size_t at = last + 1; at-- > first;) {
      if (u32_at(bytes, at) == kEnd && u16_at(bytes, at + 20) == last - at) return at;
    }
  }
  throw DataError("not a zip archive, or a truncated one: no end record");
}

struct Directory {
  uint64_t entries, bytes, offset;
};

Directory read_end64(Bytes bytes, size_t end) {
  ByteCursor locator(range(bytes, end - kLocatorBytes, kLocatorBytes, "zip64 locator"));
  locator.read<uint32_t>();
  locator.read<uint32_t>();  // disk
  const uint64_t at = locator.read<uint64_t>();
  require<DataError>(at <= bytes.size(), "zip64 end record: got byte ", at, ", past the end");
  ByteCursor cursor(bytes.subspan(static_cast<size_t>(at)));
  require<DataError>(cursor.read<uint32_t>() == kEnd64, "zip64 end record: wrong signature");
  cursor.take(28);  // its size, versions, disks, entries on this disk
  Directory directory;
  directory.entries = cursor.read<uint64_t>();
  directory.bytes = cursor.read<uint64_t>();
  directory.offset = cursor.read<uint64_t>();
  return directory;
}

Directory find_directory(Bytes bytes) {
  const size_t end = find_end(bytes);
  const Directory small = {
      u16_at(bytes, end + 10), u32_at(bytes, end + 12), u32_at(bytes, end + 16)};
  const bool is_large = small.entries == 0xffff || small.bytes == kIn64 || small.offset == kIn64;
  if (is_large && end >= kLocatorBytes && u32_at(bytes, end - kLocatorBytes) == kLocator64) {
    return read_end64(bytes, end);
  }
  return small;
}

struct Sizes {
  uint64_t packed, unpacked, offset;
};

void read_zip64_extra(Bytes extra, Sizes& sizes) {
  ByteCursor cursor(extra);
  while (cursor.remaining() >= 4) {
    const auto id = cursor.read<uint16_t>();
    ByteCursor field(cursor.take(cursor.read<uint16_t>()));
    if (id != kZip64Extra) continue;
    for (uint64_t* value : {&sizes.unpacked, &sizes.packed, &sizes.offset}) {
      if (*value == kIn64) *value = field.read<uint64_t>();
    }
  }
}

Bytes data_of(Bytes bytes, const Sizes& sizes) {
  ByteCursor local(range(bytes, sizes.offset, 30, "local header"));
  require<DataError>(local.read<uint32_t>() == kLocalHeader, "local header: wrong signature");
  local.take(22);
  const auto name = local.read<uint16_t>();
  const auto extra = local.read<uint16_t>();
  return range(bytes, sizes.offset + 30 + name + extra, sizes.packed, "entry");
}

ZipEntry read_central(ByteCursor& cursor, Bytes bytes) {
  require<DataError>(cursor.read<uint32_t>() == kCentralHeader, "directory: wrong signature");
  cursor.take(4);  // versions
  const auto flags = cursor.read<uint16_t>();
  const auto method = cursor.read<uint16_t>();
  cursor.take(4);  // time and date
  ZipEntry entry;
  entry.crc = cursor.read<uint32_t>();
  Sizes sizes{};
  sizes.packed = cursor.read<uint32_t>();
  sizes.unpacked = cursor.read<uint32_t>();
  const auto name_bytes = cursor.read<uint16_t>();
  const auto extra_bytes = cursor.read<uint16_t>();
  const auto comment_bytes = cursor.read<uint16_t>();
  cursor.take(8);  // disk and attributes
  sizes.offset = cursor.read<uint32_t>();
  const Bytes name = cursor.take(name_bytes);
  entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  read_zip64_extra(cursor.take(extra_bytes), sizes);
  cursor.take(comment_bytes);
  with_context(concat("entry ", quoted_name(entry.name)), [&] {
    require<DataError>((flags & 1) == 0, "is encrypted");
    require<DataError>(method == 0 || method == 8,
                       "compression method ",
                       method,
                       ", expected 0 (stored) or 8 (deflated)");
    entry.is_deflated = method == 8;
    entry.bytes = sizes.unpacked;
    entry.data = data_of(bytes, sizes);
    require<DataError>(entry.is_deflated || entry.bytes == entry.data.size(),
                       "stored with ",
                       entry.data.size(),
                       " bytes, declared ",
                       entry.bytes);
    require<DataError>(entry.bytes / kMaxExpansion <= entry.data.size(),
                       "declares ",
                       entry.bytes,
                       " bytes, more than ",
                       entry.data.size(),
                       " packed bytes can hold");
  });
  return entry;
}

class Inflater {
 public:
  explicit Inflater(Bytes data) : data_(data) {
    require<DataError>(inflateInit2(&stream_, -MAX_WBITS) == Z_OK, "zlib cannot start");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Fills up to `room` bytes, returns how many; sets is_done at the end of the stream.
  size_t fill(std::byte* out, size_t room) {
    if (stream_.avail_in == 0) {
      const size_t count = std::min(kMostAtOnce, data_.size() - fed_);
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(data_.data() + fed_));
      stream_.avail_in = static_cast<uInt>(count);
      fed_ += count;
    }
    stream_.next_out = reinterpret_cast<Bytef*>(out);
    stream_.avail_out = static_cast<uInt>(room);
    const int status = ::inflate(&stream_, Z_NO_FLUSH);
    require<DataError>(
        status == Z_OK || status == Z_STREAM_END,
        status == Z_BUF_ERROR ? "compressed data are truncated" : "compressed data are broken");
    is_done = status == Z_STREAM_END;
    return room - stream_.avail_out;
  }

  bool is_done = false;

 private:
  Bytes data_;
  size_t fed_ = 0;
  z_stream stream_{};
};

// One packed stream named by many entries is how a small file unpacks to terabytes.
void refuse_overlaps(const std::vector<ZipEntry>& entries) {
  std::vector<const ZipEntry*> by_place;
  for (const ZipEntry& entry : entries) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(), [](const ZipEntry* a, const ZipEntry* b) {
    return a->data.data() < b->data.data();
  });
  for (size_t i = 1; i < by_place.size(); ++i) {
    const Bytes before = by_place[i - 1]->data;
    require<DataError>(before.data() + before.size() <= by_place[i]->data.data(),
                       "entries ",
                       quoted_name(by_place[i - 1]->name),
                       " and ",
                       quoted_name(by_place[i]->name),
                       " overlap");
  }
}

}  // namespace

bool looks_like_zip(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && (u32_at(bytes, 0) == kLocalHeader || u32_at(bytes, 0) == kEnd);
}

std::vector<ZipEntry> read_zip_directory(std::span<const std::byte> bytes) {
  const Directory directory = find_directory(bytes);
  ByteCursor cursor(range(bytes, directory.offset, directory.bytes, "directory"));
  require<DataError>(directory.entries <= directory.bytes / kCentralBytes,
                     "directory: got ",
                     directory.entries,
                     " entries in ",
                     directory.bytes,
                     " bytes");
  std::vector<ZipEntry> entries;
  std::set<std::string> names;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    entries.push_back(read_central(cursor, bytes));
    require<DataError>(names.insert(entries.back().name).second,
                       "entry ",
                       quoted_name(entries.back().name),
                       " is there twice");
  }
  refuse_overlaps(entries);
  return entries;
}

const ZipEntry* find_entry(const std::vector<ZipEntry>& entries, std::string_view name) {
  const auto found = std::find_if(
      entries.begin(), entries.end(), [&](const ZipEntry& entry) { return entry.name == name; });
  return found == entries.end() ? nullptr : &*found;
}

std::vector<std::byte> inflate_entry(const ZipEntry& entry) {
  return with_context(concat("entry ", quoted_name(entry.name)), [&] {
    Inflater inflater(entry.data);
    std::vector<std::byte> out;
    while (!inflater.is_done) {
      const size_t before = out.size();
      const size_t room = std::min(
          {static_cast<size_t>(entry.bytes) - before, std::max(before, kStep), kMostAtOnce});
      if (room == 0) {
        std::byte spare;
        const size_t more = inflater.fill(&spare, 1);
        require<DataError>(more == 0, "holds more than the declared ", entry.bytes, " bytes");
        continue;
      }
      out.resize(before + room);
      out.resize(before + inflater.fill(out.data() + before, room));
    }
    require<DataError>(
        out.size() == entry.bytes, "got ", out.size(), " bytes, declared ", entry.bytes);
    const auto crc = ::crc32_z(0, reinterpret_cast<const Bytef*>(out.data()), out.size());
    require<DataError>(crc == entry.crc,
                       "CRC-32 differs from the declared one: the file is damaged");
    return out;
  });
}

}  // namespace rebound
