#include "rebound/recover/lsmr.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/recover/jacobian.h"
#include "cross_fixture.h"

namespace rebound {
namespace {

LinearOperator operator_of(const at::Tensor& a) {  // [batch, m, n]
  return {[a](const at::Tensor& v) { return at::bmm(a, v.unsqueeze(-1)).squeeze(-1); },
          [a](const at::Tensor& u) { return at::bmm(a.transpose(1, 2), u.unsqueeze(-1)).squeeze(-1); }};
}

TEST(LsmrTest, GivesTheLeastSquaresSolutionOfLeastNorm) {
  Rng rng({3});
  // Wide, tall, and one of rank 2.
  for (const auto& [m, n, rank] : {std::tuple{4, 9, 4}, std::tuple{9, 4, 4}, std::tuple{6, 7, 2}}) {
    const at::Tensor a = at::bmm(random_tensor(rng, {3, m, rank}).to(at::kDouble),
                                 random_tensor(rng, {3, rank, n}).to(at::kDouble));
    const at::Tensor b = random_tensor(rng, {3, m}).to(at::kDouble);
    const at::Tensor exact = at::bmm(at::linalg_pinv(a, 1e-9), b.unsqueeze(-1)).squeeze(-1);
    const LsmrResult result = lsmr(operator_of(a), b, {.max_iterations = 60, .tolerance = 1e-12});
    EXPECT_LT((result.x - exact).abs().max().item<double>(), 1e-6) << m << " x " << n;
  }
}

TEST(LsmrTest, StopsAtOnceForAZeroRightSide) {
  const at::Tensor a = at::eye(3).unsqueeze(0);
  const LsmrResult result = lsmr(operator_of(a), at::zeros({1, 3}), {});
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(result.x.abs().sum().item<double>(), 0);
}

class ReadingJacobianTest : public testing::Test {
 protected:
  CrossSetting setting;
  CrossProblem problem = setting.problem();
  at::Tensor delta = random_delta(problem, 3, 0.2);
  at::Tensor allowed = at::ones({problem.size(), problem.n_sites(), problem.n_rows(), 1});
};

TEST_F(ReadingJacobianTest, ProductsEqualFiniteDifferencesAndEachOther) {
  const ReadingJacobian jacobian(problem, delta, allowed);
  Rng rng({6});
  const at::Tensor v = random_tensor(rng, {problem.size(), delta.numel() / problem.size()});
  const at::Tensor u = random_tensor(rng, jacobian.shift().sizes().vec());
  const at::Tensor forward = jacobian.times(v), backward = jacobian.transpose_times(u);
  EXPECT_LT(((forward * u).sum(1) - (v * backward).sum(1)).abs().max().item<double>(),
            1e-4 * (forward * u).sum(1).abs().max().item<double>() + 1e-3);
  const at::NoGradGuard no_grad;
  constexpr double kStep = 1e-3;
  const auto reading = [&](double t) {
    return flat_shift(problem, problem.run_sites(delta + t * v.view_as(delta), Span::kNone).reading);
  };
  const at::Tensor numeric = (reading(kStep) - reading(-kStep)) / (2 * kStep);
  EXPECT_LT((numeric - forward).abs().max().item<double>(), 2e-2 * forward.abs().max().item<double>());
}

TEST_F(ReadingJacobianTest, ProjectedStepsMoveNoReadingToFirstOrder) {
  const ReadingJacobian jacobian(problem, delta, allowed);
  Rng rng({7});
  const at::Tensor x = random_tensor(rng, {problem.size(), delta.numel() / problem.size()});
  const at::Tensor along = jacobian.project_out_rows(x, {.max_iterations = 80, .tolerance = 1e-7});
  EXPECT_LT(jacobian.times(along).norm().item<double>(), 1e-3 * jacobian.times(x).norm().item<double>());
  EXPECT_GT(along.norm().item<double>(), 0.3 * x.norm().item<double>());
}

TEST_F(ReadingJacobianTest, ANewtonStepShrinksTheShift) {
  const ReadingJacobian jacobian(problem, delta, allowed);
  const at::Tensor step = jacobian.newton_step({.max_iterations = 80, .tolerance = 1e-7}).detach();
  const double before = jacobian.shift().norm().item<double>();
  const at::NoGradGuard no_grad;
  const double after =
      flat_shift(problem, problem.run_sites(delta + step.view_as(delta), Span::kNone).reading).norm().item<double>();
  ASSERT_GT(before, 0.1);
  EXPECT_LT(after, 0.5 * before);
}

}  // namespace
}  // namespace rebound
