// Parity with transformers; tools/golden/make_text_golden.py made the files.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/text/load.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

fs::path default_model() {
  const char* home = std::getenv("HOME");
  const std::string name = "SmolLM2-135M-Instruct.Q4_1.gguf";
  for (const fs::path& folder : {fs::path(REBOUND_SOURCE_DIR) / "models",
                                 fs::path(home ? home : "") / ".cache" / "rebound"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  throw IoError(name +
                ": got none in models/ or ~/.cache/rebound, run scripts/fetch_default_model.sh");
}

Json golden(const char* name) {
  return read_json_file(fs::path(REBOUND_SOURCE_DIR) / "tests/text/golden" / name);
}

std::vector<ChatMessage> messages_of(const Json& chat) {
  std::vector<ChatMessage> messages;
  for (const Json& message : chat.at("messages")) {
    messages.push_back({message.at("role"), message.at("content")});
  }
  return messages;
}

class TextGoldenTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    tokenizer = new Tokenizer(load_tokenizer(default_model()));
    chat = new ChatTemplate(load_chat_template(default_model()).value());
  }
  static void TearDownTestSuite() {
    delete tokenizer;
    delete chat;
  }
  static inline Tokenizer* tokenizer = nullptr;
  static inline ChatTemplate* chat = nullptr;
};

TEST_F(TextGoldenTest, AwkwardStringsHaveTheIdsOfHuggingFace) {
  const Json rows = golden("strings.json");
  ASSERT_GE(rows.size(), 80);
  for (const Json& row : rows) {
    const std::string text = row.at("text");
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(ids, row.at("ids").get<Ids>()) << row.at("text");
    EXPECT_EQ(tokenizer->decode(ids), row.at("decoded").get<std::string>());
  }
}

TEST_F(TextGoldenTest, ConversationsHaveTheTextAndIdsOfHuggingFace) {
  const Json rows = golden("chats.json");
  ASSERT_GE(rows.size(), 5);
  for (const Json& row : rows) {
    const ChatOptions options = {.add_generation_prompt = row.at("add_generation_prompt")};
    EXPECT_EQ(chat->render(messages_of(row), options), row.at("rendered").get<std::string>());
    EXPECT_EQ(chat->encode_chat(*tokenizer, messages_of(row), options), row.at("ids").get<Ids>());
  }
}

TEST_F(TextGoldenTest, NoControlTokenComesOutOfPlainText) {
  for (const Json& row : golden("strings.json")) {
    const std::string text = row.at("text");
    const Ids ids = tokenizer->encode(text, {.parse_special = false});
    for (const int64_t id : ids) EXPECT_GT(id, 16) << row.at("text");
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
}

TEST_F(TextGoldenTest, AsContentNoStringChangesTheControlTokensOfAChat) {
  const auto controls = [&](const std::string& content) {
    Ids ids = chat->encode_chat(*tokenizer, {{"user", content}}, {.add_generation_prompt = true});
    std::erase_if(ids, [](int64_t id) { return id > 16; });
    return ids;
  };
  for (const Json& row : golden("strings.json")) {
    EXPECT_EQ(controls(row.at("text")), (Ids{1, 2, 1, 2, 1})) << row.at("text");
  }
}

TEST_F(TextGoldenTest, TheDefaultModelsSpecialTokensAreKnown) {
  EXPECT_EQ(tokenizer->vocabulary_size(), 49152);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->control_tokens().size(), 17);
  EXPECT_EQ(tokenizer->token_text(tokenizer->single_token(" Mary").value()), " Mary");
}

}  // namespace
}  // namespace rebound
