#include "rebound/recover/constraint.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "recover/recover_fixture.h"

namespace rebound {
namespace {

// A ReLU SAE with these encoder columns [d, n] and decoder rows [n, d].
Sae sae_of(const at::Tensor& columns, const at::Tensor& rows) {
  const int64_t d = columns.size(0), n = columns.size(1);
  return Sae({.kind = SaeKind::kStandard, .d_in = d, .d_sae = n},
             {columns, at::zeros({n}), rows, at::zeros({d}), {}});
}

Sae random_sae(int64_t d = 24, int64_t n = 10) {
  Rng rng({12});
  return sae_of(random_tensor(rng, {d, n}), random_tensor(rng, {n, d}));
}

// Whole numbers, so that sums of columns are exact: columns 0, 1, their sum, and 0 again.
Sae rank_two_sae() {
  const at::Tensor a = floats({1., 2., 0., -1., 3., 0.}), b = floats({0., 1., 4., 2., 0., 1.});
  const at::Tensor columns = at::stack({a, b, a + b, a}, 1);
  return sae_of(columns, columns.t().contiguous());
}

TEST(LadderTest, NamesGoFromFreeToTightAndOthersAreRefused) {
  std::vector<std::string> names;
  for (const Rung& rung : ladder()) names.push_back(rung.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "none", "penalty", "encoder_published", "encoder", "encoder_decoder"}));
  try {
    rung_of("encodr");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_NE(std::string(e.what()).find("got \"encodr\", expected one of: none, penalty"),
              std::string::npos);
  }
}

class ProjectionTest : public ::testing::TestWithParam<const char*> {
 protected:
  at::Tensor random_points(double scale = 3) { return random_tensor(rng_, {5, 2, 24}, scale); }
  // The vectors that a feasible point is orthogonal to, as columns.
  at::Tensor forbidden() const {
    const at::Tensor columns = sae_.encoder_columns(features_);
    if (std::string(GetParam()) == "encoder") return columns;
    return at::cat({columns, sae_.decoder_rows(features_).t()}, 1);
  }
  Rng rng_{8};
  const Sae sae_ = random_sae();
  const Sae::Features features_ = {1, 4, 7};
  const Constraint constraint_{rung_of(GetParam()), sae_, features_};
};

TEST_P(ProjectionTest, TheResultIsFeasible) {
  const at::Tensor point = constraint_.project(random_points());
  const at::Tensor vectors = forbidden();
  const at::Tensor sizes = vectors.norm(2, 0) * point.norm(2, -1, true);  // [5, 2, n]
  EXPECT_LT((at::matmul(point, vectors).abs() / sizes).max().item<double>(), 1e-6);
  EXPECT_LT(constraint_.violation(point), 1e-6);
  EXPECT_GT(point.norm().item<double>(), 1);
}

TEST_P(ProjectionTest, FeasiblePointsDoNotMove) {
  const at::Tensor once = constraint_.project(random_points());
  EXPECT_LT(relative_gap(constraint_.project(once), once), 1e-6);
}

TEST_P(ProjectionTest, DistancesNeverGrow) {
  const at::Tensor a = random_points(), b = random_points();
  const at::Tensor before = (a - b).norm(2, -1);
  const at::Tensor after = (constraint_.project(a) - constraint_.project(b)).norm(2, -1);
  EXPECT_TRUE((after <= before * (1 + 1e-6)).all().item<bool>());
}

// The removed part is a combination of the forbidden vectors: nothing else is taken away.
TEST_P(ProjectionTest, TheNearestFeasiblePointIsTaken) {
  const at::Tensor point = random_points();
  const at::Tensor removed = (point - constraint_.project(point)).view({10, 24}).t();
  const at::Tensor vectors = forbidden();
  const at::Tensor fit = std::get<0>(at::linalg_lstsq(vectors, removed));
  EXPECT_LT(relative_gap(at::matmul(vectors, fit), removed), 1e-5);
}

TEST_P(ProjectionTest, TheFreeDimensionIsWhatRemains) {
  EXPECT_EQ(constraint_.free_dimension(), 24 - forbidden().size(1));
  EXPECT_EQ(constraint_.basis().size(1), forbidden().size(1));
}

INSTANTIATE_TEST_SUITE_P(Rungs, ProjectionTest, ::testing::Values("encoder", "encoder_decoder"));

TEST(ConstraintTest, RungsWithoutProjectionLeaveDeltaAlone) {
  Rng rng({3});
  const at::Tensor delta = random_tensor(rng, {2, 1, 24});
  for (const char* name : {"none", "penalty", "encoder_published"}) {
    const Constraint constraint(rung_of(name), random_sae(), {0, 1});
    EXPECT_FALSE(constraint.projects());
    EXPECT_EQ(constraint.free_dimension(), 24);
    EXPECT_TRUE(constraint.project(delta).equal(delta));
    EXPECT_GT(constraint.violation(delta), 1e-2);
  }
}

