#include "rebound/probe/run.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "rebound/base/error.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

constexpr int64_t kLatents = 30, kRunWidth = 8;

ProbeTask task_of(const std::vector<std::pair<Split, int>>& sizes) {
  std::vector<LabelledText> texts;
  for (const auto& [split, n] : sizes) {
    for (int i = 0; i < n; ++i) {
      const std::string id = to_string(split) + std::to_string(i);
      texts.push_back({id, "text " + id, i % 2 == 0, "group " + id, split});
    }
  }
  return make_task("planted", texts);
}

// Two readings of every text: `clean` tells the classes apart the same way in every split,
// `spurious` does so much better in train and test, and is turned round in ood.
struct Readings {
  at::Tensor clean, spurious;
};

Readings readings_of(const ProbeTask& task, uint64_t seed) {
  Rng rng({seed});
  const auto n = static_cast<int64_t>(task.texts.size());
  Readings out = {at::empty({n}), at::empty({n})};
  for (int64_t i = 0; i < n; ++i) {
    const LabelledText& text = task.texts[static_cast<size_t>(i)];
    const double label = text.is_positive ? 1 : -1;
    const double sign = text.split == Split::kOod ? -1 : 1;
    out.clean[i] = 0.8 * label + rng.normal();
    out.spurious[i] = sign * 3 * label + rng.normal();
  }
  return out;
}

// The residual has `dense_signal` in one coordinate, the code `sparse_signal` in one latent.
PooledFeatures features_with(const at::Tensor& dense_signal, const at::Tensor& sparse_signal) {
  Rng rng({5});
  const int64_t n = dense_signal.size(0);
  PooledFeatures features;
  features.residual = random_tensor(rng, {n, kRunWidth});
  features.residual.select(1, 2).copy_(dense_signal);
  features.code = random_tensor(rng, {n, kLatents}).relu();
  features.code.select(1, 17).copy_((sparse_signal + 2).relu());
  features.reconstruction = features.residual;
  features.error = random_tensor(rng, {n, kRunWidth});
  return features;
}

double area(const ProbeReport& report,
            const std::string& probe,
            Split split,
            const std::string& selection = "") {
  for (const ProbeRow& row : report.rows) {
    if (row.probe == probe && row.split == split && row.selection == selection)
      return row.auroc.value;
  }
  ADD_FAILURE() << "no row " << probe << " " << to_string(split);
  return -1;
}

const ProbeTask& planted_task() {
  static const ProbeTask task =
      task_of({{Split::kTrain, 200}, {Split::kTest, 120}, {Split::kOod, 120}});
  return task;
}

TEST(RunProbesTest, ASpuriousLatentWinsInDistributionAndLosesOutside) {
  const Readings readings = readings_of(planted_task(), 1);
  const ProbeReport report = run_probes(planted_task(),
                                        features_with(readings.clean, readings.spurious),
                                        {.k = {1}, .bootstrap_draws = 50});
  for (const std::string selection : {"mean_difference", "l1"}) {
    EXPECT_GT(area(report, "sae", Split::kTest, selection),
              area(report, "dense", Split::kTest) + 0.05);
    EXPECT_LT(area(report, "sae", Split::kOod, selection), 0.2);
  }
  EXPECT_GT(area(report, "dense", Split::kOod), 0.75);
}

TEST(RunProbesTest, ASpuriousDirectionOfTheResidualFlipsTheOrderTheOtherWay) {
  const Readings readings = readings_of(planted_task(), 2);
  const ProbeReport report = run_probes(planted_task(),
                                        features_with(readings.spurious, readings.clean),
                                        {.k = {1}, .bootstrap_draws = 50});
  EXPECT_GT(area(report, "dense", Split::kTest), area(report, "sae", Split::kTest, "l1") + 0.05);
  EXPECT_LT(area(report, "dense", Split::kOod), 0.2);
  EXPECT_GT(area(report, "sae", Split::kOod, "l1"), 0.75);
  EXPECT_GT(area(report, "sae", Split::kOod, "mean_difference"), 0.75);
}

