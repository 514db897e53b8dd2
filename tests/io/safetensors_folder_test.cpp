// SafetensorsFolder of safetensors.h.
#include "io/io_fixture.h"
#include "rebound/io/dequantize.h"
#include "rebound/io/safetensors.h"

namespace rebound {
namespace {

const std::vector<float> kOne = {1};
const std::vector<float> kTwo = {2};

void write_one(const std::filesystem::path& path,
               const std::string& name,
               const std::vector<float>& values) {
  write_safetensors(path, {view_of(name, {1}, values)});
}

void write_index(const ScratchFolder& folder, const std::string& weight_map) {
  write_file_atomically(folder / "model.safetensors.index.json",
                        concat(R"({"metadata":{"total_size":8},"weight_map":)", weight_map, "}"));
}

std::string message_for(const ScratchFolder& folder) {
  return message_of<DataError>([&] { SafetensorsFolder model(folder.path()); });
}

TEST(SafetensorsFolderTest, OpensASingleFile) {
  const ScratchFolder folder;
  write_one(folder / "model.safetensors", "a", kOne);
  SafetensorsFolder first(folder.path());
  const SafetensorsFolder model = std::move(first);
  EXPECT_EQ(to_float32(model.get("a")), kOne);
  EXPECT_EQ(model.paths(), std::vector{folder / "model.safetensors"});
}

TEST(SafetensorsFolderTest, OpensShardsAsOneTable) {
  const ScratchFolder folder;
  write_one(folder / "model-00001-of-00002.safetensors", "a", kOne);
  write_one(folder / "model-00002-of-00002.safetensors", "b", kTwo);
  write_index(folder, R"({"b":"model-00002-of-00002.safetensors",
                          "a":"model-00001-of-00002.safetensors"})");
  const SafetensorsFolder model(folder.path());
  EXPECT_EQ(to_float32(model.get("a")), kOne);
  EXPECT_EQ(to_float32(model.get("b")), kTwo);
  EXPECT_EQ(model.paths().size(), 2u);
}

TEST(SafetensorsFolderTest, TheIndexMayNotLeadOutOfTheFolder) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "sub");
  write_one(folder / "sub" / "x", "a", kOne);
  const std::string absolute = (folder / "sub" / "x").string();
  for (const std::string& name : {std::string("../x"),
                                  absolute,
                                  std::string("sub/x"),
                                  std::string(".."),
                                  std::string(),
                                  std::string("a\\\\b"),
                                  std::string("x\\u0000y")}) {
    write_index(folder, concat(R"({"a":")", name, R"("})"));
    expect_contains(message_for(folder), "expected the name of a file in the same folder");
  }
}

TEST(SafetensorsFolderTest, BrokenIndexesAreDataErrors) {
  const ScratchFolder folder;
  write_one(folder / "x", "a", kOne);
  write_index(folder, R"({"a":"x","b":"x","c":"x"})");
  expect_contains(message_for(folder), "/x: missing tensors \"b\", \"c\"");
  write_index(folder, R"(["x"])");
  expect_contains(message_for(folder), "expected an object with \"weight_map\"");
  write_index(folder, R"({"a":3})");
  expect_contains(message_for(folder), "expected file names");
}

TEST(SafetensorsFolderTest, MissingFilesAreIoErrors) {
  const ScratchFolder folder;
  expect_contains(message_of<IoError>([&] { SafetensorsFolder model(folder.path()); }),
                  "got neither model.safetensors nor model.safetensors.index.json");
  write_index(folder, R"({"a":"gone.safetensors"})");
  expect_contains(message_of<IoError>([&] { SafetensorsFolder model(folder.path()); }),
                  "gone.safetensors: cannot open");
}

}  // namespace
}  // namespace rebound
