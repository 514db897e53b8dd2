#include "rebound/audit/answer_suffix_prompt.h"

#include <torch/torch.h>

#include <algorithm>
#include <optional>

#include "rebound/base/error.h"

namespace rebound {
namespace {

using Tokens = std::vector<int64_t>;

// `text` over and over, cut to n tokens.
Tokens repeated(const Tokenizer& tokenizer, const char* text, int64_t n) {
  const Tokens once = tokenizer.encode(text, {.add_special_tokens = false, .parse_special = false});
  require<DataError>(
      !once.empty(), "suffix: got no token for \"", text, "\", expected at least one");
  Tokens tokens;
  while (static_cast<int64_t>(tokens.size()) < n) {
    tokens.push_back(once[tokens.size() % once.size()]);
  }
  return tokens;
}

// Empty where `longer` is not `plain` with something put in at one place.
std::optional<SplitPrompt> split_around(const Tokens& plain, const Tokens& longer) {
  const auto first = std::mismatch(plain.begin(), plain.end(), longer.begin(), longer.end()).first;
  const auto n_after = plain.end() - first;
  const bool is_inserted = longer.size() > plain.size() && first != plain.begin() &&
                           std::equal(first, plain.end(), longer.end() - n_after);
  if (!is_inserted) return std::nullopt;
  return SplitPrompt{{plain.begin(), first}, {first, plain.end()}};
}

}  // namespace

SplitPrompt split_at_content_end(const AnswerSubject& subject, const std::string& request) {
  const Tokens plain = subject.prompt_of(request);
  for (const char* appended : {" !", "!", " x"}) {
    const auto split = split_around(plain, subject.prompt_of(request + appended));
    if (split) return *split;
  }
  throw DataError(
      "chat template: got a prompt in which text appended to the request does not stand in one "
      "place, expected one that only grows (attackers at the input need it)");
}

at::Tensor printable_tokens(const Tokenizer& tokenizer, int64_t d_vocab) {
  const at::Tensor is_allowed = at::zeros({d_vocab}, at::kBool);
  bool* allowed = is_allowed.data_ptr<bool>();
  for (int64_t id = 0; id < d_vocab; ++id) {
    const std::string text = tokenizer.decode({id});  // empty where the vocabulary lacks it
    allowed[id] = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return c >= ' ' && c <= '~';
    });
  }
  for (const ControlToken& control : tokenizer.control_tokens()) {
    if (control.id < d_vocab) allowed[control.id] = false;
  }
  return is_allowed;
}

std::function<bool(const Tokens&)> survives_retokenisation(const AnswerSubject& subject,
                                                           const Request& request,
                                                           const SplitPrompt& split) {
  return [&subject, text = request.text, split](const Tokens& suffix) {
    Tokens wanted = split.before;
    wanted.insert(wanted.end(), suffix.begin(), suffix.end());
    wanted.insert(wanted.end(), split.after.begin(), split.after.end());
    return subject.prompt_of(text + subject.text_of(suffix)) == wanted;
  };
}

Tokens soft_suffix_start(const Tokenizer& tokenizer, int64_t n) {
  return repeated(tokenizer, " !", n);
}

Tokens hard_suffix_start(const AnswerSubject& subject,
                         const Request& request,
                         const SplitPrompt& split,
                         int64_t n) {
  const auto survives = survives_retokenisation(subject, request, split);
  for (const char* text : {" x", " !", "x", "!"}) {
    Tokens tokens = repeated(*subject.tokenizer, text, n);
    if (survives(tokens)) return tokens;
  }
  throw DataError(concat("request ",
                         request.id,
                         ": got no suffix of ",
                         n,
                         " tokens that its text encodes to again, expected x or ! over and over"));
}

}  // namespace rebound
