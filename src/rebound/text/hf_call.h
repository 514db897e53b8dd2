// Calls of rust/hf from C++: statuses become errors, owned buffers become strings and vectors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rebound_hf.h"

namespace rebound::hf {

inline rebound_hf_text view(std::string_view text) { return {text.data(), text.size()}; }

// Runs `call`, which returns a rebound_hf_status. Nothing when the answer is "not found"; throws
// DataError with the library's reason on any other status but OK.
std::optional<std::string> find_text(const std::function<int(rebound_hf_bytes*)>& call);

// The same for calls that always have an answer.
std::string take_text(const std::function<int(rebound_hf_bytes*)>& call);
std::vector<int64_t> take_ids(const std::function<int(rebound_hf_ids*, rebound_hf_bytes*)>& call);

}  // namespace rebound::hf
