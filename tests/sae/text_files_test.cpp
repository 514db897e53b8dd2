#include "rebound/sae/text_files.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "sae/sae_fixture.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

void write_gzip(const fs::path& path, const std::string& text) {
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
}

// One token a character: the stream is the text.
std::string text_of(const at::Tensor& contexts, const Tokenizer& tokenizer) {
  const at::Tensor ids = contexts.to(at::kLong).flatten();
  return tokenizer.decode({ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + ids.numel()});
}

TEST(TextFilesTest, FormFeedLinesSeparateDocuments) {
  const fs::path folder = fresh_folder("text");
  write_file_atomically(folder / "a.txt", "one\ntwo\n\f\nthree\n");
  const auto documents = read_documents(folder / "a.txt");
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].text, "one\ntwo");
  EXPECT_EQ(documents[1].text, "three\n");
}

TEST(TextFilesTest, GzipAndPlainFilesAreReadAlike) {
  const fs::path folder = fresh_folder("text");
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "line " + std::to_string(i) + "\n";
  write_gzip(folder / "a.txt.gz", text);
  EXPECT_EQ(read_maybe_gzip(folder / "a.txt.gz"), text);
  EXPECT_EQ(read_documents(folder / "a.txt.gz").at(0).text, text);
}

TEST(TextFilesTest, TruncatedGzipIsADataError) {
  const fs::path folder = fresh_folder("text");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i * i);
  write_gzip(folder / "a.txt.gz", text);
  fs::resize_file(folder / "a.txt.gz", fs::file_size(folder / "a.txt.gz") / 2);
  EXPECT_THROW(read_maybe_gzip(folder / "a.txt.gz"), DataError);
  EXPECT_THROW(read_maybe_gzip(folder / "none.txt.gz"), IoError);
}

TEST(TextFilesTest, JsonLinesHoldTextOrAChat) {
  const fs::path folder = fresh_folder("text");
  write_file_atomically(folder / "a.jsonl",
                        "{\"text\": \"plain\"}\n\n{\"user\": \"hi\", \"assistant\": \"yo\"}\n");
  const auto documents = read_documents(folder / "a.jsonl");
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].text, "plain");
  ASSERT_EQ(documents[1].chat.size(), 2u);
  EXPECT_EQ(documents[1].chat[1].content, "yo");
  write_file_atomically(folder / "b.jsonl", "{\"text\": \"a\"}\n{\"txt\": 3}\n");
  try {
    read_documents(folder / "b.jsonl");
    FAIL();
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("b.jsonl:2"), std::string::npos);
  }
}

TEST(TextFilesTest, UnknownAndEmptyFilesAreDataErrors) {
  const fs::path folder = fresh_folder("text");
  write_file_atomically(folder / "a.pdf", "x");
  write_file_atomically(folder / "a.txt", "");
  EXPECT_THROW(read_documents(folder / "a.pdf"), DataError);
  EXPECT_THROW(read_documents(folder / "a.txt"), DataError);
}

TEST(TextFilesTest, ContextsAreOneStreamCutWithoutOverlap) {
  const Tokenizer tokenizer = tiny_tokenizer({});
  const std::vector<Document> documents = {{"abcdefg", {}}};
  const at::Tensor contexts = contexts_of(documents, tokenizer, nullptr, {.length = 3});
  EXPECT_EQ(contexts.sizes().vec(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(text_of(contexts, tokenizer), "abcdef");
  const at::Tensor first =
      contexts_of(documents, tokenizer, nullptr, {.length = 3, .max_contexts = 1});
  EXPECT_EQ(text_of(first, tokenizer), "abc");
}

TEST(TextFilesTest, ChatWithoutATemplateIsADataError) {
  const Tokenizer tokenizer = tiny_tokenizer({});
  const std::vector<Document> documents = {{"", {{"user", "hi"}}}};
  EXPECT_THROW(contexts_of(documents, tokenizer, nullptr, {.length = 3}), DataError);
}

}  // namespace
}  // namespace rebound