TEST(RunProbesTest, RowsHaveOneOfEachProbeAndSplitWithItsLatents) {
  const Readings readings = readings_of(planted_task(), 3);
  const PooledFeatures features = features_with(readings.clean, readings.spurious);
  const ProbeReport report =
      run_probes(planted_task(), features, {.k = {2, 1}, .bootstrap_draws = 20});
  EXPECT_EQ(report.rows.size(), 3u * (3 + 2 * 2));
  for (const ProbeRow& row : report.rows) {
    EXPECT_EQ(row.probe == "sae", row.k.has_value());
    EXPECT_EQ(row.n, row.split == Split::kTrain ? 200 : 120);
    if (row.k) {
      EXPECT_EQ(static_cast<int64_t>(row.latents.size()), *row.k);
      EXPECT_EQ(row.latents.front(), 17);
    }
    EXPECT_LE(row.auroc.low, row.auroc.value);
    EXPECT_GE(row.auroc.high, row.auroc.value);
  }
  const Json json = report.rows.front().to_json();
  for (const char* key : {"probe", "k", "split", "auroc", "ci_low", "ci_high", "tpr_at_1pct_fpr"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  EXPECT_TRUE(json["k"].is_null());
}

TEST(RunProbesTest, AReconstructionWithNothingLostHasNoDeficit) {
  const Readings readings = readings_of(planted_task(), 4);
  PooledFeatures features = features_with(readings.clean, readings.spurious);
  const ProbeOptions options = {.k = {1}, .bootstrap_draws = 50};
  for (const ProbeDeficit& deficit : run_probes(planted_task(), features, options).deficits) {
    EXPECT_EQ(deficit.auroc.value, 0);
  }
  features.reconstruction = features.error;  // noise alone
  const ProbeDeficit lossy = run_probes(planted_task(), features, options).deficits.back();
  EXPECT_EQ(lossy.split, Split::kOod);
  EXPECT_GT(lossy.auroc.low, 0.1);
}

TEST(RunProbesTest, WithoutAnSaeThereIsTheDenseProbeAlone) {
  PooledFeatures features;
  features.residual =
      features_with(readings_of(planted_task(), 1).clean, at::zeros({440})).residual;
  const ProbeReport report = run_probes(planted_task(), features, {.bootstrap_draws = 10});
  EXPECT_EQ(report.rows.size(), 3u);
  EXPECT_TRUE(report.deficits.empty());
  EXPECT_EQ(static_cast<int64_t>(report.dense.model.weight.size()), kRunWidth);
}

TEST(RunProbesTest, KBeyondTheDataIsRefusedAndLeftOutOfTheDefault) {
  const ProbeTask task = task_of({{Split::kTrain, 6}, {Split::kTest, 6}});
  const Readings readings = readings_of(task, 1);
  const PooledFeatures features = features_with(readings.clean, readings.spurious);
  EXPECT_EQ(message_of<ConfigError>([&] { run_probes(task, features, {.k = {7}}); }),
            "k: got 7, expected 1 to 6 (6 training texts, 30 latents)");
  message_of<ConfigError>([&] { run_probes(task, features, {.k = {0}}); });
  for (const ProbeRow& row : run_probes(task, features, {.bootstrap_draws = 10}).rows) {
    EXPECT_LE(row.k.value_or(0), 6);
  }
}

TEST(RunProbesTest, FeaturesOfOtherTextsOrWithNanAreRefused) {
  const Readings readings = readings_of(planted_task(), 1);
  PooledFeatures features = features_with(readings.clean, readings.spurious);
  features.residual[3][1] = NAN;
  EXPECT_NE(message_of<DataError>([&] { run_probes(planted_task(), features, {}); }).find("NaN"),
            std::string::npos);
  features.residual = features.residual.slice(0, 0, 10);
  message_of<DataError>([&] { run_probes(planted_task(), features, {}); });
}

TEST(DenseProbeTest, CrossValidationPenalisesNoiseAndTrustsSignal) {
  Rng rng({81});
  Samples noise = {.d = 40}, signal = {.d = 1};
  std::vector<std::string> groups;
  for (int i = 0; i < 100; ++i) {
    for (int j = 0; j < 40; ++j) noise.x.push_back(static_cast<float>(rng.normal()));
    signal.x.push_back(static_cast<float>(rng.normal()) + (i % 2 == 0 ? 2.F : -2.F));
    noise.is_positive.push_back(i % 2 == 0);
    groups.push_back(std::to_string(i));
  }
  signal.is_positive = noise.is_positive;
  EXPECT_GE(choose_lambda(noise, groups), 1000);
  EXPECT_LE(choose_lambda(signal, groups), 10);
}

TEST(DenseProbeTest, FoldsThatWouldLackAClassMeanLambdaOne) {
  const Samples few = {.d = 1, .x = {1, 2, 3, 4}, .is_positive = {true, false, false, false}};
  EXPECT_EQ(choose_lambda(few, {"a", "b", "c", "d"}), 1);
}

}  // namespace
}  // namespace rebound
