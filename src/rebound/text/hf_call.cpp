#include "rebound/text/hf_call.h"

#include <algorithm>

#include "rebound/base/error.h"

namespace rebound::hf {
namespace {

struct OwnedBytes : rebound_hf_bytes {
  OwnedBytes() : rebound_hf_bytes{nullptr, 0} {}
  ~OwnedBytes() { rebound_hf_bytes_free(*this); }
  OwnedBytes(const OwnedBytes&) = delete;
  OwnedBytes& operator=(const OwnedBytes&) = delete;
};

struct OwnedIds : rebound_hf_ids {
  OwnedIds() : rebound_hf_ids{nullptr, 0} {}
  ~OwnedIds() { rebound_hf_ids_free(*this); }
  OwnedIds(const OwnedIds&) = delete;
  OwnedIds& operator=(const OwnedIds&) = delete;
};

std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::optional<std::string> find_text(const std::function<int(rebound_hf_bytes*)>& call) {
  OwnedBytes bytes;
  const int status = call(&bytes);
  if (status == REBOUND_HF_NOT_FOUND) return std::nullopt;
  std::string text(bytes.data, bytes.size);
  if (status != REBOUND_HF_OK) throw DataError(on_one_line(std::move(text)));
  return text;
}

std::string take_text(const std::function<int(rebound_hf_bytes*)>& call) {
  std::optional<std::string> text = find_text(call);
  require<DataError>(text.has_value(), "rust/hf: got nothing, expected an answer");
  return *std::move(text);
}

std::vector<int64_t> take_ids(const std::function<int(rebound_hf_ids*, rebound_hf_bytes*)>& call) {
  OwnedIds ids;
  take_text([&](rebound_hf_bytes* bytes) { return call(&ids, bytes); });
  return {ids.data, ids.data + ids.size};
}

}  // namespace rebound::hf
