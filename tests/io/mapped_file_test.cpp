#include "rebound/io/mapped_file.h"

#include <sys/stat.h>

#include "io/io_fixture.h"

namespace rebound {
namespace {

TEST(MappedFileTest, ShowsTheBytesOfTheFileAlsoAfterAMove) {
  const ScratchFolder folder;
  write_file_atomically(folder / "a", "hello");
  MappedFile first(folder / "a");
  const std::byte* address = first.bytes().data();
  const MappedFile second = std::move(first);
  EXPECT_EQ(second.bytes().data(), address);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(address), second.bytes().size()), "hello");
}

TEST(MappedFileTest, AnEmptyFileHasNoBytes) {
  const ScratchFolder folder;
  write_file_atomically(folder / "a", "");
  EXPECT_TRUE(MappedFile(folder / "a").bytes().empty());
}

TEST(MappedFileTest, StaysReadableWhenTheFileIsReplaced) {
  const ScratchFolder folder;
  write_file_atomically(folder / "a", "old");
  const MappedFile file(folder / "a");
  write_file_atomically(folder / "a", "");
  EXPECT_EQ(file.bytes()[2], std::byte{'d'});
}

TEST(MappedFileTest, WhatIsNoFileIsAnIoErrorNamingThePath) {
  const ScratchFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const auto message = [&](const std::string& name) {
    return message_of<IoError>([&] { MappedFile file(folder / name); });
  };
  expect_contains(message("missing"), "missing: cannot open: No such file or directory");
  expect_contains(message("."), "got a folder, expected a file");
  expect_contains(message("pipe"), "got a device or pipe, expected a file");
}

}  // namespace
}  // namespace rebound
