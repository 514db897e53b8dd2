// Interventions as plain data: they load from the spec, print in the report, are stored, and are
// applied elsewhere (defence.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/model/hooks.h"
#include "rebound/model/site.h"

namespace rebound {

// Which positions of a prompt: "all", "answer" (the last token), or a list such as [3, -1], where
// negative numbers count from the end.
struct PositionSet {
  enum class Kind { kAll, kAnswer, kList };
  Kind kind = Kind::kAll;
  std::vector<int64_t> list;

  at::Tensor contains(const Rows& rows) const;  // [batch, rows] bool, false for padding
  // The first position of a prompt with `length` tokens. ConfigError if none lies inside.
  int64_t first(int64_t length) const;
};

PositionSet read_positions(const Json& json, const std::string& where);
Json to_json(const PositionSet& positions);

// set: f <- value.  scale: f <- value f.  add: f <- f + value.
enum class EditKind { kSet, kScale, kAdd };
// active_only: only where f is not 0 (published: f > 0, the same but where codes may be negative, as
// of AbsTopK).
enum class EditWhen { kActiveOnly, kAlways };

struct FeatureEdit {
  std::vector<int64_t> features;
  EditKind kind = EditKind::kSet;
  double value = 0;
  std::vector<double> values;  // one for each feature, in place of `value`; usually empty
  EditWhen when = EditWhen::kActiveOnly;
  PositionSet positions;

  // The edited code [..., n], same shape; differentiable in `code`.
  at::Tensor apply(const at::Tensor& code) const;
};

std::string to_string(EditKind kind);
std::string to_string(EditWhen when);
EditKind parse_edit_kind(const std::string& text);  // ConfigError
EditWhen parse_edit_when(const std::string& text);  // ConfigError
Json to_json(const FeatureEdit& edit);

}  // namespace rebound
