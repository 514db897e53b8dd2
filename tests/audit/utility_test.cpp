#include "rebound/audit/utility.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include "rebound/base/parallel.h"

namespace rebound {
namespace {

// The default model and SAE, loaded once; features are given, so that none are chosen.
const Subject& default_subject() {
  static const Subject subject = [] {
    at::set_num_threads(1);  // threads that spin inside small products take minutes on a busy machine
    set_blas_threads(1);
    AuditSpec spec = default_spec("ioi");
    spec.behaviour.n_train = spec.behaviour.n_test = 4;
    spec.defence.features = {1235, 6779, 3313, 563, 3322, 6070, 7635, 7686};
    return load_subject(spec);
  }();
  return subject;
}

Subject subject_with(FeatureEdit edit) {
  Subject subject = default_subject();
  edit.features = subject.defences.front()->features();
  edit.positions = subject.defences.front()->edits().front().positions;
  subject.defences = {std::make_shared<const Defence>(subject.sae, std::vector{edit}, subject.statistics.sink_norm)};
  return subject;
}

TEST(UtilityTest, AnEditThatChangesNothingCostsNothing) {
  const Json cost = measure_utility(subject_with({.kind = EditKind::kScale, .value = 1}), 1);
  EXPECT_EQ(cost.at("tokens"), 127.0);
  EXPECT_GT(cost.at("ce_base").get<double>(), 2);
  EXPECT_LT(cost.at("ce_base").get<double>(), 5);
  EXPECT_NEAR(cost.at("ce_defended").get<double>(), cost.at("ce_base").get<double>(), 1e-4);
  EXPECT_NEAR(cost.at("kl_to_base").get<double>(), 0, 1e-5);
  EXPECT_GE(cost.at("top1_agreement").get<double>(), 0.99);
}

TEST(UtilityTest, AddingToEveryTokenCostsMoreTheMoreIsAdded) {
  double before = 0;
  for (const double value : {10.0, 100.0}) {
    const Json cost = measure_utility(
        subject_with({.kind = EditKind::kAdd, .value = value, .when = EditWhen::kAlways}), 1);
    EXPECT_GT(cost.at("kl_to_base").get<double>(), before + 1e-3);
    before = cost.at("kl_to_base").get<double>();
  }
}

}  // namespace
}  // namespace rebound
