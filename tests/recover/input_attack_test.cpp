#include "rebound/recover/input_attack.h"

#include <gtest/gtest.h>

#include "input_attack_fixture.h"
#include "rebound/model/flops.h"
#include "rebound/model/generate_batch.h"
#include "support/failures.h"

namespace rebound {
namespace {

// One pass from token 0, nothing cached, with the suffix put in below the plan's own edits.
void expect_whole_run(const SuffixProblem& problem,
                      const ClampPlan& plan,
                      const SuffixedPrompt& prompt) {
  const at::NoGradGuard no_grad;
  const at::Tensor suffix = random_suffix(1);
  const Tokens forced(prompt.answer.begin(), prompt.answer.begin() + 3);
  RunOptions options{.hooks = problem.hooks(suffix[0])};
  for (const auto& clamp : plan.clamps()) options.hooks.capture.insert(clamp->site());
  const Tokens ids = joined({prompt.before, prompt.suffix, prompt.after, forced});
  const RunOutput whole = problem.model().run(TokenBatch::from({ids}), options);
  const at::Tensor log_probs = at::log_softmax(problem.model().logits(whole.resid[0]), -1);
  const SuffixRun run = problem.run(suffix);
  double sum = 0;
  for (int64_t row = 0; row < 4; ++row) {
    const int64_t target = prompt.answer[static_cast<size_t>(row)];
    sum += log_probs[9 + row][target].item<double>();
    EXPECT_EQ(run.is_argmax[0][row].item<bool>(),
              log_probs[9 + row].argmax().item<int64_t>() == target);
  }
  EXPECT_NEAR(run.score.item<double>(), sum / 4, 2e-5);
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto& clamp = plan.clamps()[i];
    const at::Tensor reading = clamp->read(whole.activations.at(clamp->site())).slice(1, 9, 13);
    EXPECT_LT(relative_gap(run.reading[i], reading), 2e-5) << to_string(clamp->site());
  }
}

TEST(SuffixProblemTest, PrefixCacheGivesTheWholeRunFromTokenZero) {
  const SuffixSetting setting;
  expect_whole_run(setting.problem(), *setting.cross.plan, setting.prompt);
  expect_whole_run(setting.edge_problem(), *edge_plan(setting.model.config()), setting.prompt);
}

// The second road: an embedding of a token is that token.
TEST(SuffixProblemTest, EmbeddedTokensScoreAsTokens) {
  const SuffixSetting setting;
  const Tokens other = {7, 50, 21};
  SuffixedPrompt prompt = setting.prompt;
  prompt.suffix = other;
  const auto plan = edge_plan(setting.model.config());
  const SuffixProblem there = SuffixProblem::record(setting.model, plan, prompt, 4);
  EXPECT_NEAR(loss_of(setting.edge_problem(), other), loss_of(there, other), 2e-5);

  const CrossProblem cross =
      CrossProblem::record(setting.model,
                           setting.cross.plan,
                           {{joined({prompt.before, other, prompt.after}), prompt.answer}},
                           4);
  const double score = cross.run(cross.zero_delta(), Span::kNone).score.item<double>();
  EXPECT_NEAR(-loss_of(setting.problem(), other), score, 2e-5);
}

TEST(SuffixProblemTest, DriftIsMeasuredFromTheDefendedRunWithoutTheSuffix) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const SuffixedPrompt& prompt = setting.prompt;
  const CrossProblem cross =
      CrossProblem::record(setting.model,
                           setting.cross.plan,
                           {{joined({prompt.before, prompt.after}), prompt.answer}},
                           4);
  const SuffixRun run = problem.run(random_suffix(2));
  double squares = 0;
  for (size_t i = 0; i < cross.sites().size(); ++i) {
    const at::Tensor& defended = cross.sites()[i].read_def;
    EXPECT_LT(relative_gap(problem.read_def()[i], defended[0]), 2e-5);
    const double ratio = (run.reading[i] - defended).norm().item<double>() /
                         std::max(defended.norm().item<double>(),
                                  1e-6 * cross.sites()[i].h_def.norm().item<double>());
    squares += ratio * ratio / 3;
  }
  EXPECT_NEAR(problem.squared_drift(run).item<double>(), squares, 1e-2 * squares);
  EXPECT_NEAR(problem.relative_drift(run).item<double>(),
              relative_drift(cross, run.reading).item<double>(),
              1e-4);
  EXPECT_GT(problem.relative_drift(run).item<double>(), 0.01);
}

