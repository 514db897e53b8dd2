#include "rebound/io/gguf.h"

#include "io/io_fixture.h"
#include "rebound/base/json.h"
#include "rebound/io/dequantize.h"

namespace rebound {
namespace {

std::string text(const std::string& s) { return raw(uint64_t{s.size()}) + s; }

std::string head(uint64_t tensors, uint64_t keys, uint32_t version = 3) {
  return "GGUF" + raw(version) + raw(tensors) + raw(keys);
}

std::string key_u32(const std::string& key, uint32_t value) {
  return text(key) + raw(uint32_t{4}) + raw(value);
}

std::string tensor(const std::string& name,
                   const std::vector<uint64_t>& sizes,
                   uint32_t type,
                   uint64_t offset) {
  std::string bytes = text(name) + raw(static_cast<uint32_t>(sizes.size()));
  for (const uint64_t size : sizes) bytes += raw(size);
  return bytes + raw(type) + raw(offset);
}

std::string padded(std::string bytes, size_t alignment = 32) {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  return bytes;
}

std::string message_for(const std::string& file) {
  return message_of<DataError>([&] { parse_gguf(as_span(file)); });
}

TEST(GgufTest, ReadsTypedMetadataOfThePythonWriter) {
  const GgufFile file(golden_path("python.gguf"));
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.string("general.architecture"), "llama");
  EXPECT_EQ(file.integer("t.u8"), 200u);
  EXPECT_EQ(file.integer("t.u16"), 60000u);
  EXPECT_EQ(file.integer("t.u32"), 4000000000u);
  EXPECT_EQ(file.integer("t.u64"), (uint64_t{1} << 63) + 5);
  EXPECT_EQ(file.number("t.i8"), -100);
  EXPECT_EQ(file.number("t.i16"), -30000);
  EXPECT_EQ(file.number("t.i32"), -2000000000);
  EXPECT_EQ(file.number("t.i64"), -0x1p62);
  EXPECT_EQ(file.number("t.f32"), 0.5);
  EXPECT_EQ(file.number("t.f64"), 1e300);
  EXPECT_EQ(file.boolean("t.bool"), true);
  EXPECT_EQ(file.string("t.string"), "naïve");
  EXPECT_EQ(file.strings("t.strings"), (std::vector<std::string>{"a", "", "Ġb"}));
  EXPECT_EQ(file.integers("t.integers"), (std::vector<int64_t>{3, -1, 7}));
  EXPECT_EQ(file.floats("t.integers"), (std::vector<double>{3, -1, 7}));
  EXPECT_EQ(file.floats("t.floats"), (std::vector<double>{0.25, -2}));
  EXPECT_EQ(file.booleans("t.bools"), (std::vector<bool>{true, false}));
  EXPECT_EQ(file.keys().front(), "general.architecture");
}

TEST(GgufTest, ReadsTensorsOutermostFirstAsPythonDoes) {
  const GgufFile file(golden_path("python.gguf"));
  EXPECT_EQ(file.get("matrix").shape, (Shape{2, 3}));
  EXPECT_EQ(file.get("half").dtype, DType::kF16);
  EXPECT_EQ(file.get("q4_1").shape, (Shape{2, 32}));
  const Json golden = read_json_file(golden_path("dequantize.json")).at("python.gguf");
  ASSERT_EQ(golden.size(), file.tensors().size());
  for (const TensorView& tensor : file.tensors()) {
    EXPECT_EQ(to_float32(tensor), golden.at(tensor.name).get<std::vector<float>>()) << tensor.name;
  }
}

TEST(GgufTest, AMissingKeyIsNothingAndAnotherTypeAnError) {
  const GgufFile file(golden_path("python.gguf"));
  EXPECT_EQ(file.integer("none"), std::nullopt);
  EXPECT_EQ(file.number("none"), std::nullopt);
  EXPECT_EQ(file.boolean("none"), std::nullopt);
  EXPECT_EQ(file.string("none"), std::nullopt);
  EXPECT_EQ(file.strings("none"), std::nullopt);
  EXPECT_EQ(file.integers("none"), std::nullopt);
  EXPECT_EQ(file.floats("none"), std::nullopt);
  EXPECT_EQ(file.booleans("none"), std::nullopt);
  EXPECT_FALSE(file.has("none"));
  const auto message = [&](auto accessor, const char* key) {
    return message_of<DataError>([&] { (file.*accessor)(key); });
  };
  using M = GgufMetadata;
  expect_contains(message(&M::integer, "t.string"), "t.string: got string, expected an integer");
  expect_contains(message(&M::integer, "t.i8"), "t.i8: got -100, expected an integer >= 0");
  expect_contains(message(&M::integer, "t.integers"), "t.integers: got i32[3]");
  expect_contains(message(&M::integer, "t.f32"), "t.f32: got f32");
  expect_contains(message(&M::number, "t.bool"), "expected a number");
  expect_contains(message(&M::boolean, "t.u8"), "expected a bool");
  expect_contains(message(&M::string, "t.strings"), "got string[3], expected a string");
  expect_contains(message(&M::strings, "t.string"), "expected an array of strings");
  expect_contains(message(&M::integers, "t.floats"), "expected an array of integers");
  expect_contains(message(&M::floats, "t.bools"), "expected an array of numbers");
  expect_contains(message(&M::booleans, "t.integers"), "expected an array of bools");
}

TEST(GgufTest, DescribesValuesForPeople) {
  const GgufFile file(golden_path("python.gguf"));
  EXPECT_EQ(file.describe("t.u8"), "200");
  EXPECT_EQ(file.describe("t.i8"), "-100");
  EXPECT_EQ(file.describe("t.f32"), "0.5");
  EXPECT_EQ(file.describe("t.bool"), "true");
  EXPECT_EQ(file.describe("general.architecture"), "\"llama\"");
  EXPECT_EQ(file.describe("t.strings"), "string[3]");
}

TEST(GgufTest, EveryTruncationIsADataError) {
  const std::string whole =
      padded(head(1, 1) + key_u32("k", 1) + tensor("w", {8}, 0, 0)) + std::string(32, 'x');
  EXPECT_EQ(parse_gguf(as_span(whole)).tensors.get("w").bytes, 32u);
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_gguf(std::as_bytes(std::span(exact))), DataError) << size;
  }
}

