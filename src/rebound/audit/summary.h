// What an audit found, as plain data: the contract of summary.json (docs/summary.md).
//
//   const AuditSummary summary = AuditSummary::from_json(read_json_file("runs/ioi/summary.json"));
//
// A figure that was not measured is NaN here and null in the file. to_json and from_json are
// inverse to each other; keys of a row that are not named below travel in `extra`.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"

namespace rebound {

constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// One row of the ladder or one control, over all valid flips.
struct RowSummary {
  std::string name;                    // "encoder/logit_diff/per_prompt@20"
  std::string objective;               // "logit_diff", "match_base"
  std::string constraint;              // rung of the ladder
  std::string threat_model;            // "after_clamp", "before_clamp"
  std::string scope;                   // "per_prompt", "shared"
  std::optional<std::string> control;  // none: the attack itself; else one of kControls
  std::optional<std::string> target;   // what an inject row writes
  double budget = kNotMeasured;        // cap on the norm of delta
  int64_t n_valid = 0;
  int64_t recovered = 0;

  double rate = kNotMeasured;  // recovered / n_valid, with its 95 % interval
  double ci_low = kNotMeasured;
  double ci_high = kNotMeasured;
  // Means over valid flips. Pre- and post-activation drift of the defended features; `rel` is
  // relative to the norm of the defended values, only where that is not ~0.
  double drift_pre_l2 = kNotMeasured;
  double drift_pre_rel = kNotMeasured;
  double drift_post_l2 = kNotMeasured;
  double drift_post_rel = kNotMeasured;
  double reactivated_fraction = kNotMeasured;
  double zero_reactivation = kNotMeasured;  // share of flips recovered with no feature reactivated
  double norm_mean = kNotMeasured;
  double norm_rel_mean = kNotMeasured;  // relative to the defended residual
  double kl_to_base = kNotMeasured;     // nats
  double seconds_per_prompt = kNotMeasured;

  // Further named figures, written beside the ones above: "decode_drift", "rmse", "linf",
  // "cosine_to_undo", "share_in_span", "steps_mean", "binding_fraction", "disagreements_float32".
  Json extra = Json::object();

  bool is_attack() const { return !control.has_value(); }
};

// The values of RowSummary::control, in the order in which reports print them.
extern const std::vector<std::string> kControls;

struct AuditSummary {
  std::string behaviour;
  std::string model;
  std::string sae;
  Json defence = Json::object();
  int64_t n_prompts = 0;
  int64_t n_valid = 0;
  std::string verdict;       // "undetermined", "bottleneck at budget 20", "handle", ...
  std::string verdict_text;  // two sentences
  std::vector<RowSummary> rows;
  Json controls = Json::object();
  Json attribution = Json::object();
  Json headline = Json::object();
  Json environment = Json::object();
  // Further keys at the top level, for example "n_valid_refused" of an audit of whole answers.
  Json extra = Json::object();

  Json to_json() const;
  // DataError naming the key that is missing or of another type.
  static AuditSummary from_json(const Json& json);
};

Json to_json(const RowSummary& row);
// `where` names the row in errors, for example "summary.json.rows[3]".
RowSummary row_from_json(const Json& json, const std::string& where);

}  // namespace rebound
