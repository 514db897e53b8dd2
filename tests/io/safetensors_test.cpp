#include "rebound/io/safetensors.h"

#include "io/io_fixture.h"
#include "rebound/io/dequantize.h"

namespace rebound {
namespace {

std::string file_of(const std::string& header, const std::string& data = "") {
  return raw(uint64_t{header.size()}) + header + data;
}

std::string tensor_json(const std::string& dtype,
                        const std::string& shape,
                        const std::string& offsets) {
  return concat(
      R"({"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)", offsets, "}");
}

std::string safetensors_message(const std::string& file) {
  return message_of<DataError>([&] { parse_safetensors(as_span(file)); });
}

std::vector<float> floats_of(const TensorTable& table, const std::string& name) {
  return to_float32(table.get(name));
}

TEST(SafetensorsTest, ReadsAFileOfTheReferenceWriter) {
  const SafetensorsFile file(golden_path("python.safetensors"));
  const std::vector<float> expected = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f};
  for (const char* name : {"f32", "f16", "bf16", "f64"}) {
    EXPECT_EQ(floats_of(file, name), expected) << name;
    EXPECT_EQ(file.get(name).shape, (Shape{2, 3})) << name;
  }
  EXPECT_EQ(floats_of(file, "i64"), (std::vector<float>{-5, 0x1p40f}));
  EXPECT_EQ(floats_of(file, "u8"), (std::vector<float>{0, 255}));
  EXPECT_EQ(floats_of(file, "bool"), (std::vector<float>{1, 0}));
  EXPECT_EQ(floats_of(file, "scalar"), (std::vector<float>{2.5f}));
  EXPECT_EQ(file.get("scalar").shape, Shape{});
  EXPECT_EQ(file.get("empty").shape, (Shape{0, 4}));
  EXPECT_EQ(file.metadata(), (TextMap{{"format", "pt"}, {"who", "naïve"}}));
  EXPECT_EQ(file.tensors().size(), 9u);
}

TEST(SafetensorsTest, ErrorsNameThePath) {
  const ScratchFolder folder;
  write_file_atomically(folder / "bad.safetensors", "short");
  expect_contains(message_of<DataError>([&] { SafetensorsFile file(folder / "bad.safetensors"); }),
                  "bad.safetensors: not a safetensors file: got 5 bytes");
  message_of<IoError>([&] { SafetensorsFile file(folder / "missing.safetensors"); });
}

TEST(SafetensorsTest, EveryTruncationAndEveryExtraByteIsADataError) {
  const std::string whole = read_text_file(golden_path("python.safetensors"));
  EXPECT_EQ(parse_safetensors(as_span(whole)).tensors.tensors().size(), 9u);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_safetensors(std::as_bytes(std::span(exact))), DataError) << size;
  }
  expect_contains(safetensors_message(whole + "x"), "data bytes, expected");
}

TEST(SafetensorsTest, EveryChangedHeaderByteIsReadOrADataError) {
  std::string file = read_text_file(golden_path("python.safetensors"));
  for (size_t i = 0; i < file.size(); ++i) {
    for (const unsigned char flip : {0x01, 0x20, 0x80, 0xff}) {
      file[i] = static_cast<char>(file[i] ^ flip);
      try {
        parse_safetensors(as_span(file));
      } catch (const DataError&) {
      }
      file[i] = static_cast<char>(file[i] ^ flip);
    }
  }
}

TEST(SafetensorsTest, HostileHeaderLengthsAreRefused) {
  expect_contains(safetensors_message(raw(UINT64_MAX) + "{}"), "expected at most 100000000");
  expect_contains(safetensors_message(raw(uint64_t{50'000'000}) + "{}"),
                  "truncated: header of 50000000 bytes in a file of 10");
  expect_contains(safetensors_message(raw(uint64_t{0})), "expected a JSON object");
}

TEST(SafetensorsTest, HostileJsonIsRefused) {
  expect_contains(safetensors_message(file_of("[]")), "expected a JSON object");
  expect_contains(safetensors_message(file_of("{")), "not valid JSON");
  expect_contains(safetensors_message(file_of("{/* no comments */}")), "not valid JSON");
  expect_contains(safetensors_message(file_of(R"({"a":)" + std::string(100'000, '['))),
                  "nested deeper than 3");
  expect_contains(safetensors_message(file_of(R"({"a":1,"a":2})")), "key \"a\" is there twice");
  expect_contains(safetensors_message(file_of(R"({"a":{"dtype":"F32","dtype":"F16"}})")),
                  "key \"dtype\" is there twice");
  expect_contains(safetensors_message(file_of("{\"\xff\":1}")), "not valid JSON");
  expect_contains(safetensors_message(file_of(R"({"__metadata__":{"a":1}})")), "expected a string");
  EXPECT_LT(safetensors_message(file_of("{\"" + std::string(1 << 20, 'x'))).size(), 400u);
}

TEST(SafetensorsTest, HostileTensorsAreRefused) {
  const auto message = [](const std::string& json) {
    return safetensors_message(file_of(R"({"x":)" + json + "}", "01234567"));
  };
  expect_contains(message("3"), "tensor \"x\": expected a JSON object");
  expect_contains(message("{}"), "missing \"data_offsets\"");
  expect_contains(message(tensor_json("F32", "[2]", "[0]")), "expected [begin, end]");
  expect_contains(message(tensor_json("F32", "[2]", "[8, 0]")), "got [8, 0]");
  expect_contains(message(tensor_json("F32", "[2]", "[0, 9]")), "the 8 data bytes");
  expect_contains(message(tensor_json("F32", "[2]", "[-8, 8]")), "got -8, expected an integer");
  expect_contains(message(tensor_json("F32", "[2]", "[0, 1e30]")), "expected an integer");
  expect_contains(message(tensor_json("F32", "[3]", "[0, 8]")),
                  "got 8 bytes, expected 12 for F32 [3]");
  expect_contains(message(tensor_json("F32", "2", "[0, 8]")), "shape: expected an array");
  expect_contains(message(tensor_json("F32", "[2.0]", "[0, 8]")), "shape: got 2.0");
  expect_contains(message(tensor_json("Q4_0", "[32]", "[0, 8]")), "dtype: got \"Q4_0\"");
  expect_contains(message(tensor_json("F32", "[4611686018427387904, 4]", "[0, 8]")), "too large");
  expect_contains(message(tensor_json("F32", "[18446744073709551615]", "[0, 8]")),
                  "shape: got 18446744073709551615");
}

TEST(SafetensorsTest, OverlapsAndHolesAreRefused) {
  const auto message = [](const std::string& a, const std::string& b) {
    return safetensors_message(file_of(
        concat(
            R"({"a":)", tensor_json("U8", "[4]", a), R"(,"b":)", tensor_json("U8", "[4]", b), "}"),
        "0123456789"));
  };
  expect_contains(message("[0, 4]", "[2, 6]"), "tensor \"b\" starts at data byte 2, expected 4");
  expect_contains(message("[0, 4]", "[0, 4]"), "overlap");
  expect_contains(message("[0, 4]", "[6, 10]"), "leave holes");
  expect_contains(message("[0, 4]", "[4, 8]"), "got 10 data bytes, expected 8");
}

}  // namespace
}  // namespace rebound
