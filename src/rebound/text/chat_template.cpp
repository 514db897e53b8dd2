#include "rebound/text/chat_template.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "rebound/base/error.h"
#include "rebound/text/content_guard.h"
#include "rebound/text/hf_call.h"

namespace rebound {
namespace {

using OrderedJson = nlohmann::ordered_json;

bool is_role(const std::string& role) {
  const auto is_plain = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  return !role.empty() && std::all_of(role.begin(), role.end(), is_plain);
}

OrderedJson messages_json(const std::vector<ChatMessage>& messages) {
  OrderedJson list = OrderedJson::array();
  for (const ChatMessage& message : messages) {
    require<DataError>(is_role(message.role),
                       "chat message ",
                       list.size(),
                       ": role: got \"",
                       message.role,
                       "\", expected letters, digits, - and _");
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return list;
}

// The variables that `transformers` gives to a template.
std::string context_json(const std::vector<ChatMessage>& messages,
                         const SpecialTexts& special,
                         ChatOptions options) {
  OrderedJson context = {{"messages", messages_json(messages)},
                         {"tools", nullptr},
                         {"documents", nullptr},
                         {"add_generation_prompt", options.add_generation_prompt}};
  const auto set = [&](const char* name, const std::optional<std::string>& text) {
    if (text) context[name] = *text;
  };
  set("bos_token", special.bos);
  set("eos_token", special.eos);
  set("unk_token", special.unk);
  set("pad_token", special.pad);
  try {
    return context.dump();
  } catch (const OrderedJson::exception&) {
    throw DataError("chat messages: got bytes that are not UTF-8, expected UTF-8");
  }
}

const ControlToken* find_control(const Tokenizer& tokenizer, int64_t id) {
  const auto& control = tokenizer.control_tokens();  // by id
  const auto at =
      std::lower_bound(control.begin(), control.end(), id, [](const auto& token, int64_t i) {
        return token.id < i;
      });
  return at == control.end() || at->id != id ? nullptr : &*at;
}

// Unicode's White_Space, which is what `tokenizers` strips.
constexpr std::array<std::string_view, 25> kWhiteSpace = {
    "\t",     "\n",     "\v",     "\f",     "\r",     " ",      "\u0085", "\u00a0", "\u1680",
    "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
    "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

size_t space_at_start(std::string_view text) {
  for (const std::string_view space : kWhiteSpace) {
    if (text.starts_with(space)) return space.size();
  }
  return 0;
}

size_t space_at_end(std::string_view text) {
  for (const std::string_view space : kWhiteSpace) {
    if (text.ends_with(space)) return space.size();
  }
  return 0;
}

// The text of pieces[i] without the white space that the control tokens beside it take.
std::string_view stripped_text(const Tokenizer& tokenizer,
                               const std::vector<PromptPiece>& pieces,
                               size_t i) {
  const auto control_at = [&](size_t at) -> const ControlToken* {
    if (at >= pieces.size() || !pieces[at].control_id) return nullptr;
    return find_control(tokenizer, *pieces[at].control_id);
  };
  std::string_view text = pieces[i].text;
  const ControlToken* before = i > 0 ? control_at(i - 1) : nullptr;
  const ControlToken* after = control_at(i + 1);
  while (before && before->strips_right && space_at_start(text) > 0) {
    text.remove_prefix(space_at_start(text));
  }
  while (after && after->strips_left && space_at_end(text) > 0) {
    text.remove_suffix(space_at_end(text));
  }
  return text;
}

std::vector<int64_t> encode_pieces(const Tokenizer& tokenizer,
                                   const std::vector<PromptPiece>& pieces) {
  std::vector<int64_t> ids;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (pieces[i].control_id) {
      ids.push_back(*pieces[i].control_id);
      continue;
    }
    const std::string_view plain = stripped_text(tokenizer, pieces, i);
    if (plain.empty()) continue;
    const auto text =
        tokenizer.encode(plain, {.add_special_tokens = false, .parse_special = false});
    ids.insert(ids.end(), text.begin(), text.end());
  }
  return ids;
}

std::vector<int64_t> controls_among(const Tokenizer& tokenizer, std::vector<int64_t> ids) {
  std::erase_if(ids, [&](int64_t id) { return !find_control(tokenizer, id); });
  return ids;
}

std::vector<int64_t> controls_among(const std::vector<PromptPiece>& pieces) {
  std::vector<int64_t> ids;
  for (const PromptPiece& piece : pieces) {
    if (piece.control_id) ids.push_back(*piece.control_id);
  }
  return ids;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source, SpecialTexts special)
    : source_(std::move(source)), special_(std::move(special)) {
  with_context("chat template", [&] {
    hf::take_text([&](rebound_hf_bytes* bytes) {
      return rebound_hf_template_check(hf::view(source_), bytes);
    });
  });
}

std::string ChatTemplate::render(const std::vector<ChatMessage>& messages,
                                 ChatOptions options) const {
  const std::string context = context_json(messages, special_, options);
  return with_context("chat template", [&] {
    return hf::take_text([&](rebound_hf_bytes* bytes) {
      return rebound_hf_template_render(hf::view(source_), hf::view(context), bytes);
    });
  });
}

std::vector<int64_t> ChatTemplate::encode_chat(const Tokenizer& tokenizer,
                                               const std::vector<ChatMessage>& messages,
                                               ChatOptions options) const {
  std::vector<std::string_view> texts = {source_};
  for (const ChatMessage& message : messages) texts.push_back(message.content);
  ContentGuard guard(tokenizer.control_tokens(), texts);
  std::vector<ChatMessage> masked = messages;
  for (ChatMessage& message : masked) message.content = guard.mask(message.content);

  const std::string rendered = render(masked, options);
  const std::vector<PromptPiece> pieces = guard.split(rendered);
  if (!guard.has_marks(rendered)) {
    auto ids = tokenizer.encode(rendered, {.add_special_tokens = false});
    // A normalizer may still have made a control token out of content.
    if (controls_among(tokenizer, ids) == controls_among(pieces)) return ids;
  }
  return encode_pieces(tokenizer, pieces);
}

}  // namespace rebound
