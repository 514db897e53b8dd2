#include "rebound/probe/pooling.h"

#include <ATen/ATen.h>

#include "rebound/base/error.h"
#include "rebound/base/shape.h"

namespace rebound {

at::Tensor Pooler::select(const at::Tensor& tokens) const {
  check_shape("tokens", tokens, {{"tokens"}, {"d"}});
  const int64_t n = tokens.size(0);
  require<DataError>(n > 0,
                     "pooling: got a text without a token that counts, expected one or more");
  if (kind != Kind::kPosition) return tokens;
  const int64_t at = position < 0 ? n + position : position;
  require<DataError>(at >= 0 && at < n,
                     "pooling: position ",
                     position,
                     " of a text of ",
                     n,
                     " tokens (sinks left out), expected one of its tokens");
  return tokens.slice(0, at, at + 1);
}

at::Tensor Pooler::reduce(const at::Tensor& selected) const {
  if (kind == Kind::kMax) return selected.amax(0);
  return kind == Kind::kMean ? selected.mean(0) : selected[0];
}

std::string to_string(const Pooler& pooler) {
  if (pooler.kind == Pooler::Kind::kMax) return "max";
  if (pooler.kind == Pooler::Kind::kMean) return "mean";
  return pooler.position == -1 ? "last" : std::to_string(pooler.position);
}

Pooler parse_pooler(const std::string& text) {
  if (text == "max") return {Pooler::Kind::kMax};
  if (text == "mean") return {Pooler::Kind::kMean};
  if (text == "last") return {Pooler::Kind::kPosition, -1};
  constexpr size_t kMostDigits = 6;
  const std::string digits = text.substr(text.rfind('-', 0) == 0 ? 1 : 0);
  const bool is_number = !digits.empty() && digits.size() <= kMostDigits &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  require<ConfigError>(
      is_number, "pool: got ", text, ", expected max, mean, last or a position such as -5");
  return {Pooler::Kind::kPosition, std::stoll(text)};
}

}  // namespace rebound
