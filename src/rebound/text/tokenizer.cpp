#include "rebound/text/tokenizer.h"

#include <utility>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/text/hf_call.h"
#include "rebound/text/tokenizer_json.h"

namespace rebound {
namespace {

struct FreeTokenizer {
  void operator()(rebound_hf_tokenizer* tokenizer) const { rebound_hf_tokenizer_free(tokenizer); }
};

uint32_t checked_id(int64_t id) {
  require<DataError>(
      id >= 0 && id <= UINT32_MAX, "token id: got ", id, ", expected 0 to ", UINT32_MAX);
  return static_cast<uint32_t>(id);
}

}  // namespace

struct Tokenizer::State {
  std::unique_ptr<rebound_hf_tokenizer, FreeTokenizer> hf;
  SpecialTexts special;
  std::optional<int64_t> bos_id;
  std::optional<int64_t> eos_id;
  std::set<int64_t> end_ids;
  std::vector<ControlToken> control;

  explicit State(std::string_view json) {
    rebound_hf_tokenizer* made = nullptr;
    hf::take_text([&](rebound_hf_bytes* bytes) {
      return rebound_hf_tokenizer_new(hf::view(json), &made, bytes);
    });
    hf.reset(made);
    read_control();
  }

  void read_control() {
    const auto ids = hf::take_ids([&](rebound_hf_ids* out, rebound_hf_bytes* bytes) {
      return rebound_hf_control_ids(hf.get(), out, bytes);
    });
    for (const int64_t id : ids) {
      const unsigned sides = rebound_hf_control_strips(hf.get(), checked_id(id));
      control.push_back({id, entry(id).value_or(""), (sides & 1) != 0, (sides & 2) != 0});
    }
  }

  std::optional<std::string> entry(int64_t id) const {
    return hf::find_text([&](rebound_hf_bytes* bytes) {
      return rebound_hf_id_to_token(hf.get(), checked_id(id), bytes);
    });
  }

  std::optional<int64_t> find_id(std::string_view text) const {
    uint32_t id = 0;
    const auto found = hf::find_text([&](rebound_hf_bytes* bytes) {
      return rebound_hf_token_to_id(hf.get(), hf::view(text), &id, bytes);
    });
    return found ? std::optional<int64_t>(id) : std::nullopt;
  }

  void set_special(SpecialTexts texts) {
    special = std::move(texts);
    for (auto* text : {&special.bos, &special.eos, &special.unk, &special.pad}) {
      if (*text && !find_id(**text)) text->reset();
    }
    if (special.bos) bos_id = find_id(*special.bos);
    if (special.eos) eos_id = find_id(*special.eos);
  }
};

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json, SpecialTexts special) {
  const std::string json = read_text_file(tokenizer_json);
  return with_context(tokenizer_json.string(), [&] { return from_json(json, std::move(special)); });
}

Tokenizer Tokenizer::from_json(std::string_view json, SpecialTexts special) {
  return with_context("tokenizer", [&] {
    auto state = std::make_unique<State>(json);
    state->set_special(std::move(special));
    return Tokenizer(std::move(state));
  });
}

Tokenizer Tokenizer::from_vocabulary(const GgufVocabulary& vocabulary) {
  const std::string json = compose_tokenizer_json(vocabulary);
  const auto text = [&](std::optional<int64_t> id) {
    return id ? std::optional(vocabulary.tokens.at(static_cast<size_t>(*id))) : std::nullopt;
  };
  Tokenizer tokenizer = from_json(json,
                                  {.bos = text(vocabulary.bos_id),
                                   .eos = text(vocabulary.eos_id),
                                   .unk = text(vocabulary.unk_id),
                                   .pad = text(vocabulary.pad_id)});
  for (const auto& id : {vocabulary.eot_id, vocabulary.eom_id}) {
    if (id) tokenizer.add_end_ids({*id});
  }
  return tokenizer;
}

