// The runs of one family of models, trained on more and more compute, as a file (docs/cost.md):
//
//   {"family": "books-bytes",
//    "points":   [{"name": "1x", "compute": 6.0e10, "loss": 2.4, "model_sha256": "..."}, ...],
//    "held_out": [...],                       never fitted: they test the curve
//    "text":     {"file", "sha256", "contexts", "context_length"}}
//
// Of a point only "compute" (FLOP) and "loss" (nats per token) are needed, of the rest nothing. A
// law is fitted whenever a curve is read; "fit" in the file is for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "rebound/base/json.h"
#include "rebound/scaling/power_law.h"

namespace rebound {

struct ScalingRun {
  std::string name;
  double compute = 0;        // of training, FLOP
  double loss = 0;           // on the curve's text, nats per token
  std::string model_sha256;  // of model.safetensors; "" when not said
  // 0 when not said.
  int64_t d_model = 0, n_layers = 0, parameters = 0, tokens = 0;
};

// What every loss of a curve was measured on: the first contexts of a text.
struct CurveText {
  std::string file;  // name alone, or a path in the project
  std::string sha256;
  int64_t contexts = 0;
  int64_t context_length = 128;
};

struct ScalingCurve {
  std::string family;
  std::vector<ScalingRun> runs;
  std::vector<ScalingRun> held_out;
  std::optional<CurveText> text;
  Json made = nullptr;  // command, tokenizer, training text: for people

  std::vector<ScalingPoint> points() const;  // of `runs`
  // Fitted or held out; null for another model.
  const ScalingRun* find_model(const std::string& model_sha256) const;
};

// Throws IoError (cannot read), DataError (no JSON) and ConfigError (another form); what cannot be
// fitted is noticed by fit_power_law.
ScalingCurve read_curve(const std::filesystem::path& path);
ScalingCurve read_curve(const Json& json, const std::string& where);

// With "fit": the law, its residuals, what it says of held-out runs and of each run from the
// others.
Json to_json(const ScalingCurve& curve);

}  // namespace rebound
