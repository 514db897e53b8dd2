// From the tokens of a text to one vector.
//
//   max   the largest value of each coordinate        mean  the mean
//   last  the last token                              N     token N; negative ones from the end
//
// Only tokens that count are seen (sae/sinks.h): token 0 is the first one that is no sink.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace rebound {

struct Pooler {
  enum class Kind { kMax, kMean, kPosition };
  Kind kind = Kind::kMax;
  int64_t position = -1;  // of kPosition

  // The tokens that matter, [tokens, d] -> [all or one, d]. DataError without such a token.
  at::Tensor select(const at::Tensor& tokens) const;
  // Of selected tokens, [tokens, d] -> [d].
  at::Tensor reduce(const at::Tensor& selected) const;
};

std::string to_string(const Pooler& pooler);
// "max", "mean", "last", or a whole number such as "-5". ConfigError for anything else.
Pooler parse_pooler(const std::string& text);

}  // namespace rebound
