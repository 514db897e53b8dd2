#include "rebound/text/content_guard.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "rebound/base/error.h"

namespace rebound {
namespace {

// Private-use characters; one of them is new to any honest conversation.
constexpr std::array<std::string_view, 4> kMarks = {
    "\U0010FFF0", "\U0010FFF1", "\U0010FFF2", "\U0010FFF3"};

constexpr std::string_view kSpaces = " \t\n\r\v\f";

std::string choose_mark(const std::vector<std::string_view>& texts) {
  for (const std::string_view mark : kMarks) {
    const auto holds = [&](std::string_view text) {
      return text.find(mark) != std::string_view::npos;
    };
    if (std::none_of(texts.begin(), texts.end(), holds)) return std::string(mark);
  }
  throw DataError("chat messages: got all of U+10FFF0 to U+10FFF3, expected at least one unused");
}

bool is_whole_character(std::string_view text, size_t position) {
  return position >= text.size() || (static_cast<unsigned char>(text[position]) & 0xC0) != 0x80;
}

// The longest proper start of `token` that `text` ends with.
size_t open_end(std::string_view text, std::string_view token) {
  for (size_t size = std::min(text.size(), token.size() - 1); size > 0; --size) {
    if (text.ends_with(token.substr(0, size)) && is_whole_character(token, size)) return size;
  }
  return 0;
}

// The longest proper end of `token` that `text` starts with.
size_t open_start(std::string_view text, std::string_view token) {
  for (size_t size = std::min(text.size(), token.size() - 1); size > 0; --size) {
    const std::string_view end = token.substr(token.size() - size);
    if (text.starts_with(end) && is_whole_character(end, 0)) return size;
  }
  return 0;
}

}  // namespace

ContentGuard::ContentGuard(const std::vector<ControlToken>& control,
                           const std::vector<std::string_view>& texts)
    : control_(control), mark_(choose_mark(texts)) {
  std::erase_if(control_, [](const ControlToken& token) { return token.text.empty(); });
  const auto is_longer = [](const ControlToken& a, const ControlToken& b) {
    return a.text.size() > b.text.size();
  };
  std::stable_sort(control_.begin(), control_.end(), is_longer);
}

std::string ContentGuard::mask(std::string_view content) {
  const size_t begin = content.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return std::string(content);
  const size_t end = content.find_last_not_of(kSpaces) + 1;
  const std::string_view core = content.substr(begin, end - begin);

  size_t head = 0;
  size_t tail = 0;
  for (const ControlToken& token : control_) {
    const bool is_inside = token.text.find(core) != std::string::npos;
    head = is_inside ? core.size() : std::max(head, open_start(core, token.text));
    tail = std::max(tail, open_end(core, token.text));
    if (is_inside) break;
  }
  tail = std::min(tail, core.size() - head);
  std::string masked(content.substr(0, begin));
  if (head > 0) masked += mark_for(core.substr(0, head));
  masked += mask_inside(core.substr(head, core.size() - head - tail));
  if (tail > 0) masked += mark_for(core.substr(core.size() - tail));
  return masked.append(content.substr(end));
}

const ControlToken* ContentGuard::match_at(std::string_view text, size_t position) const {
  const std::string_view rest = text.substr(position);
  for (const ControlToken& token : control_) {
    if (rest.starts_with(token.text)) return &token;
  }
  return nullptr;
}

std::string ContentGuard::mask_inside(std::string_view text) {
  std::string masked;
  for (size_t position = 0; position < text.size();) {
    if (const ControlToken* token = match_at(text, position)) {
      masked += mark_for(token->text);
      position += token->text.size();
    } else {
      masked += text[position++];
    }
  }
  return masked;
}

std::string ContentGuard::mark_for(std::string_view hidden) {
  hidden_.emplace_back(hidden);
  return concat(mark_, hidden_.size() - 1, mark_);
}

bool ContentGuard::has_marks(std::string_view rendered) const {
  return rendered.find(mark_) != std::string_view::npos;
}

std::string ContentGuard::without_marks(std::string_view text) const {
  std::string plain;
  while (true) {
    const size_t open = text.find(mark_);
    plain += text.substr(0, open);
    if (open == std::string_view::npos) return plain;
    text.remove_prefix(open + mark_.size());
    const size_t close = std::min(text.find(mark_), text.size());
    size_t index = hidden_.size();
    const auto parsed = std::from_chars(text.data(), text.data() + close, index);
    const bool is_whole = close < text.size() && parsed.ptr == text.data() + close;
    require<DataError>(is_whole && index < hidden_.size(),
                       "chat template: got message content cut or changed where it holds the text "
                       "of a control token, expected it whole");
    plain += hidden_[index];
    text.remove_prefix(close + mark_.size());
  }
}

std::vector<PromptPiece> ContentGuard::split(std::string_view rendered) const {
  std::vector<PromptPiece> pieces;
  size_t begin = 0;
  const auto add_text = [&](size_t end) {
    if (end > begin) pieces.push_back({{}, without_marks(rendered.substr(begin, end - begin))});
  };
  for (size_t position = 0; position < rendered.size();) {
    const ControlToken* token = match_at(rendered, position);
    if (!token) {
      ++position;
      continue;
    }
    add_text(position);
    pieces.push_back({token->id, token->text});
    begin = position += token->text.size();
  }
  add_text(rendered.size());
  return pieces;
}

}  // namespace rebound
