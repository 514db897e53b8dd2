#include "rebound/recover/cross_problem.h"

#include <gtest/gtest.h>

#include "cross_fixture.h"
#include "rebound/model/flops.h"
#include "support/failures.h"

namespace rebound {
namespace {

// Mean log-probability by whole runs from token 0, one prompt at a time: the second road.
double whole_run_score(const CrossSetting& setting, size_t example, const at::Tensor& delta) {
  const TargetAnswer& target = setting.answers[example];
  std::vector<int64_t> ids = target.prompt;
  ids.insert(ids.end(), target.answer.begin(), target.answer.end());
  const int64_t first = static_cast<int64_t>(target.prompt.size()) - 1;
  const int64_t n = static_cast<int64_t>(target.answer.size());
  Hooks hooks;
  for (size_t i = 0; i < setting.plan->size(); ++i) {
    const auto clamp = setting.plan->clamps()[i];
    const at::Tensor mine = delta[static_cast<int64_t>(example)][static_cast<int64_t>(i)];
    hooks.edits[clamp->site()] = [=](const at::Tensor& value, const Rows& rows) {
      at::Tensor out = clamp->apply(value, rows).clone();
      out.narrow(1, first, n) += mine.narrow(0, 0, n);
      return out;
    };
  }
  const at::NoGradGuard no_grad;
  const at::Tensor resid = setting.model.run(TokenBatch::from({ids}), {.hooks = hooks}).resid;
  const at::Tensor log_probs = at::log_softmax(setting.model.logits(resid), -1);
  double sum = 0;
  for (int64_t row = 0; row < n; ++row) {
    sum += log_probs[0][first + row][target.answer[static_cast<size_t>(row)]].item<double>();
  }
  return sum / static_cast<double>(n);
}

TEST(CrossProblemTest, ScoresEqualWholeRunsOfSinglePrompts) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  const at::Tensor delta = random_delta(problem);
  const CrossRun run = problem.run(delta, Span::kNone);
  for (size_t i = 0; i < setting.answers.size(); ++i) {
    EXPECT_NEAR(run.score[static_cast<int64_t>(i)].item<double>(), whole_run_score(setting, i, delta), 2e-5) << i;
  }
}

TEST(CrossProblemTest, WithoutPerturbationReadingsAreTheDefendedOnes) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  for (const Span span : {Span::kNone, Span::kEncoder, Span::kEncoderDecoder}) {
    const CrossRun run = problem.run(problem.zero_delta(), span);
    EXPECT_LT(flat_shift(problem, run.reading).abs().max().item<double>(), 2e-5);
    EXPECT_LT(run.effective_norm().max().item<double>(), 2e-4);
  }
}

TEST(CrossProblemTest, ForwardProjectionKeepsEveryProtectedReading) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  const at::Tensor delta = random_delta(problem, 2, 1.0);
  const double free = flat_shift(problem, problem.run(delta, Span::kNone).reading).norm().item<double>();
  ASSERT_GT(free, 1);
  for (const Span span : {Span::kEncoder, Span::kEncoderDecoder}) {
    const CrossRun run = problem.run(delta, span);
    EXPECT_LT(flat_shift(problem, run.reading).norm().item<double>(), 1e-5 * free);
    EXPECT_GT((run.score - problem.run(problem.zero_delta(), span).score).abs().min().item<double>(), 1e-3);
  }
}

TEST(CrossProblemTest, TheDecoderSpanHoldsReadColumnsAndWriteRows) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  for (const ClampedSite& site : problem.sites()) {
    const at::Tensor columns = site.clamp->read_columns(), rows = site.clamp->write_rows();
    EXPECT_LT(project_out(columns.t(), site.encoder_basis).norm().item<double>(), 1e-5 * columns.norm().item<double>());
    EXPECT_LT(project_out(rows, site.encoder_decoder_basis).norm().item<double>(), 1e-5 * rows.norm().item<double>());
  }
  EXPECT_EQ(problem.sites()[1].encoder_basis.size(1), 3);
  EXPECT_EQ(problem.sites()[1].encoder_decoder_basis.size(1), 6);
}

TEST(CrossProblemTest, ABatchGivesWhatSinglesGive) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  const at::Tensor delta = random_delta(problem);
  const CrossRun all = problem.run(delta, Span::kEncoder);
  for (int64_t i = 0; i < problem.size(); ++i) {
    const at::Tensor index = at::tensor({i}, at::kLong);
    const CrossRun one = problem.select(index).run(delta.index_select(0, index), Span::kEncoder);
    EXPECT_NEAR(one.score.item<double>(), all.score[i].item<double>(), 1e-5);
    EXPECT_NEAR(one.effective_norm().item<double>(), all.effective_norm()[i].item<double>(), 1e-4);
  }
}