TEST(GgufTest, EveryTruncationOfAFileWithAllTypesIsADataError) {
  const std::string whole = read_text_file(golden_path("python.gguf"));
  const TensorView last = parse_gguf(as_span(whole)).tensors.tensors().back();
  const auto end = static_cast<size_t>(last.data + last.bytes - as_span(whole).data());
  for (size_t size = 0; size < end; ++size) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_gguf(std::as_bytes(std::span(exact))), DataError) << size;
  }
}

TEST(GgufTest, ErrorsNameThePath) {
  const ScratchFolder folder;
  write_file_atomically(folder / "bad.gguf", "GGML");
  expect_contains(message_of<DataError>([&] { GgufFile file(folder / "bad.gguf"); }),
                  "bad.gguf: not a GGUF file");
  message_of<IoError>([&] { GgufFile file(folder / "missing.gguf"); });
}

TEST(GgufTest, OtherVersionsAreRefused) {
  EXPECT_EQ(parse_gguf(as_span(head(0, 0, 2))).version, 2u);
  expect_contains(message_for(head(0, 0, 1)), "GGUF version: got 1, expected 2 or 3");
  expect_contains(message_for(head(0, 0, 4)), "got 4");
  expect_contains(message_for(head(0, 0, 0x03000000)), "big-endian");
}

TEST(GgufTest, HostileCountsAreRefusedBeforeAnyAllocation) {
  expect_contains(message_for(head(UINT64_MAX, 0)), "tensor count: got 18446744073709551615");
  expect_contains(message_for(head(0, uint64_t{1} << 60)), "key count");
  const std::string array = text("k") + raw(uint32_t{9});
  const auto array_of = [&](uint32_t type, uint64_t count) {
    return head(0, 1) + array + raw(type) + raw(count) + "1234";
  };
  expect_contains(message_for(array_of(10, (uint64_t{1} << 61) + 1)), "\"k\": array length");
  expect_contains(message_for(array_of(8, 1)), "array length: got 1");
  expect_contains(message_for(array_of(9, 1)), "arrays of arrays");
  expect_contains(message_for(array_of(13, 1)), "value type: got 13");
  expect_contains(message_for(head(0, 1) + raw(UINT64_MAX) + "123456"), "truncated");
}

TEST(GgufTest, HostileTensorsAreRefused) {
  const auto message = [](const std::string& info) {
    return message_for(padded(head(1, 0) + info) + std::string(64, 'x'));
  };
  expect_contains(message(tensor("w", {1, 1, 1, 1, 1}, 0, 0)), "tensor \"w\": got 5 dimensions");
  expect_contains(message(tensor("w", {uint64_t{1} << 63}, 0, 0)), "expected less than 2^63");
  expect_contains(message(tensor("w", {uint64_t{1} << 32, uint64_t{1} << 31}, 0, 0)), "too large");
  expect_contains(message(tensor("w", {48}, 8, 0)), "not a whole number of Q8_0 blocks per row");
  expect_contains(message(tensor("w", {256}, 10, 0)), "ggml type 10 is not supported");
  expect_contains(message(tensor("w", {4}, 0, 8)), "expected a multiple of 32");
  expect_contains(message(tensor("w", {17}, 0, 0)), "needs 68 bytes at data byte 0");
  expect_contains(message(tensor("w", {4}, 0, UINT64_MAX - 31)), "truncated");
}

TEST(GgufTest, NamesTwiceAndOverlapsAreRefused) {
  const auto message = [](const std::string& infos) {
    return message_for(padded(head(2, 0) + infos) + std::string(128, 'x'));
  };
  expect_contains(message(tensor("a", {8}, 0, 0) + tensor("a", {8}, 0, 32)),
                  "tensor \"a\" is there twice");
  expect_contains(message(tensor("a", {16}, 0, 0) + tensor("b", {8}, 0, 32)),
                  "tensors \"a\" and \"b\" overlap");
  expect_contains(message_for(head(0, 2) + key_u32("k", 1) + key_u32("k", 2)),
                  "key \"k\" is there twice");
}

TEST(GgufTest, AlignmentIsHonouredAndChecked) {
  const auto file = [](uint32_t alignment, size_t actual) {
    return padded(head(1, 1) + key_u32("general.alignment", alignment) + tensor("w", {1}, 0, 0),
                  actual) +
           raw(2.5f);
  };
  EXPECT_EQ(to_float32(parse_gguf(as_span(file(128, 128))).tensors.get("w"))[0], 2.5f);
  EXPECT_EQ(to_float32(parse_gguf(as_span(file(8, 8))).tensors.get("w"))[0], 2.5f);
  for (const uint32_t alignment : {0u, 24u, 1u << 31}) {
    expect_contains(message_for(file(alignment, 32)), "expected a power of two");
  }
}

}  // namespace
}  // namespace rebound
