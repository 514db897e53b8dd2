#include "rebound/io/npz.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/io/byte_cursor.h"
#include "rebound/io/zip.h"

namespace rebound {
namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::string_view kSuffix = ".npy";
constexpr size_t kMaxHeader = 65536;
constexpr size_t kMaxNpyAxes = 32;  // as NumPy

// Deflated arrays are unpacked when the file is opened: together at most 64 times the file, which
// no array of weights needs, or this much.
constexpr uint64_t kMaxNpzExpansion = 64;
constexpr uint64_t kAlwaysUnpacked = uint64_t{1} << 28;

using Bytes = std::span<const std::byte>;

struct Header {
  std::string descr;
  bool is_fortran = false;
  Shape shape;
};

// The few forms that NumPy writes of a Python dictionary with three keys.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Header read() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = quoted();
      } else if (key == "fortran_order") {
        header.is_fortran = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        throw DataError(concat("header: unknown key ", quoted_name(key)));
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip();
    require<DataError>(at_ == text_.size(), "header: text after the dictionary");
    require<DataError>(!header.descr.empty(), "header: no descr");
    return header;
  }

 private:
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) { require<DataError>(accept(c), "header: expected '", c, "' at ", at_); }

  std::string quoted() {
    require<DataError>(!accept('['), "structured arrays are not read");
    expect('\'');
    const size_t end = text_.find('\'', at_);
    require<DataError>(end != std::string_view::npos, "header: quote without end");
    const size_t begin = std::exchange(at_, end + 1);
    return std::string(text_.substr(begin, end - begin));
  }
  bool boolean() {
    skip();
    for (const auto& [name, value] : {std::pair("True", true), std::pair("False", false)}) {
      if (text_.substr(at_).starts_with(name)) {
        at_ += std::string_view(name).size();
        return value;
      }
    }
    throw DataError("header: expected True or False");
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      skip();
      int64_t size = -1;
      const char* begin = text_.data() + at_;
      const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), size);
      require<DataError>(error == std::errc() && size >= 0, "header: bad shape");
      at_ += static_cast<size_t>(end - begin);
      shape.push_back(size);
      require<DataError>(shape.size() <= kMaxNpyAxes, "header: too many axes");
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  size_t at_ = 0;
};

DType dtype_of(const std::string& descr) {
  constexpr std::array<std::pair<const char*, DType>, 12> kTypes{{{"<f4", DType::kF32},
                                                                  {"<f2", DType::kF16},
                                                                  {"<f8", DType::kF64},
                                                                  {"|b1", DType::kBool},
                                                                  {"|i1", DType::kI8},
                                                                  {"|u1", DType::kU8},
                                                                  {"<i2", DType::kI16},
                                                                  {"<i4", DType::kI32},
                                                                  {"<i8", DType::kI64},
                                                                  {"<u2", DType::kU16},
                                                                  {"<u4", DType::kU32},
                                                                  {"<u8", DType::kU64}}};
  for (const auto& [name, dtype] : kTypes) {
    if (descr == name) return dtype;
  }
  throw DataError(concat("descr: got ",
                         quoted_name(descr),
                         ", expected little-endian numbers (object arrays hold code and are never "
                         "read)"));
}

Header read_header(ByteCursor& cursor) {
  const Bytes magic = cursor.take(kNpyMagic.size());
  require<DataError>(std::memcmp(magic.data(), kNpyMagic.data(), kNpyMagic.size()) == 0,
                     "not a .npy array");
  const auto major = cursor.read<uint8_t>();
  cursor.read<uint8_t>();
  require<DataError>(major >= 1 && major <= 3, "version ", int{major}, ", expected 1 to 3");
  const size_t length = major == 1 ? cursor.read<uint16_t>() : cursor.read<uint32_t>();
  require<DataError>(length <= kMaxHeader, "header of ", length, " bytes, expected at most 65536");
  const Bytes text = cursor.take(length);
  return HeaderReader({reinterpret_cast<const char*>(text.data()), text.size()}).read();
}

std::vector<std::byte> in_c_order(Bytes data, const Shape& shape, size_t width) {
  const auto rows = static_cast<size_t>(shape[0]), columns = static_cast<size_t>(shape[1]);
  std::vector<std::byte> out(data.size());
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns; ++column) {
      std::memcpy(out.data() + (row * columns + column) * width,
                  data.data() + (column * rows + row) * width,
                  width);
    }
  }
  return out;
}

}  // namespace

TensorView parse_npy(std::span<const std::byte> bytes,
                     std::string name,
                     std::vector<std::vector<std::byte>>& owned) {
  ByteCursor cursor(bytes);
  const Header header = read_header(cursor);
  TensorView view{std::move(name), dtype_of(header.descr), header.shape};
  const std::optional<size_t> expected = byte_count(view.dtype, view.shape);
  require<DataError>(
      expected.has_value(), "shape ", shape_text(view.shape).substr(0, 200), " is too large");
  require<DataError>(*expected == cursor.remaining(),
                     "got ",
                     cursor.remaining(),
                     " data bytes, expected ",
                     *expected,
                     " for ",
                     shape_text(view.shape).substr(0, 200));
  Bytes data = cursor.take(*expected);
  if (header.is_fortran && view.shape.size() > 1) {
    require<DataError>(view.shape.size() == 2, "Fortran order is read for matrices only");
    const auto width = static_cast<size_t>(dtype_info(view.dtype).block_bytes);
    owned.push_back(in_c_order(data, view.shape, width));
    data = owned.back();
  }
  view.data = data.data();
  view.bytes = data.size();
  return view;
}

namespace {

void refuse_bomb(const std::vector<ZipEntry>& entries, size_t file_bytes) {
  const uint64_t limit = std::max<uint64_t>(kAlwaysUnpacked, kMaxNpzExpansion * file_bytes);
  uint64_t unpacked = 0;
  for (const ZipEntry& entry : entries) {
    if (!entry.is_deflated) continue;
    require<DataError>(entry.bytes <= limit - unpacked,
                       "deflated arrays of more than ",
                       limit,
                       " bytes in a file of ",
                       file_bytes);
    unpacked += entry.bytes;
  }
}

}  // namespace

NpzContent parse_npz(std::span<const std::byte> bytes) {
  NpzContent content;
  const std::vector<ZipEntry> entries = read_zip_directory(bytes);
  refuse_bomb(entries, bytes.size());
  for (const ZipEntry& entry : entries) {
    with_context(concat("array ", quoted_name(entry.name)), [&] {
      require<DataError>(entry.name.ends_with(kSuffix), "expected a name that ends in .npy");
      Bytes data = entry.data;
      if (entry.is_deflated) {
        content.owned.push_back(inflate_entry(entry));
        data = content.owned.back();
      }
      const std::string name = entry.name.substr(0, entry.name.size() - kSuffix.size());
      content.tensors.add(parse_npy(data, name, content.owned));
    });
  }
  return content;
}

NpzFile::NpzFile(const std::filesystem::path& path) : file_(path) {
  NpzContent content = with_context(path.string(), [&] { return parse_npz(file_.bytes()); });
  static_cast<TensorTable&>(*this) = std::move(content.tensors);
  owned_ = std::move(content.owned);
}

}  // namespace rebound