TEST(CrossProblemTest, GradientsEqualFiniteDifferences) {
  CrossSetting setting;
  const CrossProblem problem = setting.problem();
  for (const Span span : {Span::kNone, Span::kEncoder}) {
    const at::Tensor delta = random_delta(problem).requires_grad_(true);
    const at::Tensor gradient = torch::autograd::grad({problem.run(delta, span).score.sum()}, {delta})[0];
    const at::Tensor way = random_delta(problem, 8, 0.1);
    constexpr double kStep = 1e-2;
    const at::NoGradGuard no_grad;
    const auto score = [&](double t) { return problem.run(delta + t * way, span).score.sum().item<double>(); };
    const double numeric = (score(kStep) - score(-kStep)) / (2 * kStep);
    const double exact = (gradient * way).sum().item<double>();
    EXPECT_NEAR(numeric, exact, 5e-3 * std::max(0.1, std::abs(exact)));
  }
}

TEST(CrossProblemTest, RunningTheSitesAloneGivesTheSameReadingsForLess) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  const at::Tensor delta = random_delta(problem);
  const auto cost = [&](const auto& body) {
    const int64_t before = FlopCount::total();
    body();
    return FlopCount::total() - before;
  };
  CrossRun all, sites;
  const int64_t whole = cost([&] { all = problem.run(delta, Span::kNone); });
  const int64_t partial = cost([&] { sites = problem.run_sites(delta, Span::kNone); });
  ASSERT_EQ(sites.reading.size(), all.reading.size());
  for (size_t i = 0; i < sites.reading.size(); ++i) {
    EXPECT_LT((sites.reading[i] - all.reading[i]).abs().max().item<double>(), 1e-6);
  }
  EXPECT_LT(partial, whole * 2 / 3);
}

TEST(CrossProblemTest, PaddingRowsDoNothing) {
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  at::Tensor delta = problem.zero_delta();
  delta[2].slice(1, 3).fill_(5);  // the third answer has three tokens
  const CrossRun run = problem.run(delta, Span::kNone), none = problem.run(problem.zero_delta(), Span::kNone);
  EXPECT_EQ(run.score[2].item<float>(), none.score[2].item<float>());
  EXPECT_EQ(run.effective_norm()[2].item<float>(), 0);
}

TEST(CrossProblemTest, AnEmptyAnswerIsADataError) {
  CrossSetting setting;
  setting.answers[1].answer.clear();
  EXPECT_NE(message_of<DataError>([&] { setting.problem(); }).find("empty prompt or answer"), std::string::npos);
}

// Deficits of all rows, in parallel along the leak, cost half of the budget by construction.
TEST(CrossProblemTest, APlantedLeakWritesTheAnswerWithTheNormAskedFor) {
  const at::NoGradGuard no_grad;
  const CrossSetting setting;
  const CrossProblem problem = setting.problem();
  constexpr double kNorm = 1e-3;  // so small that the model itself does not feel it
  Rng rng({12});
  const at::Tensor drawn = random_tensor(rng, {24});
  const CrossProblem leaking = problem.with_leak(drawn, kNorm);
  const at::Tensor zero = problem.zero_delta();
  const CrossRun plain = problem.run(zero, Span::kNone);
  EXPECT_TRUE(at::equal(leaking.run(zero, Span::kNone).logits, plain.logits));

  const at::Tensor free = project_out(drawn, problem.sites().front().encoder_decoder_basis);
  const at::Tensor target = plain.logits.gather(2, problem.targets().unsqueeze(-1)).squeeze(-1);
  const at::Tensor deficit = (plain.logits.amax(-1) - target) * problem.is_real();
  const at::Tensor share = deficit / deficit.norm(2, 1, /*keepdim=*/true);
  const auto written = [&](const CrossProblem& one, const at::Tensor& parts, double norm) {
    at::Tensor delta = one.zero_delta();
    delta.select(1, 0).copy_(norm * parts.unsqueeze(-1) * (free / free.norm()));
    const CrossRun run = one.run(delta, Span::kNone);
    EXPECT_LT((run.effective_norm() - norm).abs().max().item<double>(), 1e-3 * norm);
    return (run.is_argmax | ~one.is_real()).all(1);
  };
  EXPECT_TRUE(written(leaking, share, 1.02 * kNorm).all().item<bool>());
  EXPECT_FALSE(written(leaking, share, 0.98 * kNorm).any().item<bool>());
  EXPECT_FALSE(written(problem, share, 1.02 * kNorm).any().item<bool>());
  const at::Tensor last = at::tensor({2L}, at::kLong);
  EXPECT_TRUE(written(leaking.select(last), share.index_select(0, last), 1.02 * kNorm).all().item<bool>());
}

}  // namespace
}  // namespace rebound
