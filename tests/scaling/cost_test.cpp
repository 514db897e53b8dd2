#include "rebound/scaling/cost.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "scaling/scaling_fixture.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

// A folder with weights, and a curve that knows their hash.
struct Folder {
  fs::path model, curve_file;
  std::string hash;

  explicit Folder(const std::string& name) {
    const fs::path root = fresh_folder(name);
    model = root / "16x";
    fs::create_directories(model);
    write_file_atomically(model / "model.safetensors", "weights of " + name);
    hash = sha256_of_file(model / "model.safetensors");
    curve_file = root / "some.json";
  }

  void write_curve(const fs::path& path) const {
    ScalingCurve curve = planted_curve();
    curve.runs[2].model_sha256 = hash;
    write_file_atomically(path, to_json(curve).dump());
  }
};

TEST(ChooseCurveTest, TheModelsOwnCurveIsFoundAmongThoseThatShip) {
  const Folder folder("shipped"), other("other");
  folder.write_curve(folder.curve_file);
  other.write_curve(other.curve_file);
  const CurveChoice choice = choose_curve(folder.model, "", {other.curve_file, folder.curve_file});
  ASSERT_TRUE(choice.curve.has_value());
  EXPECT_EQ(choice.file, folder.curve_file);
  EXPECT_EQ(choice.run->name, "16x");
  EXPECT_EQ(choice.reason, "");
}

TEST(ChooseCurveTest, ACurveBesideTheModelComesFirst) {
  const Folder folder("beside");
  folder.write_curve(folder.model.parent_path() / "curve.json");
  EXPECT_EQ(choose_curve(folder.model / "", "", {}).run->name, "16x");
}

TEST(ChooseCurveTest, NoCurveForAnotherModelAndAReasonInstead) {
  const Folder folder("stranger"), other("stranger-other");
  other.write_curve(other.curve_file);
  for (const fs::path& model : {folder.model, fs::path("model.gguf")}) {
    const CurveChoice choice = choose_curve(model, "", {other.curve_file});
    EXPECT_FALSE(choice.curve.has_value());
    EXPECT_NE(choice.reason.find("--curve"), std::string::npos);
  }
}

TEST(ChooseCurveTest, AGivenCurveIsTakenForAnyModel) {
  const Folder folder("given"), other("given-other");
  other.write_curve(other.curve_file);
  const CurveChoice choice = choose_curve(folder.model, other.curve_file, {});
  EXPECT_TRUE(choice.curve.has_value());
  EXPECT_FALSE(choice.run.has_value());
  EXPECT_THROW(choose_curve(folder.model, "absent.json", {}), IoError);
}

TEST(ChooseCurveTest, AFileThatIsNoCurveIsPassedOver) {
  const Folder folder("broken");
  const fs::path beside = folder.model.parent_path() / "curve.json";
  write_file_atomically(beside, "[1, 2]");
  folder.write_curve(folder.curve_file);
  EXPECT_EQ(choose_curve(folder.model, "", {folder.curve_file}).file, folder.curve_file);
  EXPECT_THROW(choose_curve(folder.model, beside, {}), ConfigError);
}

TEST(TextMismatchTest, LossesOfAnotherTextOrCutAreNotCompared) {
  ScalingCurve curve = planted_curve();
  EXPECT_EQ(text_mismatch(curve, false, "x", {3, 128}), "");
  EXPECT_NE(text_mismatch(curve, true, "x", {3, 128}).find("--text"), std::string::npos);
  curve.text = CurveText{.file = "a.txt", .sha256 = "ab", .contexts = 8, .context_length = 128};
  EXPECT_EQ(text_mismatch(curve, true, "ab", {8, 128}), "");
  EXPECT_NE(text_mismatch(curve, true, "cd", {8, 128}).find("a.txt"), std::string::npos);
  EXPECT_NE(text_mismatch(curve, true, "ab", {7, 128}).find("got 7 of 128"), std::string::npos);
  EXPECT_NE(text_mismatch(curve, true, "ab", {8, 64}), "");
}

TEST(CostTest, WithoutACurveTheShareIsNullAndTheDifferenceIsThere) {
  const SpliceCost cost = cost_of("spliced", {1, 2, 3}, {1.5, 2.5, 3.5}, nullptr, 0);
  const Json json = to_json(cost);
  EXPECT_DOUBLE_EQ(json.at("delta_ce"), 0.5);
  EXPECT_DOUBLE_EQ(json.at("ce"), 2.5);
  EXPECT_DOUBLE_EQ(json.at("intervals").at("delta_ce").at("ci_low"), 0.5);
  for (const char* key : {"equivalent_share", "ci_low", "ci_high", "share_relation"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
  }
}

TEST(CostTest, OneContextHasNoBounds) {
  const ComputePrice price(planted_curve(), {.draws = 50});
  const Json json = to_json(cost_of("spliced", {1.5}, {2.0}, &price, 0));
  EXPECT_DOUBLE_EQ(json.at("delta_ce"), 0.5);
  EXPECT_NEAR(json.at("equivalent_share").get<double>(), 0.25, 1e-4);
  for (const char* key : {"delta_ce", "equivalent_share"}) {
    EXPECT_TRUE(json.at("intervals").at(key).at("ci_low").is_null()) << key;
    EXPECT_TRUE(json.at("intervals").at(key).at("ci_high").is_null()) << key;
  }
}

TEST(CostTest, WithACurveBothSharesAreThere) {
  const ComputePrice price(planted_curve(), {.draws = 50});
  const std::vector<double> clean(6, 1.5), spliced(6, 2.0);
  const Json json = to_json(cost_of("spliced", clean, spliced, &price, 80 * kUnit));
  EXPECT_NEAR(json.at("equivalent_share").get<double>(), 0.25, 1e-4);
  EXPECT_NEAR(json.at("share_of_training_compute").get<double>(), 0.2, 1e-4);
  EXPECT_EQ(json.at("share_relation"), "=");
  EXPECT_LE(json.at("ci_low").get<double>(), json.at("equivalent_share").get<double>() + 1e-9);
}

TEST(CostTest, ABoundHasItsRelationAndNoNumberAtTheOpenEnd) {
  const ComputePrice price(planted_curve(), {.draws = 50});
  const std::vector<double> clean(6, 1.5);
  const Json worse = to_json(cost_of("mean", clean, std::vector<double>(6, 9.0), &price, 0));
  EXPECT_EQ(worse.at("share_relation"), "<");
  EXPECT_EQ(worse.at("ci_low"), 0);
  const Json better = to_json(cost_of("better", clean, std::vector<double>(6, 1.1), &price, 0));
  EXPECT_EQ(better.at("share_relation"), ">");
  EXPECT_TRUE(better.at("ci_high").is_null());
}

}  // namespace
}  // namespace rebound