void Tokenizer::add_end_ids(const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    const bool is_known = id >= 0 && id <= UINT32_MAX && state_->entry(id);
    require<DataError>(is_known,
                       "eos_token_id: got ",
                       id,
                       ", expected one of the vocabulary's ",
                       vocabulary_size());
    state_->end_ids.insert(id);
  }
}

std::vector<int64_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (options.prepend_bos) {
    const bool wants_bos = *options.prepend_bos;
    options.prepend_bos.reset();
    options.add_special_tokens = false;
    std::vector<int64_t> ids = encode(text, options);
    if (!wants_bos) return ids;
    require<DataError>(bos_id().has_value(), "prepend_bos: got a tokenizer without BOS, expected one");
    ids.insert(ids.begin(), *bos_id());
    return ids;
  }
  unsigned flags = 0;
  if (options.add_special_tokens) flags |= REBOUND_HF_ADD_SPECIAL;
  if (options.parse_special) flags |= REBOUND_HF_PARSE_SPECIAL;
  return with_context("text to encode", [&] {
    return hf::take_ids([&](rebound_hf_ids* ids, rebound_hf_bytes* bytes) {
      return rebound_hf_encode(state_->hf.get(), hf::view(text), flags, ids, bytes);
    });
  });
}

std::string Tokenizer::decode(const std::vector<int64_t>& ids, bool skip_special) const {
  std::vector<uint32_t> narrow;
  narrow.reserve(ids.size());
  for (const int64_t id : ids) narrow.push_back(checked_id(id));
  return hf::take_text([&](rebound_hf_bytes* bytes) {
    return rebound_hf_decode(state_->hf.get(), {narrow.data(), narrow.size()}, skip_special, bytes);
  });
}

std::string Tokenizer::token_text(int64_t id) const {
  const std::optional<std::string> entry = state_->entry(id);
  if (!entry) throw DataError(concat("token id: got ", id, ", expected one of the vocabulary's ", vocabulary_size()));
  std::string text = decode({id});
  // Metaspace decoders drop the space of a first token; it belongs to the token.
  const bool has_space_mark = entry->rfind("\u2581", 0) == 0;
  return has_space_mark && text.rfind(' ', 0) != 0 ? " " + text : text;
}

std::optional<int64_t> Tokenizer::single_token(std::string_view text) const {
  const std::vector<int64_t> ids = encode(text, {.add_special_tokens = false});
  return ids.size() == 1 ? std::optional(ids.front()) : std::nullopt;
}

std::optional<int64_t> Tokenizer::find_id(std::string_view entry) const {
  return state_->find_id(entry);
}

int64_t Tokenizer::vocabulary_size() const {
  return static_cast<int64_t>(rebound_hf_vocabulary_size(state_->hf.get()));
}

std::optional<int64_t> Tokenizer::bos_id() const { return state_->bos_id; }
bool Tokenizer::adds_bos() const {
  const std::vector<int64_t> ids = encode("");
  return bos_id() && !ids.empty() && ids.front() == *bos_id();
}
std::optional<int64_t> Tokenizer::eos_id() const { return state_->eos_id; }
const std::set<int64_t>& Tokenizer::end_ids() const { return state_->end_ids; }
const SpecialTexts& Tokenizer::special_texts() const { return state_->special; }
const std::vector<ControlToken>& Tokenizer::control_tokens() const { return state_->control; }

std::set<int64_t> end_of_turn_tokens(const Tokenizer& tokenizer) {
  std::set<int64_t> ends = tokenizer.end_ids();
  if (const auto eos = tokenizer.eos_id()) ends.insert(*eos);
  for (const char* text : {"<|im_end|>",
                           "<|endoftext|>",
                           "<|end_of_text|>",
                           "<|eot_id|>",
                           "<|eom_id|>",
                           "<|end|>",
                           "<end_of_turn>"}) {
    if (const auto id = tokenizer.find_id(text)) ends.insert(*id);
  }
  return ends;
}

}  // namespace rebound