TEST(ConstraintTest, DependentColumnsCountOnce) {
  const Sae sae = rank_two_sae();
  const auto free = [&](const char* rung, const Sae::Features& features) {
    return Constraint(rung_of(rung), sae, features).free_dimension();
  };
  EXPECT_EQ(free("encoder", {0}), 5);
  EXPECT_EQ(free("encoder", {0, 3}), 5);
  EXPECT_EQ(free("encoder", {0, 1, 2, 3}), 4);
  EXPECT_EQ(free("encoder_decoder", {0, 1, 2, 3}), 4);  // rows equal columns here
  const Constraint constraint(rung_of("encoder"), sae, {0, 1, 2, 3});
  Rng rng({2});
  EXPECT_LT(constraint.violation(constraint.project(random_tensor(rng, {9, 1, 6}))), 1e-6);
}

TEST(ConstraintTest, ASmallColumnIsAsForbiddenAsALargeOne) {
  const at::Tensor columns = floats({1000., 0., 0., 0., 1e-6, 0.}).view({2, 3}).t().contiguous();
  const Constraint constraint(
      rung_of("encoder"), sae_of(columns, columns.t().contiguous()), {0, 1});
  EXPECT_EQ(constraint.free_dimension(), 1);
}

TEST(ConstraintTest, NothingLeftFreeIsANumericError) {
  const at::Tensor all = at::eye(3);
  EXPECT_THROW(Constraint(rung_of("encoder"), sae_of(all, all), {0, 1, 2}), NumericError);
  // Two columns and one further row.
  const at::Tensor rows = floats({0., 0., 1., 0., 1., 0., 1., 0., 0.}).view({3, 3});
  EXPECT_EQ(Constraint(rung_of("encoder"), sae_of(all, rows), {0, 1}).free_dimension(), 1);
  EXPECT_THROW(Constraint(rung_of("encoder_decoder"), sae_of(all, rows), {0, 1}), NumericError);
}

TEST(ConstraintTest, HandComputedViolation) {
  // |A^T delta| = |(2 * 3, 1 * 4)|, |A| = 2, |delta| = 5
  const at::Tensor columns = floats({2., 0., 0., 0., 1., 0.}).view({2, 3}).t().contiguous();
  const Constraint constraint(rung_of("none"), sae_of(columns, columns.t().contiguous()), {0, 1});
  EXPECT_NEAR(
      constraint.violation(floats({3., 4., 0.}).view({1, 1, 3})), std::sqrt(52.) / 10, 1e-6);
  EXPECT_EQ(constraint.violation(at::zeros({1, 1, 3})), 0);
}

// g - A (A^T A + ridge I)^-1 A^T g along orthogonal columns of norms 2 and 1: each coordinate
// shrinks to ridge / (norm^2 + ridge).
TEST(ConstraintTest, ThePublishedFilterIsARidgeProjectionOfTheGradient) {
  const at::Tensor columns = floats({2., 0., 0., 0., 1., 0.}).view({2, 3}).t().contiguous();
  const Rung rung{.name = "x", .gradient_ridge = 0.5};
  const Constraint constraint(rung, sae_of(columns, columns.t().contiguous()), {0, 1});
  const at::Tensor filtered = constraint.filter_gradient(floats({9., 3., 7.}).view({1, 1, 3}));
  EXPECT_LT(relative_gap(filtered.view({3}), floats({1., 1., 7.})), 1e-6) << filtered;
  EXPECT_EQ(rung_of("encoder_published").gradient_ridge, 1e-4);
  const Constraint exact(rung_of("encoder"), random_sae(), {0, 1});
  const at::Tensor gradient = at::ones({1, 1, 24});
  EXPECT_TRUE(exact.filter_gradient(gradient).equal(gradient));
}

TEST(ConstraintTest, PenaltyIsTheWeightedSquareOfTheShift) {
  const Constraint constraint(Rung{.name = "x", .penalty_weight = 0.5}, random_sae(), {0, 1});
  const at::Tensor shift = floats({1., 2., 0., 3., -4., 0., 0., 0.}).view({2, 2, 2});
  EXPECT_TRUE(constraint.penalty(shift).equal(floats({7., 8.})));
}

TEST(OrthonormalBasisTest, SpansTheVectorsWithOrthonormalColumns) {
  Rng rng({4});
  const at::Tensor few = random_tensor(rng, {12, 3});
  const at::Tensor vectors = at::cat({few, few * 2}, 1);
  const at::Tensor basis = orthonormal_basis(vectors);
  ASSERT_EQ(basis.size(1), 3);
  EXPECT_LT(relative_gap(at::matmul(basis.t(), basis), at::eye(3)), 1e-6);
  EXPECT_LT(relative_gap(at::matmul(basis, at::matmul(basis.t(), vectors)), vectors), 1e-6);
}

}  // namespace
}  // namespace rebound
