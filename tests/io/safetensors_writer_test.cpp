// write_safetensors of safetensors.h. That the reference reader takes such a file was checked by
// hand (python -c "from safetensors.numpy import load_file; ..."); here our strict reader does.
#include "io/io_fixture.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

TEST(SafetensorsWriterTest, RoundTripKeepsEverything) {
  const ScratchFolder folder;
  const std::vector<float> matrix = {1, 2, 3, 4, 5, 6}, scalar = {7};
  const std::vector<uint16_t> halves = to_float16(std::vector<float>{0.5f, -2, 8});
  const std::string flags("\1\0\1", 3);
  const TextMap metadata = {{"format", "pt"}, {"quote", "\"\\\n\u00e9"}};
  write_safetensors(folder / "a.safetensors",
                    {{"flags", DType::kBool, {3}, as_span(flags).data(), 3},
                     {"halves", DType::kF16, {3}, std::as_bytes(std::span(halves)).data(), 6},
                     view_of("matrix", {2, 3}, matrix),
                     view_of("scalar", {}, scalar),
                     {"empty", DType::kI64, {0}, nullptr, 0}},
                    metadata);
  const SafetensorsFile file(folder / "a.safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(to_float32(file.get("matrix", {2, 3})), matrix);
  EXPECT_EQ(to_float32(file.get("scalar", {})), scalar);
  EXPECT_EQ(to_float32(file.get("halves", {3})), (std::vector<float>{0.5f, -2, 8}));
  EXPECT_EQ(to_float32(file.get("flags", {3})), (std::vector<float>{1, 0, 1}));
  for (const TensorView& tensor : file.tensors()) {
    const auto address = reinterpret_cast<uintptr_t>(tensor.data);
    EXPECT_EQ(address % static_cast<uintptr_t>(dtype_info(tensor.dtype).block_bytes), 0u)
        << tensor.name << " is not aligned";
  }
}

TEST(SafetensorsWriterTest, NothingAtAllIsAValidFile) {
  const ScratchFolder folder;
  write_safetensors(folder / "a.safetensors", {});
  EXPECT_TRUE(SafetensorsFile(folder / "a.safetensors").tensors().empty());
}

TEST(SafetensorsWriterTest, BadTensorsAreRefusedAndTheOldFileStays) {
  const ScratchFolder folder;
  const std::filesystem::path path = folder / "a.safetensors";
  write_file_atomically(path, "old");
  const std::vector<float> two(2);
  const TensorView fine = view_of("a", {2}, two);
  const auto message = [&](const std::vector<TensorView>& tensors, const TextMap& metadata = {}) {
    return message_of<DataError>([&] { write_safetensors(path, tensors, metadata); });
  };
  expect_contains(message({fine, fine}), "a.safetensors: tensor \"a\" is there twice");
  expect_contains(message({view_of("a", {3}, two)}), "got 8 bytes, expected 12");
  expect_contains(message({view_of("__metadata__", {2}, two)}), "the name is reserved");
  expect_contains(message({{"q", DType::kQ8_0, {0, 32}, nullptr, 0}}), "dtype: got Q8_0");
  expect_contains(message({view_of("\xff", {2}, two)}), "not UTF-8");
  expect_contains(message({fine}, {{"k", "\xff"}}), "not UTF-8");
  EXPECT_EQ(read_text_file(path), "old");
}

TEST(SafetensorsWriterTest, AFolderThatIsNotThereIsAnIoError) {
  const ScratchFolder folder;
  expect_contains(message_of<IoError>([&] { write_safetensors(folder / "no" / "a", {}); }),
                  "cannot write");
}

}  // namespace
}  // namespace rebound
