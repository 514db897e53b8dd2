#include "rebound/text/load.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/text/tokenizer_json.h"
#include "support/failures.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

class LoadTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / concat("rebound_load_test_", ::getpid());
    fs::create_directories(folder_);
    write("tokenizer.json", compose_tokenizer_json(tiny_vocabulary()));
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const char* name, const std::string& text) {
    write_file_atomically(folder_ / name, text);
  }
  fs::path folder_;
};

TEST_F(LoadTest, FolderGivesTokenizerAndSpecialTokens) {
  write("tokenizer_config.json",
        R"({"bos_token": {"content": "<|user|>"}, "eos_token": "<|end|>", "pad_token": "<|none|>",
            "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ pad_token is defined }}"})");
  const Tokenizer tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer.bos_id(), kTinyUser);
  EXPECT_EQ(tokenizer.eos_id(), kTinyEnd);
  EXPECT_EQ(tokenizer.special_texts().pad, std::nullopt);
  const auto chat = load_chat_template(folder_);
  ASSERT_TRUE(chat.has_value());
  EXPECT_EQ(chat->render({{"user", "hello"}}), "<|user|>helloTrue");
  EXPECT_EQ(chat->encode_chat(tokenizer, {{"user", "hello"}}).front(), kTinyUser);
}

TEST_F(LoadTest, TheDefaultTemplateOfAListIsTaken) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "no"},
                              {"name": "default", "template": "yes"}]})");
  EXPECT_EQ(load_chat_template(folder_)->source(), "yes");
  write("chat_template.jinja", "file");
  EXPECT_EQ(load_chat_template(folder_)->source(), "file");
}

TEST_F(LoadTest, AFolderWithoutTemplateHasNone) {
  EXPECT_FALSE(load_chat_template(folder_).has_value());
  EXPECT_EQ(load_tokenizer(folder_).bos_id(), std::nullopt);
}

TEST_F(LoadTest, EndsOfATurnAreThoseOfAllFiles) {
  using Set = std::set<int64_t>;
  EXPECT_EQ(end_of_turn_tokens(load_tokenizer(folder_)), Set{kTinyEnd});  // by its text
  write("generation_config.json", R"({"eos_token_id": [0, 1]})");
  EXPECT_EQ(end_of_turn_tokens(load_tokenizer(folder_)), (Set{kTinyEnd, kTinyUser}));
  write("config.json", R"({"eos_token_id": 2})");
  EXPECT_EQ(end_of_turn_tokens(load_tokenizer(folder_)), (Set{kTinyEnd, kTinyUser, kTinyTool}));
  write("generation_config.json", R"({"eos_token_id": null})");
  EXPECT_EQ(end_of_turn_tokens(load_tokenizer(folder_)), (Set{kTinyEnd, kTinyTool}));
}

TEST_F(LoadTest, AnEndOutsideTheVocabularyIsRefused) {
  const auto message = [&] {
    const std::string text = message_of<DataError>([&] { load_tokenizer(folder_); });
    return text.substr(text.rfind('/') + 1);
  };
  write("generation_config.json", R"({"eos_token_id": [0, 105]})");
  EXPECT_EQ(message(),
            "generation_config.json: eos_token_id: got 105, expected one of the vocabulary's 105");
  write("generation_config.json", R"({"eos_token_id": -1})");
  EXPECT_NE(message().find("got -1"), std::string::npos);
  fs::remove(folder_ / "generation_config.json");
  write("config.json", R"({"eos_token_id": "<|end|>"})");
  EXPECT_EQ(message(), "config.json: eos_token_id: got string, expected an id or a list of ids");
}

// As transformers 5.23 reads it: with a tokenizer.json, its post-processor alone decides.
TEST_F(LoadTest, WhetherBosIsAddedIsUpToTokenizerJson) {
  const std::vector<int64_t> plain = {kTinyHello}, with_bos = {kTinyUser, kTinyHello};
  write("tokenizer_config.json",
        R"({"bos_token": "<|user|>", "eos_token": "<|end|>",
            "add_bos_token": true, "add_eos_token": true})");
  EXPECT_EQ(load_tokenizer(folder_).encode("hello"), plain);
  GgufVocabulary vocabulary = tiny_vocabulary();
  vocabulary.add_bos = true;
  write("tokenizer.json", compose_tokenizer_json(vocabulary));
  write("tokenizer_config.json", R"({"bos_token": "<|user|>", "add_bos_token": false})");
  EXPECT_EQ(load_tokenizer(folder_).encode("hello"), with_bos);
}

TEST_F(LoadTest, BadFilesAreNamed) {
  write("tokenizer_config.json", "{\"chat_template\": ");
  EXPECT_THROW(load_tokenizer(folder_), DataError);
  fs::remove(folder_ / "tokenizer_config.json");
  write("tokenizer.json", "{}");
  try {
    load_tokenizer(folder_);
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("tokenizer.json"), std::string::npos) << e.what();
  }
  fs::remove(folder_ / "tokenizer.json");
  EXPECT_THROW(load_tokenizer(folder_), IoError);
  EXPECT_THROW(load_tokenizer(folder_ / "nothing.gguf"), IoError);
}

}  // namespace
}  // namespace rebound
