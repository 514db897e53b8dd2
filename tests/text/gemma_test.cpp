// Parity with SentencePiece; tools/golden/make_gemma_text_golden.py made the file.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

fs::path gemma_path() {
  const char* home = std::getenv("HOME");
  const std::string name = "gemma-3-270m-q4_k_m.gguf";
  for (const fs::path& folder : {fs::path(REBOUND_SOURCE_DIR) / "models",
                                 fs::path(home ? home : "") / ".cache" / "rebound"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return {};
}

class GemmaTextTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (gemma_path().empty()) return;
    tokenizer = new Tokenizer(load_tokenizer(gemma_path()));
    golden = new Json(
        read_json_file(fs::path(REBOUND_SOURCE_DIR) / "tests/text/golden/gemma3.json"));
  }
  static void TearDownTestSuite() {
    delete tokenizer;
    delete golden;
  }
  void SetUp() override {
    if (!tokenizer) GTEST_SKIP() << "no gemma-3-270m-q4_k_m.gguf: run scripts/fetch_gemma3.sh";
  }
  static inline Tokenizer* tokenizer = nullptr;
  static inline Json* golden = nullptr;
};

TEST_F(GemmaTextTest, AwkwardStringsHaveTheIdsOfSentencePiece) {
  const Json& rows = golden->at("strings");
  ASSERT_GE(rows.size(), 80u);
  for (const Json& row : rows) {
    const std::string text = row.at("text");
    const Ids ids = tokenizer->encode(text, {.add_special_tokens = false});
    EXPECT_EQ(ids, row.at("ids").get<Ids>()) << row.at("text");
    EXPECT_EQ(tokenizer->decode(ids), row.at("decoded").get<std::string>()) << row.at("text");
    EXPECT_EQ(tokenizer->encode(text, {.prepend_bos = false, .parse_special = false}),
              row.at("plain_ids").get<Ids>())
        << row.at("text");
  }
}

TEST_F(GemmaTextTest, BosIsInFrontUnlessItIsNotWanted) {
  const Ids ids = tokenizer->encode("Hi");
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], tokenizer->bos_id());
  EXPECT_EQ(tokenizer->encode("Hi", {.prepend_bos = false}), Ids{ids[1]});
}

TEST_F(GemmaTextTest, ConversationsHaveTheTextAndIdsOfTheTemplate) {
  const Json& rows = golden->at("chats");
  if (rows.empty()) GTEST_SKIP() << "the file has no chat template";
  const auto chat = load_chat_template(gemma_path());
  for (const Json& row : rows) {
    std::vector<ChatMessage> messages;
    for (const Json& message : row.at("messages")) {
      messages.push_back({message.at("role"), message.at("content")});
    }
    const ChatOptions options = {.add_generation_prompt = row.at("add_generation_prompt")};
    EXPECT_EQ(chat->render(messages, options), row.at("rendered").get<std::string>());
    EXPECT_EQ(chat->encode_chat(*tokenizer, messages, options), row.at("ids").get<Ids>());
  }
}

}  // namespace
}  // namespace rebound
