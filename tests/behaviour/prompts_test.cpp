#include "rebound/behaviour/prompts.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rebound/base/file.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

class PromptsTest : public ::testing::Test {
 protected:
  ~PromptsTest() override { std::filesystem::remove(path_); }

  std::vector<Prompt> read(const std::string& lines, const PromptCheck& check) {
    write_file_atomically(path_, lines);
    return read_prompts(path_, check);
  }
  std::vector<Prompt> read(const std::string& lines) {
    return read(lines, {.tokenizer = &tokenizer_});
  }

  // The message after the file's name; "" when nothing is thrown.
  std::string complaint(const std::string& lines, const PromptCheck& check) {
    try {
      read(lines, check);
    } catch (const DataError& e) {
      const std::string message = e.what();
      EXPECT_TRUE(message.starts_with(path_.string())) << message;
      return message.substr(path_.string().size());
    }
    return "";
  }
  std::string complaint(const std::string& lines) {
    return complaint(lines, {.tokenizer = &tokenizer_});
  }

  Tokenizer tokenizer_ = tiny_tokenizer({" Mary", " John"});
  std::filesystem::path path_ =
      std::filesystem::path(::testing::TempDir()) / "rebound_prompts.jsonl";
};

TEST_F(PromptsTest, TextBecomesTokens) {
  const auto prompts = read(
      "\n"
      R"({"text": "ab to", "correct": " Mary", "wrong": " John", "cluster": 3})");
  ASSERT_EQ(prompts.size(), 1U);
  const Prompt& prompt = prompts[0];
  EXPECT_EQ(prompt.ids, tokenizer_.encode("ab to"));
  EXPECT_EQ(prompt.ids.size(), 5U);
  EXPECT_EQ(prompt.correct_id, tokenizer_.single_token(" Mary"));
  EXPECT_EQ(prompt.wrong_id, tokenizer_.single_token(" John"));
  EXPECT_EQ(prompt.cluster, 3);
  EXPECT_EQ(prompt.id, "2");  // its line
}

TEST_F(PromptsTest, IdsNeedNoTokenizer) {
  const auto prompts =
      read(R"({"ids": [1, 2, 3], "correct_id": 4, "wrong_id": 5, "id": "a", "features": [7, 9]})"
           "\n"
           R"({"ids": [3], "correct_id": 5, "wrong_id": 4})",
           {.vocab_size = 6});
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[0].ids, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(prompts[0].features, (std::vector<int64_t>{7, 9}));
  EXPECT_EQ(prompts[0].id, "a");
  EXPECT_EQ(prompts[0].text, "");
  EXPECT_EQ(prompts[1].correct_id, 5);
  EXPECT_NE(prompts[0].cluster, prompts[1].cluster);
  EXPECT_LT(prompts[0].cluster, 0);
}

TEST_F(PromptsTest, AnswerOfSeveralTokensIsNamedWithTheirCount) {
  EXPECT_EQ(complaint(R"({"text": "ab", "correct": " Mary", "wrong": " John"})"
                      "\n"
                      R"({"text": "ab", "correct": " Bo", "wrong": " John"})"),
            ":2: correct: got \" Bo\", which is 3 tokens, expected exactly one "
            "(mind the leading space)");
  EXPECT_NE(complaint(R"({"text": "ab", "correct": "", "wrong": " John"})").find("0 tokens"),
            std::string::npos);
}

TEST_F(PromptsTest, BadLinesAreOneClearDataError) {
  const std::string answers = R"("correct_id": 1, "wrong_id": 2})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"ids": [1], "correct_id": 1, "wrong_id": 1})", ":1: correct and wrong are the same"},
      {R"({"ids": [], )" + answers, ":1: the prompt is empty"},
      {R"({"text": "", )" + answers, ":1: the prompt is empty"},
      {"{" + answers, ":1: got neither \"ids\" nor \"text\""},
      {R"({"ids": [1], "wrong_id": 2})", ":1: got neither \"correct\" nor \"correct_id\""},
      {R"({"ids": [1], "colour": 2, )" + answers, ":1: unknown key \"colour\""},
      {R"({"ids": [1.5], )" + answers, ":1: ids: got 1.5"},
      {R"({"ids": 7, )" + answers, ":1: ids: got number"},
      {R"({"ids": [-1], )" + answers, ":1: ids: got token -1, expected 0.."},
      {R"({"ids": [100000], )" + answers, ":1: ids: got token 100000, expected 0.."},
      {R"({"ids": [18446744073709551615], )" + answers, ":1: ids: got token"},
      {R"({"ids": [1], "correct_id": 999999, "wrong_id": 1})", ":1: correct_id: got token 999999"},
      {R"({"ids": [1], "correct_id": "x", "wrong_id": 1})", ":1.correct_id: got \"x\""},
      {R"({"ids": [1], "cluster": -2, )" + answers, ":1: cluster must be >= 0"},
      {R"({"ids": [1], "features": [-2], )" + answers, ":1: features: got -2"},
      {R"({"ids": [1], "text": "b", )" + answers, ":1: \"ids\" are not the tokens of \"text\""},
      {R"({"ids": [1], "correct": "b", )" + answers, ":1: correct_id: got 1, but correct is"},
      {"[1, 2]", ":1: got array"},
      {"{\"ids\": [1", ":1: not valid JSON"},
      {"\n \n", ": got no prompts"},
  };
  for (const auto& [lines, expected] : cases) {
    const std::string message = complaint(lines);
    EXPECT_TRUE(message.starts_with(expected)) << lines << "\n got: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos);
  }
}

TEST_F(PromptsTest, InvalidUtf8IsADataErrorWithItsLine) {
  const std::string message = complaint("{\"text\": \"\xff\", \"correct_id\": 1, \"wrong_id\": 2}");
  EXPECT_TRUE(message.starts_with(":1: ")) << message;
}

TEST_F(PromptsTest, IdsOfPromptsAreUnique) {
  const std::string line = R"({"id": "a", "ids": [1], "correct_id": 1, "wrong_id": 2})";
  EXPECT_EQ(complaint(line + "\n" + line), ":2: id \"a\" is used twice");
}

TEST_F(PromptsTest, WordsWithoutTokenizerAreRefused) {
  EXPECT_NE(complaint(R"({"ids": [1], "correct": " Mary", "wrong_id": 2})", {}).find("tokenizer"),
            std::string::npos);
}

TEST_F(PromptsTest, MissingFileIsAnIoError) {
  EXPECT_THROW(read_prompts("/no/such/file.jsonl", &tokenizer_), IoError);
}

}  // namespace
}  // namespace rebound
