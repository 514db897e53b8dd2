#include "rebound/base/file.h"

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "support/failures.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// While it lives, no file can grow beyond `bytes`: writing fails as on a full disk.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(FileTest, WritesExactBytesAndReadsThemBack) {
  const fs::path path = fresh_folder("exact") / "a.bin";
  const std::string bytes("a\0\r\n\xff", 5);
  write_file_atomically(path, bytes);
  EXPECT_EQ(read_text_file(path), bytes);
  EXPECT_EQ(files_in(path.parent_path()), 1U);
}

TEST(FileTest, ReplacesAnExistingFileAndLeavesNothingBeside) {
  const fs::path path = fresh_folder("replace") / "a.txt";
  write_file_atomically(path, "a longer old text");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_text_file(path), "new");
  EXPECT_EQ(files_in(path.parent_path()), 1U);
}

TEST(FileTest, TheOldFileIsThereUntilTheNewOneIsWhole) {
  const fs::path path = fresh_folder("until_whole") / "a.txt";
  write_file_atomically(path, "old");
  replace_file_atomically(path, [&](const fs::path& temporary) {
    EXPECT_EQ(temporary.parent_path(), path.parent_path());
    std::ofstream(temporary) << "new";
    EXPECT_EQ(read_text_file(path), "old");
  });
  EXPECT_EQ(read_text_file(path), "new");
}

TEST(FileTest, AWriterThatFailsHalfwayLeavesTheOldFileAlone) {
  const fs::path path = fresh_folder("halfway") / "a.txt";
  write_file_atomically(path, "old");
  const auto body = [&] {
    replace_file_atomically(path, [](const fs::path& temporary) {
      std::ofstream(temporary) << "half of";
      throw DataError("row 3: NaN");
    });
  };
  EXPECT_EQ(message_of<IoError>(body), path.string() + ": cannot write: row 3: NaN");
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(files_in(path.parent_path()), 1U);
}

TEST(FileTest, AFullDiskLeavesTheOldFileAlone) {
  const fs::path path = fresh_folder("full_disk") / "a.txt";
  write_file_atomically(path, "old");
  std::string message;
  {
    const FullDisk full(1024);
    message = message_of<IoError>([&] { write_file_atomically(path, std::string(100000, 'x')); });
  }
  EXPECT_EQ(message, path.string() + ": cannot write: File too large");
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(files_in(path.parent_path()), 1U);
}

TEST(FileTest, AFailedRenameRemovesTheTemporaryFile) {
  const fs::path path = fresh_folder("rename") / "folder";
  fs::create_directories(path / "occupied");
  message_of<IoError>([&] { write_file_atomically(path, "text"); });
  EXPECT_EQ(files_in(path.parent_path()), 1U);
}

TEST(FileTest, AMissingFolderIsAnIoErrorNamingThePath) {
  const fs::path path = fresh_folder("missing") / "no" / "a.txt";
  EXPECT_EQ(message_of<IoError>([&] { write_file_atomically(path, "text"); }),
            path.string() + ": cannot write: No such file or directory");
}

TEST(FileTest, ReadingSaysWhatIsWrong) {
  const fs::path folder = fresh_folder("reading");
  EXPECT_EQ(message_of<IoError>([&] { read_text_file(folder); }),
            folder.string() + ": got a folder, expected a file");
  EXPECT_EQ(message_of<IoError>([&] { read_text_file(folder / "no"); }),
            (folder / "no").string() + ": cannot read: No such file or directory");
}

// The examples of FIPS 180-4: one block, two blocks, a million letters.
TEST(FileTest, Sha256OfKnownTexts) {
  EXPECT_EQ(sha256_of_text(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of_text("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of_text("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(FileTest, Sha256OfAFileReadsEveryBlock) {
  const fs::path path = fresh_folder("sha") / "a.txt";
  write_file_atomically(path, std::string(1000000, 'a'));
  EXPECT_EQ(sha256_of_file(path),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  const std::string longer(3000001, 'b');  // several blocks and one byte
  write_file_atomically(path, longer);
  EXPECT_EQ(sha256_of_file(path), sha256_of_text(longer));
  message_of<IoError>([&] { sha256_of_file(path.parent_path() / "no"); });
}

}  // namespace
}  // namespace rebound
