// The probe as an independent monitor of base, defended and recovered states.
#include "rebound/probe/fitted_probe.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/io/safetensors.h"
#include "rebound/probe/dense_probe.h"
#include "rebound/sae/sinks.h"
#include "rebound/stats/roc.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

constexpr int64_t kBatch = 200, kPos = 5, kProbeWidth = 12;
const Site kProbeSite{1, SiteKind::kResidPre};

// Noise, and 2 along `signal` on every token of a positive example; a sink at position 0.
struct Batch {
  at::Tensor resid, signal, is_counted;
  std::vector<bool> is_positive;
  Rows rows;
};

Batch planted_batch() {
  Rng rng({71});
  Batch batch;
  batch.signal = random_tensor(rng, {kProbeWidth});
  batch.signal = batch.signal / batch.signal.norm();
  batch.resid = random_tensor(rng, {kBatch, kPos, kProbeWidth});
  for (int64_t i = 0; i < kBatch; ++i) {
    batch.is_positive.push_back(i % 2 == 0);
    if (i % 2 == 0) batch.resid[i] += 2 * batch.signal;
  }
  batch.resid.select(1, 0).mul_(1000);
  batch.rows = TokenBatch::from(std::vector<std::vector<int64_t>>(kBatch, {1, 2, 3, 4, 5})).rows();
  batch.is_counted = counted_tokens(batch.resid, batch.rows);
  return batch;
}

FittedProbe fit(const Batch& batch, const Pooler& pooler) {
  Samples samples = {.d = kProbeWidth, .x = {}, .is_positive = batch.is_positive};
  std::vector<std::string> groups;
  for (int64_t i = 0; i < kBatch; ++i) {
    const at::Tensor tokens = batch.resid[i].index({batch.is_counted[i]});
    const at::Tensor pooled = pooler.reduce(pooler.select(tokens)).contiguous();
    samples.x.insert(
        samples.x.end(), pooled.data_ptr<float>(), pooled.data_ptr<float>() + kProbeWidth);
    groups.push_back(std::to_string(i));
  }
  return {"planted", kProbeSite, pooler, fit_dense(samples, groups).model};
}

TEST(MonitorTest, ReadsBaseLosesTheClampedDirectionAndSeesTheRecovery) {
  const Batch batch = planted_batch();
  const FittedProbe probe = fit(batch, parse_pooler("mean"));
  const auto area = [&](const at::Tensor& resid) {
    return auroc(monitor_scores(probe, resid, batch.is_counted), batch.is_positive);
  };
  EXPECT_GT(area(batch.resid), 0.97);
  // An ablation of the direction leaves a probe that reads it at chance.
  const DirectionClamp clamp(
      kProbeSite,
      batch.signal,
      {.edit = DirectionEdit::kAblate, .strength = 1, .positions = {}, .sink_norm = 100});
  const at::Tensor defended = clamp.apply(batch.resid, batch.rows);
  EXPECT_NEAR(area(defended), 0.5, 0.17);
  // A perturbation that writes the signal back into positives alone restores the reading.
  at::Tensor recovered = defended.clone();
  for (int64_t i = 0; i < kBatch; i += 2) recovered[i] += 4 * batch.signal;
  EXPECT_GT(area(recovered), 0.97);
  // A clamp of another direction leaves the information where it was.
  at::Tensor other = at::zeros({kProbeWidth});
  other[0] = batch.signal[1].item<float>();
  other[1] = -batch.signal[0].item<float>();
  const DirectionClamp elsewhere(
      kProbeSite,
      other,
      {.edit = DirectionEdit::kAblate, .strength = 1, .positions = {}, .sink_norm = 100});
  EXPECT_GT(area(elsewhere.apply(batch.resid, batch.rows)), 0.95);
}

TEST(MonitorTest, TokensThatDoNotCountAreNotRead) {
  const Batch batch = planted_batch();
  const FittedProbe probe = fit(batch, parse_pooler("max"));
  at::Tensor changed = batch.resid.clone();
  changed.select(1, 0).fill_(1e6);
  EXPECT_EQ(monitor_scores(probe, changed, batch.is_counted),
            monitor_scores(probe, batch.resid, batch.is_counted));
}

TEST(MonitorTest, ScoresAreTheFormula) {
  const FittedProbe probe = {"t", kProbeSite, parse_pooler("mean"), {{2, -1}, 0.5}};
  const at::Tensor resid = at::tensor({9.F, 9.F, 1.F, 2.F, 3.F, 6.F}).view({1, 3, 2});
  const at::Tensor counted = at::tensor({0, 1, 1}).to(at::kBool).view({1, 3});
  EXPECT_DOUBLE_EQ(monitor_scores(probe, resid, counted).at(0), 2 * 2 - 4 + 0.5);
}

TEST(MonitorTest, OtherShapesAreRefused) {
  const FittedProbe probe = {"t", kProbeSite, parse_pooler("mean"), {{2, -1}, 0.5}};
  message_of<DataError>([&] {
    monitor_scores(probe, at::zeros({1, 3, 4}), at::ones({1, 3}, at::kBool));
  });
  message_of<DataError>([&] {
    monitor_scores(probe, at::zeros({1, 3, 2}), at::ones({1, 2}, at::kBool));
  });
  EXPECT_NE(message_of<DataError>([&] {
              monitor_scores(probe, at::zeros({1, 3, 2}), at::zeros({1, 3}, at::kBool));
            }).find("example 0: pooling: got a text without a token"),
            std::string::npos);
}

TEST(FittedProbeTest, AFileGivesTheSameProbe) {
  const FittedProbe probe = {"t", kProbeSite, parse_pooler("-5"), {{0.1, -1e-9, 3}, 0.25}};
  const auto path = fresh_folder("probe") / "p.safetensors";
  save_probe(probe, path);
  const FittedProbe read = load_probe(path);
  EXPECT_EQ(read.task, "t");
  EXPECT_EQ(read.site, kProbeSite);
  EXPECT_EQ(to_string(read.pooler), "-5");
  EXPECT_EQ(read.model.weight, probe.model.weight);
  EXPECT_EQ(read.model.intercept, probe.model.intercept);
}

TEST(FittedProbeTest, AnotherFileIsADataError) {
  const auto path = fresh_folder("probe") / "p.safetensors";
  write_safetensors(path, {}, {{"format", "pt"}});
  EXPECT_NE(message_of<DataError>([&] { load_probe(path); }).find("expected rebound-probe"),
            std::string::npos);
  write_safetensors(path, {});
  EXPECT_NE(message_of<DataError>([&] { load_probe(path); }).find("metadata without \"format\""),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
