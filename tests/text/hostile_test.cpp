// Files from strangers: every outcome but an answer is a DataError, never a crash.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "rebound/text/chat_template.h"
#include "rebound/text/tokenizer.h"
#include "rebound/text/tokenizer_json.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

constexpr const char* kUnigram = R"({"version":"1.0","truncation":null,"padding":null,
"added_tokens":[{"id":1,"content":"</s>","single_word":false,"lstrip":true,"rstrip":false,
"normalized":false,"special":true}],
"normalizer":{"type":"Sequence","normalizers":[{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},
{"type":"Lowercase"}]},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},
{"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}},
"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0.0],["</s>",-1.0],["▁a",-2.0],["b",-3.0],
["▁",-4.0],["a",-4.5]]}})";

// Whether the tokenizer could be built; whatever it then does must be an answer or a DataError.
bool try_everything(const std::string& json) {
  try {
    const Tokenizer tokenizer = Tokenizer::from_json(json);
    tokenizer.decode(tokenizer.encode("hello <|end|></s> 12 ab"));
    tokenizer.encode("hello <|end|></s> 12 ab", {.parse_special = false});
    return true;
  } catch (const DataError&) {
    return false;
  }
}

std::string mutated(std::string json, Rng& rng) {
  const std::string bytes = "\"{}[]:,0129eE.-\\ntu\x80\xff\0z|>";
  const int64_t changes = 1 + rng.below(4);
  for (int64_t i = 0; i < changes; ++i) {
    const size_t at = static_cast<size_t>(rng.below(static_cast<int64_t>(json.size())));
    const char byte = bytes[static_cast<size_t>(rng.below(static_cast<int64_t>(bytes.size())))];
    switch (rng.below(4)) {
      case 0:
        json[at] = byte;
        break;
      case 1:
        json.insert(at, 1, byte);
        break;
      case 2:
        json.erase(at, static_cast<size_t>(1 + rng.below(8)));
        break;
      default:
        json.insert(at, json.substr(at, static_cast<size_t>(rng.below(40))));
        break;
    }
    if (json.empty()) return json;
  }
  return json;
}

TEST(HostileTest, MutatedTokenizersNeverCrash) {
  for (const std::string& base :
       {compose_tokenizer_json(tiny_vocabulary()), std::string(kUnigram)}) {
    ASSERT_TRUE(try_everything(base));
    Rng rng({20260101});
    int built = 0;
    for (int i = 0; i < 2000; ++i) built += try_everything(mutated(base, rng));
    EXPECT_GT(built, 20);
    EXPECT_LT(built, 1980);
  }
}

TEST(HostileTest, TruncatedTokenizersAreDataErrors) {
  const std::string json = compose_tokenizer_json(tiny_vocabulary());
  for (size_t size = 0; size < json.size(); size += 7) {
    EXPECT_THROW(Tokenizer::from_json(json.substr(0, size)), DataError) << size;
  }
}

TEST(HostileTest, WrongTypesAndDepthAreDataErrors) {
  for (const std::string& json : {std::string("null"),
                                  std::string("[]"),
                                  std::string("{}"),
                                  std::string("{\"model\":7}"),
                                  std::string("\xff\xfe"),
                                  std::string(100000, '['),
                                  std::string(R"({"model":{"type":"Magic"}})")}) {
    EXPECT_THROW(Tokenizer::from_json(json), DataError) << json.substr(0, 40);
  }
}

void expect_refused(const std::string& source, const std::string& reason) {
  try {
    ChatTemplate(source).render({{"user", "a"}});
    ADD_FAILURE() << "expected DataError: " << source.substr(0, 60);
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
  }
}

TEST(HostileTest, TemplatesWithoutEndRunOutOfFuel) {
  std::string loops = "x";
  for (int i = 0; i < 6; ++i) loops = "{% for i in range(99999) %}" + loops + "{% endfor %}";
  expect_refused(loops, "fuel");
}

TEST(HostileTest, TemplatesThatEatMemoryAreStopped) {
  std::string doubling = "{% set s = 'abcdefgh' %}";
  for (int i = 0; i < 60; ++i) doubling += "{% set s = s ~ s %}";
  expect_refused(doubling, "MiB");
  expect_refused("{{ ('a' * 99999999999) | length }}", "too large");
}

TEST(HostileTest, BadTemplatesAreDataErrors) {
  expect_refused("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion");
  expect_refused("{{ " + std::string(100000, '(') + " }}", "recursion");
  expect_refused("{{ messages.nothing.more }}", "undefined");
  expect_refused("{{ strftime_now('%') }}", "bad format");
  expect_refused("{% include 'other' %}", "other");
  expect_refused("\xff", "UTF-8");
}

TEST(HostileTest, MutatedTemplatesNeverCrash) {
  const std::string base =
      "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|user|>' + m['content'] | trim }}"
      "{% else %}{{ m | tojson(indent=2) }}{% endif %}{{ m.content.split('a')[0] }}{% endfor %}";
  Rng rng({7});
  int rendered = 0;
  for (int i = 0; i < 2000; ++i) {
    try {
      ChatTemplate(mutated(base, rng)).render({{"user", "a"}});
      ++rendered;
    } catch (const DataError&) {
    }
  }
  EXPECT_GT(rendered, 20);
  EXPECT_LT(rendered, 1980);
}

}  // namespace
}  // namespace rebound
