#include "rebound/text/tokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/text/tokenizer_json.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

using Ids = std::vector<int64_t>;

Ids spelled(const std::string& text) {
  Ids ids;
  for (const char c : text) ids.push_back(tiny_id(c));
  return ids;
}

TEST(TokenizerTest, MergesFollowTheirOrder) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  EXPECT_EQ(tokenizer.encode("hello hello"), (Ids{kTinyHello, kTinySpaceHello}));
  EXPECT_EQ(tokenizer.encode("hel"), (Ids{99, tiny_id('l')}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.vocabulary_size(), 105);
}

TEST(TokenizerTest, SmollmSplitsDigitsAndGpt2DoesNot) {
  GgufVocabulary vocabulary = tiny_vocabulary();
  EXPECT_EQ(Tokenizer::from_vocabulary(vocabulary).encode("12"), spelled("12"));
  for (const char* pre : {"gpt-2", "olmo", "llama-bpe"}) {
    vocabulary.pre = pre;
    EXPECT_EQ(Tokenizer::from_vocabulary(vocabulary).encode("12"), Ids{104}) << pre;
  }
  vocabulary.pre = "qwen2";
  EXPECT_EQ(Tokenizer::from_vocabulary(vocabulary).encode("12"), spelled("12"));
}

TEST(TokenizerTest, UnknownPreTokenizerIsNamed) {
  GgufVocabulary vocabulary = tiny_vocabulary();
  vocabulary.pre = "klingon";
  try {
    Tokenizer::from_vocabulary(vocabulary);
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("klingon"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("smollm"), std::string::npos) << e.what();
  }
}

TEST(TokenizerTest, SpecialTextIsParsedOrSpelledOut) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  EXPECT_EQ(tokenizer.encode("<|end|>hello"), (Ids{kTinyEnd, kTinyHello}));
  EXPECT_EQ(tokenizer.encode("<|end|>", {.parse_special = false}), spelled("<|end|>"));
  EXPECT_EQ(tokenizer.encode("<tool>", {.parse_special = false}), Ids{kTinyTool});
}

// llama-bpe takes a piece that is a token whole, and merges may spell out a control token.
TEST(TokenizerTest, PlainTextNeverReachesAControlTokenThroughTheModel) {
  GgufVocabulary vocabulary = tiny_vocabulary();
  vocabulary.tokens.push_back("ab");
  vocabulary.merges.push_back("a b");
  vocabulary.token_types.push_back(GgufVocabulary::kControl);
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2"}) {
    vocabulary.pre = pre;
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(vocabulary);
    EXPECT_EQ(tokenizer.encode("ab"), Ids{105}) << pre;
    EXPECT_EQ(tokenizer.encode("ab", {.parse_special = false}), spelled("ab")) << pre;
  }
}

TEST(TokenizerTest, BosIsAddedOnlyWhenTheFileAndTheCallerWantIt) {
  GgufVocabulary vocabulary = tiny_vocabulary();
  vocabulary.add_bos = true;
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(vocabulary);
  EXPECT_EQ(tokenizer.encode("hello"), (Ids{kTinyUser, kTinyHello}));
  EXPECT_EQ(tokenizer.encode("hello", {.parse_special = false}), (Ids{kTinyUser, kTinyHello}));
  EXPECT_EQ(tokenizer.encode("hello", {.add_special_tokens = false}), Ids{kTinyHello});
  EXPECT_EQ(tokenizer.bos_id(), kTinyUser);
  EXPECT_EQ(tokenizer.eos_id(), kTinyEnd);
}

TEST(TokenizerTest, DecodeUndoesEncode) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  const std::string text = "hello hello, 12 <|end|> shells\n";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  EXPECT_EQ(tokenizer.decode({kTinyEnd, kTinyHello}, true), "hello");
  EXPECT_EQ(tokenizer.decode({kTinyHello, 4000000}), "hello");
  EXPECT_THROW(tokenizer.decode({-1}), DataError);
}

TEST(TokenizerTest, SingleTokensAndTheirText) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  EXPECT_EQ(tokenizer.single_token(" hello"), kTinySpaceHello);
  EXPECT_EQ(tokenizer.single_token("hello hello"), std::nullopt);
  EXPECT_EQ(tokenizer.single_token(""), std::nullopt);
  EXPECT_EQ(tokenizer.token_text(kTinySpaceHello), " hello");
  EXPECT_EQ(tokenizer.token_text(kTinyEnd), "<|end|>");
  EXPECT_THROW(tokenizer.token_text(105), DataError);
}

TEST(TokenizerTest, TextMustBeUtf8) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  try {
    tokenizer.encode("ab\xff");
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("offset 2"), std::string::npos) << e.what();
  }
}

TEST(TokenizerTest, TruncationAndPaddingOfTheFileAreSwitchedOff) {
  std::string json = compose_tokenizer_json(tiny_vocabulary());
  const std::string none = "\"truncation\":null";
  ASSERT_NE(json.find(none), std::string::npos);
  json.replace(
      json.find(none),
      none.size(),
      R"("truncation":{"direction":"Right","max_length":1,"strategy":"LongestFirst","stride":0})");
  EXPECT_EQ(Tokenizer::from_json(json).encode("hello hello").size(), 2);
}

TEST(GgufVocabularyTest, InconsistenciesAreNamed) {
  const auto message = [](auto&& change) -> std::string {
    GgufVocabulary vocabulary = tiny_vocabulary();
    change(vocabulary);
    try {
      Tokenizer::from_vocabulary(vocabulary);
    } catch (const DataError& e) {
      return e.what();
    }
    return "no error";
  };
  using V = GgufVocabulary;
  EXPECT_EQ(message([](V& v) { v.model = "bert"; }),
            "tokenizer.ggml.model: got \"bert\", expected \"gpt2\" (byte-level BPE) or \"llama\" "
            "(SentencePiece BPE)");
  EXPECT_NE(message([](V& v) { v.token_types.pop_back(); }).find("got 104 types"),
            std::string::npos);
  EXPECT_NE(message([](V& v) { v.bos_id = 105; }).find("bos_token_id"), std::string::npos);
  EXPECT_NE(message([](V& v) { v.tokens[5] = v.tokens[4]; }).find("twice"), std::string::npos);
  EXPECT_NE(message([](V& v) { v.merges.push_back("q z"); }).find("qz"), std::string::npos);
  EXPECT_NE(message([](V& v) { v.tokens[5] = "\xff"; }).find("UTF-8"), std::string::npos);
  EXPECT_NE(message([](V& v) { v.tokens.clear(); }).find("got none"), std::string::npos);
}

}  // namespace
}  // namespace rebound
