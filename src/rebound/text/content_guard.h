// Keeps message content from turning into control tokens inside a rendered chat.
//
// Before rendering, each piece of content that is the text of a control token - or, at an edge, a
// part of one that the template could complete - is replaced by a mark that no text contains.
// Afterwards the marks say which stretches of the prompt need plain encoding; nothing else of the
// content is touched, so templates that look into it (trim, split, in) still work.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rebound/text/tokenizer.h"

namespace rebound {

// A control token of the prompt, or the text between two of them.
struct PromptPiece {
  std::optional<int64_t> control_id;
  std::string text;  // without marks
};

class ContentGuard {
 public:
  // `texts`: everything that will meet in the prompt, so that the mark is new to all of it.
  ContentGuard(const std::vector<ControlToken>& control,
               const std::vector<std::string_view>& texts);

  std::string mask(std::string_view content);
  bool has_marks(std::string_view rendered) const;
  // Throws DataError when the template cut through a mark.
  std::vector<PromptPiece> split(std::string_view rendered) const;

 private:
  const ControlToken* match_at(std::string_view text, size_t position) const;
  std::string mask_inside(std::string_view text);
  std::string mark_for(std::string_view hidden);
  std::string without_marks(std::string_view text) const;

  std::vector<ControlToken> control_;  // longest first
  std::string mark_;
  std::vector<std::string> hidden_;
};

}  // namespace rebound
