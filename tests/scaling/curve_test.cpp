#include "rebound/scaling/curve.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "scaling/scaling_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

ScalingCurve full_curve() {
  ScalingCurve curve = planted_curve();
  curve.held_out.push_back({.name = "25x", .compute = 25 * kUnit, .loss = 1.8});
  curve.runs[0].d_model = 16;
  curve.runs[0].tokens = 4096;
  curve.text = CurveText{.file = "text.txt", .sha256 = "ab", .contexts = 7, .context_length = 64};
  curve.made = {{"command", "by hand"}};
  return curve;
}

TEST(CurveTest, WhatIsWrittenIsReadBack) {
  const ScalingCurve curve = full_curve();
  const ScalingCurve back = read_curve(parse_json(to_json(curve).dump(), "curve"), "curve");
  EXPECT_EQ(to_json(back), to_json(curve));
  EXPECT_EQ(back.runs.size(), 5u);
  EXPECT_EQ(back.held_out.at(0).name, "25x");
  EXPECT_EQ(back.runs[0].d_model, 16);
  EXPECT_EQ(back.text->contexts, 7);
  EXPECT_EQ(back.family, "planted");
}

TEST(CurveTest, AListOfComputeAndLossIsEnough) {
  const Json json = parse_json(
      R"({"points": [{"compute": 1e10, "loss": 5}, {"compute": 4e10, "loss": 3},
                     {"compute": 16e10, "loss": 2}, {"compute": 64e10, "loss": 1.5}]})",
      "curve");
  const ScalingCurve curve = read_curve(json, "curve");
  EXPECT_FALSE(curve.text.has_value());
  EXPECT_NEAR(fit_power_law(curve.points()).b, 0.5, 1e-5);
  EXPECT_EQ(curve.find_model(""), nullptr);
}

TEST(CurveTest, TheFitSaysHowFarHeldOutRunsLie) {
  // The law says 1 + 4 / 5 = 1.8 at 25.
  const Json fit = to_json(full_curve()).at("fit");
  EXPECT_NEAR(fit.at("b").get<double>(), 0.5, 1e-5);
  EXPECT_NEAR(fit.at("e").get<double>(), 1, 1e-4);
  EXPECT_NEAR(fit.at("held_out").at(0).at("predicted").get<double>(), 1.8, 1e-4);
  EXPECT_NEAR(fit.at("held_out").at(0).at("error").get<double>(), 0, 1e-4);
  EXPECT_EQ(fit.at("from_the_others").size(), 5u);
  ScalingCurve curve = full_curve();
  curve.held_out[0].loss = 2.0;
  EXPECT_NEAR(to_json(curve).at("fit").at("held_out").at(0).at("error").get<double>(), -0.1, 1e-4);
}

TEST(CurveTest, AModelIsFoundByTheHashOfItsWeights) {
  ScalingCurve curve = full_curve();
  curve.held_out[0].model_sha256 = "held";
  EXPECT_EQ(curve.find_model("hash of 16x")->compute, 16 * kUnit);
  EXPECT_EQ(curve.find_model("held")->name, "25x");
  EXPECT_EQ(curve.find_model("another"), nullptr);
}

TEST(CurveTest, BadFilesAreOneLineWithTheirPlace) {
  const auto fails_with = [](const std::string& text, const std::string& words) {
    const std::string message =
        message_of<ConfigError>([&] { read_curve(parse_json(text, "c.json"), "c.json"); });
    EXPECT_NE(message.find(words), std::string::npos) << message;
  };
  fails_with("[]", "c.json: got no JSON object");
  fails_with("{}", "missing key \"points\"");
  fails_with(R"({"points": 3})", "c.json.points: expected a list");
  fails_with(R"({"points": [{"compute": 1}]})", "c.json.points[0]: missing key \"loss\"");
  fails_with(R"({"points": [{"compute": "1", "loss": 2}]})", "points[0].compute");
  fails_with(R"({"points": [], "colour": 1})", "unknown key \"colour\"");
  fails_with(R"({"points": [], "text": {"file": "a", "contexts": 0}})", "expected more than 0");
  EXPECT_THROW(read_curve("absent.json"), IoError);
  const auto path = fresh_folder("bad") / "curve.json";
  write_file_atomically(path, "{");
  EXPECT_THROW(read_curve(path), DataError);
}

}  // namespace
}  // namespace rebound
