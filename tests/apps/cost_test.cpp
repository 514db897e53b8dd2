// rebound cost: its JSON contract for a model with a curve and for one without, and its errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "support/failures.h"
#include "support/program.h"

namespace rebound {
namespace {

const std::string kFamilyModel = REBOUND_SOURCE_DIR "/assets/scaling/books-bytes-100x";
const std::string kDefaultSae = REBOUND_SOURCE_DIR "/assets/sae/smollm2-135m-instruct-l12";

Outcome cost(const std::string& flags) { return run_program("cost --quiet --threads 2 " + flags); }

Json cost_json(const std::string& flags) {
  const Outcome outcome = cost("--json " + flags);
  EXPECT_EQ(outcome.exit_code, 0) << flags;
  return parse_json(outcome.text, "cost");
}

void expect_cost_error(const std::string& flags, int exit_code, const std::string& words) {
  expect_one_line(cost(flags + " 2>&1 >/dev/null"), exit_code, words);
}

int64_t width_of_family_model() {
  return read_json_file(kFamilyModel + "/config.json").at("hidden_size").get<int64_t>();
}

// A float32 safetensors file, written by hand: an 8-byte length, the header, the bytes.
std::string safetensors(const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes,
                        const std::vector<std::vector<float>>& values) {
  Json header = Json::object();
  std::string bytes;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const size_t begin = bytes.size(), size = values[i].size() * sizeof(float);
    bytes.append(reinterpret_cast<const char*>(values[i].data()), size);
    header[shapes[i].first] = {
        {"dtype", "F32"}, {"shape", shapes[i].second}, {"data_offsets", {begin, begin + size}}};
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + text + bytes;
}

// ReLU latents +-e_i over the first `kept` of `d` axes: reconstructs those, and no others.
std::string axes_sae(int64_t d, int64_t kept) {
  const auto n = static_cast<size_t>(d), m = static_cast<size_t>(2 * d);
  std::vector<float> w_enc(n * m), w_dec(m * n);
  for (size_t i = 0; i < static_cast<size_t>(kept); ++i) {
    w_enc[i * m + 2 * i] = w_dec[2 * i * n + i] = 1;
    w_enc[i * m + 2 * i + 1] = w_dec[(2 * i + 1) * n + i] = -1;
  }
  const auto folder = fresh_folder("axes") / std::to_string(kept);
  std::filesystem::create_directories(folder);
  write_file_atomically(
      folder / "sae_weights.safetensors",
      safetensors(
          {{"W_dec", {2 * d, d}}, {"W_enc", {d, 2 * d}}, {"b_dec", {d}}, {"b_enc", {2 * d}}},
          {w_dec, w_enc, std::vector<float>(n), std::vector<float>(m)}));
  const Json cfg = {{"architecture", "standard"},
                    {"d_in", d},
                    {"d_sae", 2 * d},
                    {"dtype", "float32"},
                    {"apply_b_dec_to_input", false},
                    {"normalize_activations", "none"},
                    {"metadata", {{"hook_name", "blocks.1.hook_resid_pre"}}}};
  write_file_atomically(folder / "cfg.json", cfg.dump());
  return folder.string();
}

// The shipped curve moved to the first 32 of its text's 512 contexts, where losses are about 0.08
// lower: a share costs a sixteenth.
std::string on_few_contexts(bool has_text = true) {
  Json curve = read_json_file(REBOUND_SOURCE_DIR "/assets/scaling/books-bytes.json");
  curve.at("text").at("contexts") = 32;
  for (Json& run : curve.at("points")) run.at("loss") = run.at("loss").get<double>() - 0.08;
  if (!has_text) curve.erase("text");
  const auto path = fresh_folder("few_contexts") / "curve.json";
  write_file_atomically(path, curve.dump());
  return " --curve " + path.string() + " --model " + kFamilyModel;
}

TEST(CostVerbTest, ADefaultModelHasADifferenceAndNoShare) {
  const Json json = cost_json("--contexts 1 --sae " + kDefaultSae);
  EXPECT_GT(json.at("delta_ce").get<double>(), 0);
  EXPECT_TRUE(json.at("intervals").at("delta_ce").at("ci_low").is_null());  // of one context
  for (const char* key : {"equivalent_share", "ci_low", "ci_high", "curve"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
  }
  EXPECT_NE(json.at("reason").get<std::string>().find("cannot price it"), std::string::npos);
  EXPECT_GT(json.at("references").at("mean").at("delta_ce"), json.at("delta_ce"));
}

TEST(CostVerbTest, AnIdentityIsWorthAllAndMeanAblationLessThanAHundredth) {
  const int64_t d = width_of_family_model();
  const Json json = cost_json("--model " + kFamilyModel + " --sae " + axes_sae(d, d));
  EXPECT_NEAR(json.at("equivalent_share").get<double>(), 1, 0.05);
  EXPECT_EQ(json.at("share_relation"), "=");
  EXPECT_TRUE(json.at("reason").is_null());
  EXPECT_NEAR(json.at("delta_ce").get<double>(), 0, 1e-3);
  EXPECT_NEAR(json.at("share_of_training_compute").get<double>(), 1, 0.25);
  const Json& ablated = json.at("references").at("mean");
  EXPECT_LT(ablated.at("equivalent_share").get<double>(), 0.01);
  EXPECT_EQ(ablated.at("share_relation"), "<");
  EXPECT_EQ(ablated.at("ci_low"), 0);
}

TEST(CostVerbTest, TheFewerAxesAreKeptTheLessItIsWorth) {
  const int64_t d = width_of_family_model();
  double before = 1;
  for (const int64_t kept : {d - 1, d - 4, d - 16}) {
    const Json json = cost_json("--sae " + axes_sae(d, kept) + on_few_contexts());
    const double share = json.at("equivalent_share").get<double>();
    EXPECT_LT(share, before) << kept;
    EXPECT_LE(json.at("ci_low").get<double>(), share);
    EXPECT_GE(json.at("ci_high").get<double>(), share);
    before = share;
  }
}

TEST(CostVerbTest, AnotherTextOrCutThanTheCurvesHasNoShare) {
  const int64_t d = width_of_family_model();
  const Json json = cost_json("--contexts 4 --model " + kFamilyModel + " --sae " + axes_sae(d, d));
  EXPECT_TRUE(json.at("equivalent_share").is_null());
  EXPECT_NE(json.at("reason").get<std::string>().find("got 4 of 128"), std::string::npos);
  EXPECT_TRUE(json.at("delta_ce").is_number());
  const Outcome table = cost("--contexts 4 --model " + kFamilyModel + " --sae " + axes_sae(d, d));
  EXPECT_NE(table.text.find("compute worth not known: "), std::string::npos) << table.text;
}

TEST(CostVerbTest, ACurveThatNamesNoTextPricesOnlyOneThatIsGiven) {
  const int64_t d = width_of_family_model();
  const std::string flags = "--sae " + axes_sae(d, d) + on_few_contexts(false);
  const Json untold = cost_json("--contexts 4 " + flags);
  EXPECT_TRUE(untold.at("equivalent_share").is_null());
  EXPECT_NE(untold.at("reason").get<std::string>().find("--text"), std::string::npos);
  const Json told =
      cost_json(flags + " --text " REBOUND_SOURCE_DIR "/assets/scaling/heldout.txt.gz");
  EXPECT_NEAR(told.at("equivalent_share").get<double>(), 1, 0.05);
  EXPECT_TRUE(told.at("reason").is_null());
}

TEST(CostVerbTest, ADefenceIsPricedToo) {
  const int64_t d = width_of_family_model();
  const auto path = fresh_folder("defence") / "clamps.json";
  const Json clamp = {{"site", "blocks.1.hook_resid_pre"},
                      {"direction", std::vector<double>(static_cast<size_t>(d), 1.0)},
                      {"edit", {{"kind", "add"}, {"strength", 0.5}}}};
  write_file_atomically(path, Json::array({clamp}).dump());
  const Json json = cost_json("--defence " + path.string() + on_few_contexts());
  EXPECT_TRUE(json.at("equivalent_share").is_number());
  EXPECT_TRUE(json.at("sae").is_null());
  EXPECT_EQ(json.at("defence").at("clamps").size(), 1u);
}

TEST(CostVerbTest, ATableWithoutJson) {
  const int64_t d = width_of_family_model();
  const Outcome outcome = cost("--sae " + axes_sae(d, d) + on_few_contexts());
  EXPECT_EQ(outcome.exit_code, 0);
  for (const char* words : {"compute worth", "as it is", "mean ablation", "< 0."}) {
    EXPECT_NE(outcome.text.find(words), std::string::npos) << words << "\n" << outcome.text;
  }
}

TEST(CostVerbTest, WhatCannotBeDoneIsOneLineWithItsExitCode) {
  expect_cost_error("", 2, "expected one of --sae and --defence");
  expect_cost_error("--sae a --defence b", 2, "expected one of --sae and --defence");
  expect_cost_error("--sae absent --contexts 1", 5, "absent");
  expect_cost_error("--sae " + kDefaultSae + " --curve absent.json", 5, "absent.json");
  expect_cost_error("--sae " + kDefaultSae + " --contexts -3", 2, "-3");
  expect_cost_error("--sae " + kDefaultSae + " --model " + kFamilyModel, 3, "layers 0..1");
  const auto curve = fresh_folder("curve") / "three.json";
  write_file_atomically(curve,
                        R"({"points": [{"compute": 1, "loss": 3}, {"compute": 2, "loss": 2}]})");
  expect_cost_error("--sae " + kDefaultSae + " --curve " + curve.string(), 4, "got 2 runs");
  expect_cost_error(
      "train --out " + curve.parent_path().string() + " --budgets 1,2", 2, "at least 4");
  expect_cost_error("fit absent-folder", 5, "absent-folder");
}

}  // namespace
}  // namespace rebound
