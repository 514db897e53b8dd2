// Where a suffix to the user's content stands in a chat prompt, and which suffixes may stand there.
//
//   before | suffix | after     before + after: the prompt of the request as it is
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rebound/audit/answer_subject.h"

namespace rebound {

struct SplitPrompt {
  std::vector<int64_t> before, after;
};

// Found by appending text to the request. DataError where the template does not put such a text in
// one place.
SplitPrompt split_at_content_end(const AnswerSubject& subject, const std::string& request);

// Tokens of printable ASCII that are no control tokens, [d_vocab] bool (as nanoGCG).
at::Tensor printable_tokens(const Tokenizer& tokenizer, int64_t d_vocab);

// Whether a suffix's text, typed behind the request, gives these very tokens at that place.
// `subject` must outlive it; it may be asked on many threads.
std::function<bool(const std::vector<int64_t>&)> survives_retokenisation(
    const AnswerSubject& subject, const Request& request, const SplitPrompt& split);

// n tokens to start from: " !" over and over; for a hard suffix " x", else the first of " !", "x"
// and "!" that survives retokenisation. DataError naming the request where none does.
std::vector<int64_t> soft_suffix_start(const Tokenizer& tokenizer, int64_t n);
std::vector<int64_t> hard_suffix_start(const AnswerSubject& subject,
                                       const Request& request,
                                       const SplitPrompt& split,
                                       int64_t n);

}  // namespace rebound
