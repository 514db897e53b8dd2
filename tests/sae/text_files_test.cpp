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

// Letters, and "<s>" (id 0) that encode() puts in front of a text if `adds_bos`.
Tokenizer letters_with_bos(bool adds_bos) {
  Json vocab = {{"<s>", 0}};
  for (char c = 'a'; c <= 'h'; ++c) vocab[std::string(1, c)] = c - 'a' + 1;
  const Json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  Json single = Json::array({sequence});
  if (adds_bos) single.insert(single.begin(), bos);
  const Json token = {{"id", "<s>"}, {"ids", {0}}, {"tokens", {"<s>"}}};
  const Json json = {{"version", "1.0"},
                     {"added_tokens",
                      Json::array({{{"id", 0},
                                    {"content", "<s>"},
                                    {"single_word", false},
                                    {"lstrip", false},
                                    {"rstrip", false},
                                    {"normalized", false},
                                    {"special", true}}})},
                     {"post_processor",
                      {{"type", "TemplateProcessing"},
                       {"single", single},
                       {"pair", Json::array({sequence})},
                       {"special_tokens", {{"<s>", token}}}}},
                     {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}};
  return Tokenizer::from_json(json.dump(), {.bos = "<s>"});
}

std::vector<int32_t> ids_of_contexts(const Tokenizer& tokenizer, std::optional<bool> prepend_bos) {
  const std::vector<Document> documents = {{"abcdefg", {}}};
  const ContextOptions options{.length = 3, .prepend_bos = prepend_bos};
  const at::Tensor ids = contexts_of(documents, tokenizer, nullptr, options).contiguous().flatten();
  return {ids.data_ptr<int32_t>(), ids.data_ptr<int32_t>() + ids.numel()};
}

using ContextIds = std::vector<int32_t>;

TEST(TextFilesTest, EveryContextBeginsWithBosWhereTheTokenizerAddsIt) {
  EXPECT_EQ(ids_of_contexts(letters_with_bos(true), std::nullopt),
            (ContextIds{0, 1, 2, 0, 3, 4, 0, 5, 6}));
  EXPECT_EQ(ids_of_contexts(letters_with_bos(false), std::nullopt), (ContextIds{1, 2, 3, 4, 5, 6}));
}

TEST(TextFilesTest, AnSaeThatWasTrainedOtherwiseDecidesOnBos) {
  for (const bool adds_bos : {false, true}) {
    const Tokenizer tokenizer = letters_with_bos(adds_bos);
    EXPECT_EQ(ids_of_contexts(tokenizer, true), (ContextIds{0, 1, 2, 0, 3, 4, 0, 5, 6}));
    EXPECT_EQ(ids_of_contexts(tokenizer, false), (ContextIds{1, 2, 3, 4, 5, 6}));
  }
  const Tokenizer without = tiny_tokenizer({});
  EXPECT_EQ(ids_of_contexts(without, true), ids_of_contexts(without, std::nullopt));
}

TEST(TextFilesTest, ChatWithoutATemplateIsADataError) {
  const Tokenizer tokenizer = tiny_tokenizer({});
  const std::vector<Document> documents = {{"", {{"user", "hi"}}}};
  EXPECT_THROW(contexts_of(documents, tokenizer, nullptr, {.length = 3}), DataError);
}

}  // namespace
}  // namespace rebound