// The defended reading of an ablated direction is ~1e-7: a shift over that would be any number.
TEST(SuffixProblemTest, OfAblatedReadingsThereIsNoRelativeDrift) {
  const SuffixSetting setting;
  const SuffixProblem problem = SuffixProblem::record(
      setting.model, ablating_plan(setting.model.config()), setting.prompt, 4);
  const SuffixRun run = problem.run(random_suffix(2));
  EXPECT_TRUE(std::isnan(problem.relative_drift(run).item<double>()));
  EXPECT_TRUE(problem.squared_drift(run).isfinite().all().item<bool>());
  EXPECT_GT(problem.least_reading(), 0);
}

TEST(SuffixProblemTest, GradientEqualsFiniteDifferences) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.edge_problem();
  const auto loss = [&](const at::Tensor& suffix) {
    const SuffixRun run = problem.run(suffix);
    return -run.score.sum() + problem.squared_drift(run).sum();
  };
  const at::Tensor x = random_suffix(3).requires_grad_();
  const at::Tensor gradient = torch::autograd::grad({loss(x)}, {x})[0];
  const at::NoGradGuard no_grad;
  const double step = 5e-3;
  for (uint64_t seed = 10; seed < 14; ++seed) {
    at::Tensor along = random_suffix(seed);
    along = along / along.norm();
    const double measured =
        (loss(x + step * along) - loss(x - step * along)).item<double>() / (2 * step);
    EXPECT_NEAR((gradient * along).sum().item<double>(), measured, 2e-3);
  }
  EXPECT_GT(gradient.norm().item<double>(), 0.1);
}

TEST(SuffixProblemTest, BatchGivesWhatSinglesGive) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const at::Tensor suffix = random_suffix(4, 3);
  const SuffixRun all = problem.run(suffix);
  for (int64_t i = 0; i < 3; ++i) {
    const SuffixRun single = problem.run(suffix.slice(0, i, i + 1));
    EXPECT_LT(relative_gap(all.log_prob[i], single.log_prob[0]), 2e-5);
    EXPECT_NEAR(problem.squared_drift(all)[i].item<double>(),
                problem.squared_drift(single).item<double>(),
                1e-3);
  }
}

TEST(SuffixProblemTest, RunsCostOnlyTheRowsFromTheSuffixOn) {
  const SuffixSetting setting;
  SuffixedPrompt longer = setting.prompt;
  longer.before.resize(100, 8);
  const SuffixProblem problem = SuffixProblem::record(setting.model, setting.cross.plan, longer, 4);
  const auto cost = [&](const auto& body) {
    const int64_t before = FlopCount::total();
    body();
    return FlopCount::total() - before;
  };
  const int64_t part = cost([&] { problem.run(random_suffix(5)); });
  const int64_t whole = cost([&] {
    setting.model.run(TokenBatch::from({joined({longer.before, longer.suffix, longer.after})}));
  });
  EXPECT_LT(part * 5, whole);
}

TEST(SuffixProblemTest, HooksGenerateWhatTheTokensWouldGive) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const Tokens tokens = {7, 50, 21};
  const Tokens prompt = joined({setting.prompt.before, tokens, setting.prompt.after});
  const GenerateBatchOptions options{.max_new_tokens = 6, .stop_tokens = {}, .next_tokens = {}};
  const auto wanted = generate_batch(setting.model, {prompt}, options, setting.cross.plan->hooks());
  const Hooks hooks = problem.hooks(embedded(problem, tokens)[0]);
  EXPECT_EQ(generate_batch(setting.model, {problem.prompt_tokens()}, options, hooks), wanted);
  EXPECT_EQ(wanted[0].size(), 6U);
}

