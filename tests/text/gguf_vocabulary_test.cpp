#include "rebound/text/gguf_vocabulary.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/text/load.h"
#include "rebound/text/tokenizer_json.h"
#include "support/failures.h"
#include "support/gguf_file.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

using Ids = std::vector<int64_t>;

Tokenizer load(const GgufKeys& keys) {
  const auto path = fresh_folder("vocabulary") / "model.gguf";
  write_file_atomically(path, keys.file());
  return load_tokenizer(path);
}

std::string error_of(const GgufKeys& keys) {
  const std::string text = message_of<DataError>([&] { load(keys); });
  return text.substr(text.find("model.gguf: ") + 12);
}

GgufKeys tiny_keys(const char* architecture = "llama") {
  const GgufVocabulary tiny = tiny_vocabulary();
  return GgufKeys()
      .add("general.architecture", architecture)
      .add("tokenizer.ggml.model", "gpt2")
      .add("tokenizer.ggml.tokens", tiny.tokens)
      .add("tokenizer.ggml.merges", tiny.merges)
      .add("tokenizer.ggml.token_type", tiny.token_types)
      .add("tokenizer.ggml.eos_token_id", uint32_t{kTinyEnd});
}

TEST(GgufVocabularyFileTest, EndsOfATurnAreThoseOfAllKeys) {
  GgufKeys keys = tiny_keys().add("tokenizer.ggml.pre", "gpt-2");
  EXPECT_EQ(end_of_turn_tokens(load(keys)), std::set<int64_t>{kTinyEnd});
  keys.add("tokenizer.ggml.eot_token_id", uint32_t{kTinyUser});
  keys.add("tokenizer.ggml.eom_token_id", uint32_t{kTinyTool});
  EXPECT_EQ(end_of_turn_tokens(load(keys)), (std::set<int64_t>{kTinyEnd, kTinyUser, kTinyTool}));
}

TEST(GgufVocabularyFileTest, AnEndOutsideTheVocabularyIsRefused) {
  for (const std::string key : {"eot_token_id", "eom_token_id"}) {
    const GgufKeys keys =
        tiny_keys().add("tokenizer.ggml.pre", "gpt-2").add("tokenizer.ggml." + key, 105u);
    EXPECT_EQ(
        error_of(keys),
        "tokenizer.ggml." + key + ": got 105, expected an id below the number of tokens, 105");
  }
}

TEST(GgufVocabularyFileTest, WithoutThePreTokenizerOnlyGpt2AndNeoxAreRead) {
  EXPECT_EQ(load(tiny_keys("gpt2")).encode("12"), Ids{104});
  EXPECT_EQ(load(tiny_keys("gpt2").add("tokenizer.ggml.pre", "default")).encode("12"), Ids{104});
  EXPECT_EQ(load(tiny_keys("gptneox")).encode("12"), Ids{104});
  const std::string rest =
      ", expected a name of how text is cut, without which ids would be wrong; convert the model "
      "anew with a newer llama.cpp";
  EXPECT_EQ(error_of(tiny_keys("qwen2")), "tokenizer.ggml.pre: got none" + rest);
  EXPECT_EQ(error_of(tiny_keys("llama").add("tokenizer.ggml.pre", "default")),
            "tokenizer.ggml.pre: got \"default\"" + rest);
}

TEST(GgufVocabularyFileTest, NeoxTextsAreNormalizedAndGpt2sAreNot) {
  GgufVocabulary vocabulary = tiny_vocabulary();
  for (const char* pre : {"olmo", "mpt"}) {
    vocabulary.pre = pre;
    EXPECT_NE(compose_tokenizer_json(vocabulary).find("\"NFC\""), std::string::npos) << pre;
  }
  vocabulary.pre = "gpt-2";
  EXPECT_EQ(compose_tokenizer_json(vocabulary).find("\"NFC\""), std::string::npos);
}

constexpr int64_t kPhiBos = 1, kPhiLineEnd = 13, kPhiUser = 259, kPhiAssistant = 260, kPhiEnd = 261,
                  kPhiText = 262, kPhiSpace = 263, kPhiSpaceS = 268, kPhiYs = 269, kPhiHi = 270;

// 0 <unk>  1 <s>  2 </s>  3 .. 258 bytes, then those above; kPhiText is <|endoftext|>.
GgufKeys phi_keys(const char* architecture, const char* name) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int64_t> types = {2, GgufVocabulary::kControl, GgufVocabulary::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", byte);
    tokens.push_back(text);
    types.push_back(6);
  }
  for (const char* text : {"<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"}) {
    tokens.push_back(text);
    types.push_back(GgufVocabulary::kControl);
  }
  for (const char* text : {"\u2581", "S", "Y", "H", "I", "\u2581S", "YS", "HI"}) {
    tokens.push_back(text);
    types.push_back(GgufVocabulary::kNormal);
  }
  std::vector<double> scores;
  for (size_t id = 0; id < tokens.size(); ++id) scores.push_back(-static_cast<double>(id));
  return GgufKeys()
      .add("general.architecture", architecture)
      .add("general.name", name)
      .add("tokenizer.ggml.model", "llama")
      .add("tokenizer.ggml.tokens", tokens)
      .add("tokenizer.ggml.scores", scores)
      .add("tokenizer.ggml.token_type", types)
      .add("tokenizer.ggml.bos_token_id", uint32_t{kPhiBos});
}

constexpr const char* kPhiPrompt = "<|user|>\nSYS\nHI<|end|>\n<|assistant|>\n";

// llama.cpp's ids of Phi-3 mini: 1, 32010, 317, 21554, 13, 17628, 32007, 32001.
TEST(GgufVocabularyFileTest, ControlTokensOfPhi3TakeTheWhiteSpaceAfterThem) {
  const Ids expected = {
      kPhiBos, kPhiUser, kPhiSpaceS, kPhiYs, kPhiLineEnd, kPhiHi, kPhiEnd, kPhiAssistant};
  EXPECT_EQ(load(phi_keys("phi3", "")).encode(kPhiPrompt), expected);
  EXPECT_EQ(load(phi_keys("llama", "My Phi-3 mini")).encode(kPhiPrompt), expected);
  EXPECT_EQ(load(phi_keys("llama", "phi3")).encode(kPhiPrompt), expected);
  const Ids others = load(phi_keys("llama", "Llama 2")).encode(kPhiPrompt);
  EXPECT_EQ(Ids(others.begin(), others.begin() + 4),
            (Ids{kPhiBos, kPhiUser, kPhiSpace, kPhiLineEnd}));
  EXPECT_EQ(load(phi_keys("phi3", "")).encode("<|endoftext|>\nHI"),
            (Ids{kPhiBos, kPhiText, kPhiSpace, kPhiLineEnd, kPhiHi}));
}

TEST(GgufVocabularyFileTest, ContentOfAPhi3ChatIsCutAsInAWholePrompt) {
  const Tokenizer tokenizer = load(phi_keys("phi3", ""));
  const ChatTemplate chat("<|user|>\n{{ messages[0].content }}<|end|>\n<|assistant|>\n");
  for (const std::string content : {"SYS\nHI", "\u3000SYS>", "> \u00a0HI <"}) {
    EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", content}}),
              tokenizer.encode("<|user|>\n" + content + "<|end|>\n<|assistant|>\n",
                               {.add_special_tokens = false}))
        << content;
  }
}

}  // namespace
}  // namespace rebound
