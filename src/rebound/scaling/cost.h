// What a splice costs, in nats and in training compute, and which curve may say the latter.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/scaling/compute_share.h"

namespace rebound {

// Only a curve of the model's own family can price it: one that has the sha256 of its
// model.safetensors among its runs, or one that the user gives.
struct CurveChoice {
  std::optional<ScalingCurve> curve;
  std::filesystem::path file;
  std::optional<ScalingRun> run;  // the model itself, where the curve has it
  std::string reason;             // why there is no curve
};

// `given` may be empty; then `curve.json` beside the model's folder and `shipped` are asked. Throws
// what read_curve throws, for the given one alone.
CurveChoice choose_curve(const std::filesystem::path& model,
                         const std::filesystem::path& given,
                         const std::vector<std::filesystem::path>& shipped);

struct MeasuredContexts {
  int64_t contexts = 0, length = 0;
};
// Why losses on this text cannot be set against the curve's; "" when they can. A curve that names
// no text is vouched for by who gives one; `is_default`: nobody did.
std::string text_mismatch(const ScalingCurve& curve,
                          bool is_default,
                          const std::string& text_sha256,
                          MeasuredContexts measured);

struct SpliceCost {
  std::string name;
  double ce = 0;
  Estimate delta_ce;                        // over the clean model; bootstrap over contexts
  std::optional<ComputeShare> share;        // of C(L_clean)
  std::optional<ComputeShare> of_training;  // of what the model's training took
};

// `clean`, `losses`: of each context. `price` may be null; `training_compute` 0: not known.
SpliceCost cost_of(const std::string& name,
                   const std::vector<double>& clean,
                   const std::vector<double>& losses,
                   const ComputePrice* price,
                   double training_compute);

// {"ce", "delta_ce", "equivalent_share", "ci_low", "ci_high" (of the share), "share_relation",
//  "share_of_training_compute", "intervals": {"delta_ce", ...}}; null where not known or without
//  bound.
Json to_json(const SpliceCost& cost);

}  // namespace rebound
