#include "rebound/intervene/edit.h"

#include <torch/torch.h>

#include <algorithm>

#include "rebound/base/error.h"

namespace rebound {

at::Tensor PositionSet::contains(const Rows& rows) const {
  if (kind == Kind::kAll) return rows.is_real;
  if (kind == Kind::kAnswer) return rows.is_real & (rows.position == rows.length - 1);
  at::Tensor inside = at::zeros_like(rows.is_real);
  for (const int64_t entry : list) {
    inside = inside | (entry >= 0 ? rows.position == entry : rows.position == rows.length + entry);
  }
  return inside & rows.is_real;
}

int64_t PositionSet::first(int64_t length) const {
  if (kind == Kind::kAll) return 0;
  if (kind == Kind::kAnswer) return length - 1;
  int64_t first = length;
  for (const int64_t entry : list) {
    const int64_t position = entry >= 0 ? entry : length + entry;
    if (position >= 0) first = std::min(first, position);
  }
  require<ConfigError>(first < length, "positions: got ", to_json(*this).dump(),
                       ", expected one inside a prompt of ", length, " tokens");
  return first;
}

PositionSet read_positions(const Json& json, const std::string& where) {
  if (json == "all") return {PositionSet::Kind::kAll, {}};
  if (json == "answer") return {PositionSet::Kind::kAnswer, {}};
  const bool is_list =
      json.is_array() && !json.empty() &&
      std::all_of(json.begin(), json.end(), [](const Json& x) { return x.is_number_integer(); });
  require<ConfigError>(is_list, where, ": got ", json.dump(),
                       ", expected \"all\", \"answer\" or a list of integers");
  return {PositionSet::Kind::kList, json.get<std::vector<int64_t>>()};
}

Json to_json(const PositionSet& positions) {
  if (positions.kind == PositionSet::Kind::kAll) return "all";
  if (positions.kind == PositionSet::Kind::kAnswer) return "answer";
  return positions.list;
}

at::Tensor FeatureEdit::apply(const at::Tensor& code) const {
  const at::Tensor amount = values.empty() ? at::full({}, value, code.options())
                                           : at::tensor(values, at::kDouble).to(code.options());
  at::Tensor edited;
  switch (kind) {
    case EditKind::kSet: edited = amount.expand_as(code); break;
    case EditKind::kScale: edited = code * amount; break;
    case EditKind::kAdd: edited = code + amount; break;
  }
  return when == EditWhen::kAlways ? edited : at::where(code != 0, edited, code);
}

std::string to_string(EditKind kind) {
  return kind == EditKind::kSet ? "set" : kind == EditKind::kScale ? "scale" : "add";
}

std::string to_string(EditWhen when) {
  return when == EditWhen::kActiveOnly ? "active_only" : "always";
}

EditKind parse_edit_kind(const std::string& text) {
  if (text == "set") return EditKind::kSet;
  if (text == "scale") return EditKind::kScale;
  if (text == "add") return EditKind::kAdd;
  throw ConfigError(concat("edit.kind: got \"", text, "\", expected set, scale or add"));
}

EditWhen parse_edit_when(const std::string& text) {
  if (text == "active_only") return EditWhen::kActiveOnly;
  if (text == "always") return EditWhen::kAlways;
  throw ConfigError(concat("edit.when: got \"", text, "\", expected active_only or always"));
}

Json to_json(const FeatureEdit& edit) {
  const Json value = edit.values.empty() ? Json(edit.value) : Json(edit.values);
  return {{"features", edit.features},
          {"edit", {{"kind", to_string(edit.kind)}, {"value", value}, {"when", to_string(edit.when)}}},
          {"positions", to_json(edit.positions)}};
}

}  // namespace rebound
