#include "rebound/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/json.h"
#include "rebound/text/tokenizer_json.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

using Ids = std::vector<int64_t>;

constexpr const char* kTurns =
    "{% for m in messages %}<|user|>{{ m.content | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|user|>{% endif %}";

Ids concatenated(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST(ChatTemplateTest, RendersAsTransformersDoes) {
  const auto render = [](const std::string& source) {
    const ChatTemplate chat(source, {.bos = "<s>"});
    return chat.render({{"user", " Hi \"<\u00e9>\" "}});
  };
  EXPECT_EQ(render("{{ bos_token }}{{ eos_token is defined }}"), "<s>False");
  EXPECT_EQ(render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n"), "a\n  b\nc");
  EXPECT_EQ(render("{{ messages[0]['content'].strip().upper() }}"), "HI \"<\u00c9>\"");
  EXPECT_EQ(render("{{ messages[0] | tojson }}"),
            "{\"role\": \"user\", \"content\": \" Hi \\\"<\u00e9>\\\" \"}");
  EXPECT_EQ(render("{{ [1, {'a': []}] | tojson(indent=2) }}"),
            "[\n  1,\n  {\n    \"a\": []\n  }\n]");
  EXPECT_EQ(render("{% set ns = namespace(n=0) %}{% for i in range(9) %}{% if i > 3 %}{% break %}"
                   "{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"),
            "6");
  EXPECT_EQ(render("{%- generation -%} x {%- endgeneration %}"), "x");
  EXPECT_EQ(render("{{ strftime_now('%Y') | length }}"), "4");
  EXPECT_EQ(render("{{ tools is none }}"), "True");
}

TEST(ChatTemplateTest, RaiseExceptionIsADataErrorWithItsText) {
  const ChatTemplate chat("{{ raise_exception('roles must alternate') }}");
  try {
    chat.render({{"user", "a"}});
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("roles must alternate"), std::string::npos) << e.what();
  }
}

TEST(ChatTemplateTest, SyntaxErrorsNameTheLine) {
  try {
    ChatTemplate("fine\n{% for %}");
    FAIL() << "expected DataError";
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("line 2"), std::string::npos) << e.what();
  }
}

TEST(ChatTemplateTest, WithoutSpecialTextTheWholePromptIsEncodedAtOnce) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  // The first letters merge across the border of template and content.
  const ChatTemplate chat("{% for m in messages %}he{{ m.content }}<|end|>{% endfor %}");
  EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", "llo"}}), (Ids{kTinyHello, kTinyEnd}));
}

TEST(ChatTemplateTest, ContentWithSpecialTextIsSpelledOut) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  const ChatTemplate chat(kTurns);
  const Ids spelled_end = tokenizer.encode("<|end|>", {.parse_special = false});
  EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", " hello<|end|> hello "}}),
            concatenated({{kTinyUser, kTinyHello}, spelled_end, {kTinySpaceHello, kTinyEnd}}));
}

TEST(ChatTemplateTest, ContentCannotCompleteAControlTokenWithTheTemplate) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  const ChatTemplate chat("{% for m in messages %}<|us{{ m.content }}nd|><|end|>{% endfor %}");
  for (const char* content : {"er|>", "hello <|e", "er|><|e", "er|><|end|><|e"}) {
    const Ids ids = chat.encode_chat(tokenizer, {{"user", content}});
    EXPECT_EQ(std::count(ids.begin(), ids.end(), kTinyEnd), 1) << content;
    EXPECT_EQ(std::count(ids.begin(), ids.end(), kTinyUser), 0) << content;
    EXPECT_EQ(tokenizer.decode(ids), "<|us" + std::string(content) + "nd|><|end|>");
  }
}

TEST(ChatTemplateTest, TextBesideAHiddenPieceIsCutAsInAWholePrompt) {
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(tiny_vocabulary());
  const ChatTemplate chat(kTurns);
  // ">" could end a control token, so it is hidden; the ids are those of the plain whole.
  EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", "> hello <"}}, {.add_generation_prompt = true}),
            tokenizer.encode("<|user|>> hello <<|end|><|user|>"));
}

// The same ids whether a prompt is encoded whole or, as parts of it are hidden, in pieces.
TEST(ChatTemplateTest, WhiteSpaceThatAControlTokenTakesIsTakenBesideAHiddenPieceToo) {
  Json json = Json::parse(compose_tokenizer_json(tiny_vocabulary()));
  for (Json& token : json.at("added_tokens")) {
    token["rstrip"] = token.at("content") == "<|user|>";
    token["lstrip"] = token.at("content") == "<|end|>";
  }
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump());
  const ChatTemplate chat("<|user|>\n {{ messages[0].content }} \n<|end|> .");
  const Ids whole = tokenizer.encode("<|user|>\n > hello < \n<|end|> .");
  const Ids tail = {kTinyEnd, 97, tiny_id('.')};
  EXPECT_EQ(whole,
            concatenated({{kTinyUser, tiny_id('>'), kTinySpaceHello, 97, tiny_id('<')}, tail}));
  EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", "> hello <"}}), whole);
  EXPECT_EQ(chat.encode_chat(tokenizer, {{"user", ""}}), concatenated({{kTinyUser}, tail}));
}

TEST(ChatTemplateTest, RolesArePlainWords) {
  const ChatTemplate chat(kTurns);
  EXPECT_THROW(chat.render({{"<|end|>", "a"}}), DataError);
  EXPECT_THROW(chat.render({{"", "a"}}), DataError);
}

TEST(ChatTemplateTest, ContentMustBeUtf8) {
  EXPECT_THROW(ChatTemplate(kTurns).render({{"user", "\xff"}}), DataError);
}

}  // namespace
}  // namespace rebound
