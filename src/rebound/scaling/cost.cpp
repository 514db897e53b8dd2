#include "rebound/scaling/cost.h"

#include <cmath>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/progress.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNoFamily =
    "no scaling curve of this model's family: a curve of other models cannot price it (give one "
    "with --curve)";

std::optional<ScalingCurve> read_or_say_why_not(const fs::path& path) {
  try {
    return read_curve(path);
  } catch (const Error& e) {
    say(concat("not used as a scaling curve: ", e.what()));
    return std::nullopt;
  }
}

std::string hash_of_weights(const fs::path& model) {
  const fs::path weights = model / "model.safetensors";
  return fs::is_directory(model) && fs::exists(weights) ? sha256_of_file(weights) : "";
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json interval_json(const Estimate& estimate) {
  return {{"value", finite(estimate.value)},
          {"ci_low", finite(estimate.low)},
          {"ci_high", finite(estimate.high)}};
}

}  // namespace

CurveChoice choose_curve(const fs::path& model,
                         const fs::path& given,
                         const std::vector<fs::path>& shipped) {
  const std::string hash = hash_of_weights(model);
  if (!given.empty()) {
    CurveChoice choice{.curve = read_curve(given), .file = given};
    if (const ScalingRun* run = choice.curve->find_model(hash)) choice.run = *run;
    return choice;
  }
  std::vector<fs::path> candidates;
  if (!hash.empty()) {
    const fs::path beside = fs::weakly_canonical(model).parent_path() / "curve.json";
    if (fs::exists(beside)) candidates.push_back(beside);
    candidates.insert(candidates.end(), shipped.begin(), shipped.end());
  }
  for (const fs::path& candidate : candidates) {
    std::optional<ScalingCurve> curve = read_or_say_why_not(candidate);
    const ScalingRun* run = curve ? curve->find_model(hash) : nullptr;
    if (run != nullptr) return {.curve = curve, .file = candidate, .run = *run, .reason = ""};
  }
  return {.reason = kNoFamily};
}

std::string text_mismatch(const ScalingCurve& curve,
                          bool is_default,
                          const std::string& text_sha256,
                          MeasuredContexts measured) {
  if (!curve.text) {
    return is_default ? "the curve does not name the text of its losses (give it with --text)" : "";
  }
  const CurveText& text = *curve.text;
  if (!text.sha256.empty() && text.sha256 != text_sha256) {
    return concat("the curve's losses are of another text, ", text.file);
  }
  if (text.contexts != measured.contexts || text.context_length != measured.length) {
    return concat("the curve's losses are means over ",
                  text.contexts,
                  " contexts of ",
                  text.context_length,
                  " tokens, got ",
                  measured.contexts,
                  " of ",
                  measured.length);
  }
  return "";
}

SpliceCost cost_of(const std::string& name,
                   const std::vector<double>& clean,
                   const std::vector<double>& losses,
                   const ComputePrice* price,
                   double training_compute) {
  SpliceCost cost{.name = name,
                  .ce = mean(losses),
                  .delta_ce = bootstrap_difference(losses, clean, {.fewest_clusters = 2})};
  if (price == nullptr) return cost;
  cost.share = price->of_clean(clean, losses);
  if (training_compute > 0) cost.of_training = price->of_training(clean, losses, training_compute);
  return cost;
}

Json to_json(const SpliceCost& cost) {
  Json json = {{"ce", cost.ce},
               {"delta_ce", cost.delta_ce.value},
               {"equivalent_share", nullptr},
               {"ci_low", nullptr},
               {"ci_high", nullptr},
               {"share_relation", nullptr},
               {"share_of_training_compute", nullptr},
               {"intervals", {{"delta_ce", interval_json(cost.delta_ce)}}}};
  if (cost.share) {
    const Estimate& share = cost.share->share;
    json["equivalent_share"] = finite(share.value);
    json["ci_low"] = finite(share.low);
    json["ci_high"] = finite(share.high);
    json["share_relation"] = to_string(cost.share->relation);
    json["intervals"]["equivalent_share"] = interval_json(share);
  }
  if (cost.of_training) {
    json["share_of_training_compute"] = finite(cost.of_training->share.value);
    json["intervals"]["share_of_training_compute"] = interval_json(cost.of_training->share);
  }
  return json;
}

}  // namespace rebound
