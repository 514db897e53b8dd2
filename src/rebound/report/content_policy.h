// The Content-Security-Policy of the page: nothing is loaded, and no script runs but its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rebound {

// default-src 'none', with the sha256 of each inline script and of the style; no eval. Scripts that
// something stored might smuggle in have another hash and do not run.
std::string content_policy(const std::vector<std::string_view>& scripts, std::string_view style);

std::string base64_of_hex(const std::string& hex);

}  // namespace rebound