TEST(SuffixProblemTest, BadPromptsAreErrors) {
  const SuffixSetting setting;
  const auto record = [&](SuffixedPrompt prompt, int64_t most_tokens = 4) {
    SuffixProblem::record(setting.model, setting.cross.plan, prompt, most_tokens);
  };
  SuffixedPrompt prompt = setting.prompt;
  EXPECT_NE(message_of<ConfigError>([&] { record(prompt, 0); }).find("most_tokens 0"),
            std::string::npos);
  prompt.suffix.clear();
  EXPECT_NE(message_of<DataError>([&] { record(prompt); }).find("0 suffix"), std::string::npos);
  prompt.suffix = {61};
  EXPECT_NE(message_of<DataError>([&] { record(prompt); }).find("61"), std::string::npos);
  prompt = {{}, {3}, {}, {4}};
  EXPECT_NE(message_of<DataError>([&] { record(prompt); }).find("no prompt"), std::string::npos);
  EXPECT_THROW(setting.problem().run(at::zeros({1, 2, 24})), DataError);
}

TEST(SoftSuffixTest, FirstStepIsAdamsAndStartsFromTheTokens) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const at::Tensor start = embedded(problem, problem.start());
  const SuffixAttack none = soft_suffix(problem, {.steps = 0, .adam = {}, .on_progress = {}});
  EXPECT_TRUE(at::equal(none.suffix, start[0]));
  const SuffixAttack one = soft_suffix(problem, {.steps = 1, .adam = {}, .on_progress = {}});
  // Adam's first step moves every coordinate by lr against its gradient's sign.
  EXPECT_NEAR((one.suffix - start[0]).abs().max().item<double>(), 0.01, 1e-5);
  EXPECT_NEAR(
      one.loss[0],
      (-problem.run(start).score + problem.squared_drift(problem.run(start))).item<double>(),
      1e-4 * std::abs(one.loss[0]));
}

TEST(SoftSuffixTest, RaisesTheTargetAndGivesTheSameTwice) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const double before = -loss_of(problem, problem.start());
  int64_t seen = 0;
  const SoftSuffixOptions options{
      .obfuscation_weight = 0, .lr = 0.05, .adam = {}, .on_progress = [&](int64_t steps, double) {
        EXPECT_EQ(steps, ++seen);
      }};
  const SuffixAttack attack = soft_suffix(problem, options);
  EXPECT_GT(attack.score, before + 0.5);
  EXPECT_EQ(seen, 120);
  EXPECT_EQ(attack.steps, 120);
  EXPECT_EQ(attack.n_runs, 121);
  EXPECT_NEAR(problem.run(attack.suffix.unsqueeze(0)).score.item<double>(), attack.score, 1e-6);
  seen = 0;
  EXPECT_TRUE(at::equal(soft_suffix(problem, options).suffix, attack.suffix));
}

TEST(SoftSuffixTest, ObfuscationWeightLowersTheDrift) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.edge_problem();
  const auto drift = [&](double weight) {
    return soft_suffix(problem,
                       {.obfuscation_weight = weight, .lr = 0.05, .adam = {}, .on_progress = {}})
        .drift_rel;
  };
  EXPECT_LT(drift(1000), 0.8 * drift(0));
}

TEST(SoftSuffixTest, NanEndsWithTheLastFiniteSuffix) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const SuffixAttack attack = soft_suffix(problem, {.lr = 3e38, .adam = {}, .on_progress = {}});
  EXPECT_EQ(attack.termination, Termination::kNan);
  EXPECT_TRUE(attack.suffix.isfinite().all().item<bool>());
  EXPECT_LT(attack.steps, 120);
}

}  // namespace
}  // namespace rebound
