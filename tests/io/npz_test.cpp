#include "rebound/io/npz.h"

#include "io/zip_fixture.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/zip.h"

namespace rebound {
namespace {

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  const std::string length = version == 1 ? raw(static_cast<uint16_t>(header.size()))
                                          : raw(static_cast<uint32_t>(header.size()));
  return "\x93NUMPY" + std::string(1, version) + std::string(1, '\0') + length + header + data;
}

std::string header_of(const std::string& descr,
                      const std::string& shape,
                      const std::string& fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
}

std::string npz_message(const std::string& file) {
  return message_of<DataError>([&] { parse_npz(as_span(file)); });
}

std::string message_for_array(const std::string& array) {
  return npz_message(zip_of({{"x.npy", array}}));
}

TEST(NpzTest, ReadsFilesOfNumpyStoredAndDeflated) {
  const std::vector<float> expected = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f};
  for (const char* name : {"python.npz", "python_deflated.npz"}) {
    const NpzFile file(golden_path(name));
    for (const char* array : {"f4", "f2", "f8", "fortran"}) {
      EXPECT_EQ(to_float32(file.get(array, {2, 3})), expected) << name << " " << array;
    }
    EXPECT_EQ(to_float32(file.get("i8")), (std::vector<float>{-5, 0x1p40f}));
    EXPECT_EQ(to_float32(file.get("bool")), (std::vector<float>{1, 0}));
    EXPECT_EQ(to_float32(file.get("scalar", {})), (std::vector<float>{2.5f}));
    EXPECT_EQ(to_float32(file.get("fortran_row", {3})), (std::vector<float>{0, 0.25f, 0.5f}));
    EXPECT_EQ(file.tensors().size(), 8u);
  }
}

TEST(NpzTest, EveryTruncationAndEveryChangedByteIsReadOrADataError) {
  const std::string whole = read_text_file(golden_path("python_deflated.npz"));
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_npz(std::as_bytes(std::span(exact))), DataError) << size;
  }
  std::string file = whole;
  for (size_t i = 0; i < file.size(); ++i) {
    for (const unsigned char flip : {0x01, 0x20, 0xff}) {
      file[i] = static_cast<char>(file[i] ^ flip);
      try {
        parse_npz(as_span(file));
      } catch (const DataError&) {
      }
      file[i] = whole[i];
    }
  }
}

TEST(NpzTest, WrongArraysAreRefusedByName) {
  const std::string data(16, '\0');
  EXPECT_NO_THROW(parse_npz(as_span(zip_of({{"x.npy", npy(header_of("<f4", "(4,)"), data)}}))));
  EXPECT_NO_THROW(
      parse_npz(as_span(zip_of({{"x.npy", npy(header_of("<f4", "(2, 2)"), data, 2)}}))));
  expect_contains(message_for_array(npy(header_of(">f4", "(4,)"), data)), "little-endian");
  expect_contains(message_for_array(npy(header_of("|O", "(4,)"), data)), "object arrays hold code");
  expect_contains(message_for_array(npy(header_of("<f4", "(5,)"), data)), "got 16 data bytes");
  expect_contains(message_for_array(npy(header_of("<f4", "(4611686018427387904, 4)"), data)),
                  "too large");
  expect_contains(message_for_array(npy(header_of("<f4", "(-1,)"), data)), "bad shape");
  expect_contains(message_for_array(npy("{'descr': '<f4'", data)), "expected '}'");
  expect_contains(message_for_array(npy("{'descr': '<f4', 'code': 1}", data)), "unknown key");
  expect_contains(message_for_array(npy("{}", data)), "no descr");
  expect_contains(message_for_array(npy(header_of("<f4", "(4,)"), data, 9)), "version 9");
  expect_contains(message_for_array("short"), "truncated");
  expect_contains(message_for_array(npy(header_of("<f4", "(2, 1, 2)", "True"), data)), "matrices");
  expect_contains(npz_message(zip_of({{"x.txt", "hello"}})), "ends in .npy");
}

TEST(NpzTest, ArchivesThatLieAreRefused) {
  expect_contains(npz_message("PK\x03\x04 and nothing more"), "no end record");
  const std::string stored = npy(header_of("<f4", "(1,)"), "1234");
  expect_contains(npz_message(zip_of({{"x.npy", stored, 0, 1 << 30}})), "declared 1073741824");
  // A bomb may not declare more than deflate can hold, nor deliver other than it declares.
  expect_contains(npz_message(zip_of({{"x.npy", std::string(100, '\0'), 8, 1 << 30}})),
                  "more than 100 packed bytes can hold");
  expect_contains(npz_message(zip_of({{"x.npy", std::string(100, '\xff'), 8, 1000}})), "broken");
  const std::string three_bytes = "\x4b\x4c\x4a\x06";  // raw deflate of "abc", cut
  expect_contains(npz_message(zip_of({{"x.npy", three_bytes, 8, 1000}})), "truncated");
  expect_contains(npz_message(zip_of({{"x.npy", three_bytes + std::string("\0", 1), 8, 2}})),
                  "holds more than the declared 2 bytes");
  expect_contains(npz_message(zip_of({{"x.npy", three_bytes + std::string("\0", 1), 8, 3}})),
                  "CRC-32");
  expect_contains(npz_message(zip_of({{"x.npy", "", 12}})), "compression method 12");
  expect_contains(npz_message(zip_of({{"x.npy", stored}, {"x.npy", stored}})), "there twice");
}

TEST(NpzTest, OneStreamUnderManyNamesIsRefused) {
  const std::string stored = npy(header_of("<f4", "(1,)"), "1234");
  expect_contains(npz_message(zip_of({{.name = "x.npy", .data = stored},
                                      {.name = "y.npy", .data = stored, .is_at_first = true}})),
                  "overlap");
  EXPECT_EQ(
      parse_npz(as_span(zip_of({{"x.npy", stored}, {"y.npy", stored}}))).tensors.tensors().size(),
      2u);
}

TEST(NpzTest, DeflatedArraysMayNotUnpackToManyTimesTheFile) {
  const ZipPart part{
      .data = std::string(100'000, '\0'), .method = 8, .declared_bytes = 100'000'000};
  std::vector<ZipPart> parts(3, part);
  for (size_t i = 0; i < parts.size(); ++i) parts[i].name = concat("x", i, ".npy");
  expect_contains(npz_message(zip_of(parts)), "deflated arrays of more than 268435456 bytes");
}

}  // namespace
}  // namespace rebound
