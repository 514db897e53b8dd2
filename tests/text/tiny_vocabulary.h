// A byte-level vocabulary small enough to know by heart.
//
//   0 <|end|>  1 <|user|>  2 <tool>   control, control, user-defined
//   3 .. 96    the printable ASCII characters "!" to "~", one token each
//   97 "\u0120" (space)   98 "\u010a" (newline)
//   99 "he"   100 "ll"   101 "hell"   102 "hello"   103 "\u0120hello"   104 "12"
#pragma once

#include <string>

#include "rebound/text/gguf_vocabulary.h"

namespace rebound {

inline GgufVocabulary tiny_vocabulary() {
  GgufVocabulary vocabulary;
  vocabulary.pre = "smollm";
  vocabulary.tokens = {"<|end|>", "<|user|>", "<tool>"};
  for (char c = '!'; c <= '~'; ++c) vocabulary.tokens.push_back(std::string(1, c));
  for (const char* token : {"\u0120", "\u010a", "he", "ll", "hell", "hello", "\u0120hello", "12"}) {
    vocabulary.tokens.push_back(token);
  }
  vocabulary.merges = {"h e", "l l", "he ll", "hell o", "\u0120 hello", "1 2"};
  vocabulary.token_types.assign(vocabulary.tokens.size(), 1);
  vocabulary.token_types[0] = vocabulary.token_types[1] = GgufVocabulary::kControl;
  vocabulary.token_types[2] = GgufVocabulary::kUserDefined;
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 0;
  return vocabulary;
}

constexpr int64_t kTinyEnd = 0;
constexpr int64_t kTinyUser = 1;
constexpr int64_t kTinyTool = 2;
constexpr int64_t kTinyNewline = 98;
constexpr int64_t kTinyHello = 102;
constexpr int64_t kTinySpaceHello = 103;
constexpr int64_t tiny_id(char c) { return 3 + (c - '!'); }

}  // namespace rebound
