#include "rebound/audit/answer_counts.h"
#include "rebound/audit/answer_cost.h"

#include <gtest/gtest.h>

#include "audit/audit_fixture.h"
#include "rebound/base/error.h"
#include "support/failures.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

// One site, an SAE of 24 dimensions and four features.
AnswerDesign design_of_four_features() {
  Rng rng({4});
  const SaeConfig config{
      .kind = SaeKind::kStandard, .d_in = 24, .d_sae = 40, .hook_name = "blocks.1.hook_resid_pre"};
  AnswerDesign::Part part{.site = {1, SiteKind::kResidPre}};
  part.sae = std::make_shared<const Sae>(config,
                                         SaeWeights{random_tensor(rng, {24, 40}, 0.3), random_tensor(rng, {40}, 0.1),
                                                    random_tensor(rng, {40, 24}, 0.3), random_tensor(rng, {24}, 0.1),
                                                    at::zeros({40})});
  part.features = {7, 3, 21, 30};
  part.differences = {2, 1.5, 0.5, 0.25};
  AnswerDesign design;
  design.parts.push_back(part);
  return design;
}

double written_norm(const AnswerDesign::Part& part) {
  const at::Tensor rows = part.sae->decoder_rows(part.features);
  return at::matmul(at::tensor(part.differences).to(at::kFloat), rows).norm().item<double>();
}

TEST(AnswerCountsTest, FewerAndMoreFeaturesPushAsHardAsTheReference) {
  const AnswerDesign design = design_of_four_features();
  const double reference = written_norm(design.with_features(2, 2).parts[0]);
  for (const int64_t count : {1, 2, 3, 4, 9}) {
    const AnswerDesign fewer = design.with_features(count, 2);
    EXPECT_EQ(fewer.parts[0].features.size(), static_cast<size_t>(std::min<int64_t>(count, 4)));
    EXPECT_NEAR(written_norm(fewer.parts[0]), reference, 1e-5 * reference) << count;
  }
}

TEST(AnswerCountsTest, TheReferenceItselfIsNotRescaled) {
  const AnswerDesign same = design_of_four_features().with_features(2, 2);
  EXPECT_EQ(same.parts[0].features, (Sae::Features{7, 3}));
  EXPECT_NEAR(same.parts[0].differences[0], 2, 1e-6);
  EXPECT_NEAR(same.parts[0].differences[1], 1.5, 1e-6);
}

TEST(AnswerCountsTest, DirectionsHaveNoFeaturesToCount) {
  AnswerDesign design;
  design.parts.push_back({.site = {1, SiteKind::kResidPre}, .direction = at::ones({24})});
  EXPECT_NE(message_of<ConfigError>([&] { design.with_features(1, 1); }).find("feature_counts"), std::string::npos);
}

TEST(AnswerCostTest, WhatIsAddedTakesLonger) {
  const AnswerAuditSpec quick = default_answer_spec("refusal", Preset::kQuick);
  const double minutes = expected_minutes(quick, 40);
  EXPECT_GT(minutes, 5);
  EXPECT_LT(minutes, 30);
  EXPECT_GT(expected_minutes(quick, 80), 1.5 * minutes);
  AnswerAuditSpec more = quick;
  more.rows.push_back(AnswerRowSpec::of("jacobian_sampled"));
  EXPECT_GT(expected_minutes(more, 40), minutes + 20);  // 80 steps of more than a second for 24 flips
  more = quick;
  more.feature_counts = {1, 5};
  EXPECT_GT(expected_minutes(more, 40), minutes);
  more = quick;
  more.controls.is_on = more.attribution.is_on = false;
  EXPECT_LT(expected_minutes(more, 40), minutes);
}

class FeatureCountStoreTest : public RunFolderTest {};

TEST_F(FeatureCountStoreTest, TheTableHasTheCountsThatAreDone) {
  AnswerAuditSpec spec = default_answer_spec("refusal", Preset::kQuick);
  spec.feature_counts = {1, 5};
  Store store = Store::create(folder("run.sqlite"));
  const std::string row = concat("features=5/", spec.headline().name());
  const Json like = {{"base_like", true}, {"strict_base_like", false}, {"norm", 30.0}};
  store.put_batch({.row = row,
                   .results = {{.prompt = 0, .recovered = true, .figures = like},
                               {.prompt = 3, .recovered = false, .figures = {{"base_like", false}, {"norm", 40.0}}}}});
  store.put_artefact(row, Json({{"n_valid_refused", 2}, {"n_valid_broken", 1}}).dump());
  const Json table = summarise_feature_counts(spec, store);
  ASSERT_EQ(table.size(), 1u);
  EXPECT_EQ(table[0].at("features"), 5);
  EXPECT_EQ(table[0].at("n_valid_refused"), 2);
  EXPECT_EQ(table[0].at("n_valid_broken"), 1);
  EXPECT_EQ(table[0].at("recovered"), 1);
  EXPECT_EQ(table[0].at("base_like"), 1);
  EXPECT_EQ(table[0].at("strict_base_like"), 0);
  EXPECT_DOUBLE_EQ(table[0].at("norm").get<double>(), 35);
  EXPECT_TRUE(table[0].at("drift_pre_rel").is_null());
}

}  // namespace
}  // namespace rebound
