#include "rebound/io/torch_file.h"

#include "io/zip_fixture.h"
#include "rebound/io/dequantize.h"

namespace rebound {
namespace {

std::string short_text(const std::string& value) {
  return "X" + raw(static_cast<uint32_t>(value.size())) + value;
}

std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

std::string integer(int64_t value) { return "\x8a\x08" + raw(value); }

std::string tuple(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += integer(value);
  return out + "t";
}

struct TensorPickle {
  std::string type = "FloatStorage";
  int64_t elements = 6;
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
  std::string key = "0";
};

std::string tensor(const TensorPickle& t) {
  return global("torch._utils", "_rebuild_tensor_v2") + "((" + short_text("storage") +
         global("torch", t.type) + short_text(t.key) + short_text("cpu") + integer(t.elements) +
         "tQ" + integer(t.offset) + tuple(t.shape) + tuple(t.strides) + "\x89}tR";
}

std::string pickle_file(const std::string& pickle) {
  const std::vector<float> values = {0, 1, 2, 3, 4, 5};
  return zip_of({{"archive/data.pkl", pickle},
                 {"archive/data/0",
                  std::string(reinterpret_cast<const char*>(values.data()), 4 * values.size())}});
}

std::string file_with(const TensorPickle& t) {
  return pickle_file("\x80\x02}" + short_text("w") + tensor(t) + "s.");
}

std::string torch_file_message(const std::string& file) {
  return message_of<DataError>([&] { parse_torch(as_span(file)); });
}

std::vector<float> values_of(const TensorPickle& t) {
  const std::string file = file_with(t);
  const TorchContent content = parse_torch(as_span(file));
  return to_float32(content.tensors.get("w"));
}

TEST(TorchFileTest, ReadsAFileOfTorch) {
  const TorchFile file(golden_path("python.pt"));
  const std::vector<float> expected = {0, 0.25f, 0.5f, 0.75f, 1, 1.25f};
  for (const char* name : {"ae.f4", "ae.f2", "ae.bf16", "ae.f8", "ae.parameter"}) {
    EXPECT_EQ(to_float32(file.get(name, {2, 3})), expected) << name;
  }
  EXPECT_EQ(to_float32(file.get("ae.i8")), (std::vector<float>{-5, 0x1p40f}));
  EXPECT_EQ(to_float32(file.get("ae.scalar", {})), (std::vector<float>{2.5f}));
  EXPECT_EQ(to_float32(file.get("ae.transposed", {3, 2})),
            (std::vector<float>{0, 0.75f, 0.25f, 1, 0.5f, 1.25f}));
  EXPECT_EQ(to_float32(file.get("ae.row", {3})), (std::vector<float>{0.75f, 1, 1.25f}));
  EXPECT_EQ(file.numbers().at("step"), 7);
  EXPECT_EQ(file.numbers().at("norm_factor"), 0.25);
  EXPECT_EQ(file.numbers().at("done"), 1);
  EXPECT_EQ(file.numbers().at("list.1.0"), 2);
  EXPECT_EQ(file.texts().at("name"), "tiny");
  EXPECT_EQ(file.tensors().size(), 9u);
}

TEST(TorchFileTest, EveryTruncationAndEveryChangedByteIsReadOrADataError) {
  const std::string whole = read_text_file(golden_path("python.pt"));
  for (size_t size = 0; size < whole.size(); size += 3) {
    const std::vector<char> exact(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(parse_torch(std::as_bytes(std::span(exact))), DataError) << size;
  }
  std::string file = whole;
  for (size_t i = 0; i < file.size(); ++i) {
    for (const unsigned char flip : {0x01, 0x20, 0xff}) {
      file[i] = static_cast<char>(file[i] ^ flip);
      try {
        parse_torch(as_span(file));
      } catch (const DataError&) {
      }
      file[i] = whole[i];
    }
  }
}

TEST(TorchFileTest, NamesOutsideTheListAreRefusedAndNothingIsCalled) {
  for (const auto& [module, name] : {std::pair("os", "system"),
                                     std::pair("builtins", "eval"),
                                     std::pair("torch", "load"),
                                     std::pair("torch", "FloatTensor"),
                                     std::pair("__torch__", "Module")}) {
    const std::string call = global(module, name) + "(" + short_text("true") + "tR.";
    expect_contains(torch_file_message(pickle_file("\x80\x02" + call)),
                    concat("\"", module, " ", name, "\""));
  }
  // STACK_GLOBAL, and opcodes that build or call in other ways.
  expect_contains(torch_file_message(
                      pickle_file("\x80\x04" + short_text("os") + short_text("system") + "\x93.")),
                  "system");
  for (const char* op : {"i", "o", "\x81", "\x92", "P", "\x82", "I1\n", "0", "2"}) {
    expect_contains(torch_file_message(pickle_file(std::string("\x80\x02}") + op + ".")), "opcode");
  }
}

TEST(TorchFileTest, OffsetsAndStridesStayInsideTheStorage) {
  EXPECT_EQ(values_of({}), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(values_of({.shape = {3, 2}, .strides = {1, 3}}),
            (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(values_of({.offset = 3, .shape = {3}, .strides = {1}}), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(values_of({.shape = {1, 2}, .strides = {INT64_MAX, 2}}), (std::vector<float>{0, 2}));
  const char* outside = "reaches outside a storage of 6";
  expect_contains(torch_file_message(file_with({.offset = 1})), outside);
  expect_contains(torch_file_message(file_with({.offset = INT64_MAX})), outside);
  expect_contains(torch_file_message(file_with({.strides = {4, 1}})), outside);
  expect_contains(torch_file_message(file_with({.strides = {INT64_MAX, 1}})), outside);
  // A view that repeats one element would be larger than its storage.
  expect_contains(torch_file_message(file_with({.shape = {1000000000}, .strides = {0}})), outside);
  expect_contains(torch_file_message(file_with({.offset = -1})), "bad offset");
  expect_contains(torch_file_message(file_with({.strides = {-3, 1}})), "expected >= 0");
  expect_contains(torch_file_message(file_with({.strides = {1}})), "bad offset");
  expect_contains(torch_file_message(file_with({.shape = {INT64_MAX, 4}})), "bad offset");
  expect_contains(torch_file_message(file_with({.elements = 7})), "declares 7 elements");
  expect_contains(torch_file_message(file_with({.type = "DoubleStorage"})), "declares 6 elements");
  expect_contains(torch_file_message(file_with({.key = "1"})), "not in the archive");
}

TEST(TorchFileTest, BrokenStreamsAreRefused) {
  const auto message = [](const std::string& pickle) {
    return torch_file_message(pickle_file(pickle));
  };
  expect_contains(message(""), "truncated");
  expect_contains(message("."), "got 0 values");
  expect_contains(message("}"), "truncated");
  expect_contains(message("h\x07."), "memo 7 is not set");
  expect_contains(message("j\xff\xff\xff\x7f."), "is not set");
  expect_contains(message("q\x01"), "nothing to remember");
  expect_contains(message("t."), "no mark");
  expect_contains(message("}(N"
                          "u."),
                  "key without value");
  expect_contains(message("(N(\x85."), "stack is empty");
  expect_contains(message("X\xff\xff\xff\x7f."), "truncated");
  expect_contains(message("K\x01."), "expected a dictionary");
  expect_contains(message("}(K\x01(}u."), "another kind of value");
  expect_contains(message("\x8a\x09"
                          "123456789."),
                  "9 bytes");
  // A list that holds itself, and tuples of 3^14 values in a few bytes.
  expect_contains(message("}" + short_text("x") +
                          "]q\x01h\x01"
                          "as."),
                  "nested deeper");
  std::string tripling = "}" + short_text("x") + "]q\x0a";
  for (char level = 11; level < 11 + 14; ++level) {
    const std::string below = std::string("h") + static_cast<char>(level - 1);
    tripling += below + below + "\x87q" + level;
  }
  expect_contains(message(tripling + "s."), "more than 65536 values");
}

TEST(TorchFileTest, OtherFilesAreRefusedWithAHint) {
  expect_contains(torch_file_message("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 jj\xa8P\x19."),
                  "before version 1.6");
  expect_contains(torch_file_message("GGUF"), "no zip archive");
  expect_contains(torch_file_message(zip_of({{"a.npy", ""}})), "without data.pkl");
  expect_contains(torch_file_message(zip_of({{"a/data.pkl", "}."}, {"b/data.pkl", "}."}})),
                  "two data.pkl");
  expect_contains(torch_file_message(zip_of({{"a/data.pkl", "}.", 8}})), "compressed");
  expect_contains(torch_file_message(zip_of({{"a/data.pkl", "}."}, {"a/byteorder", "big"}})),
                  "byteorder");
}

}  // namespace
}  // namespace rebound
