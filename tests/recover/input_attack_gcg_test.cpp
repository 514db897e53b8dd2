#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "input_attack_fixture.h"
#include "rebound/model/generate_batch.h"
#include "rebound/recover/input_attack.h"
#include "support/failures.h"

namespace rebound {
namespace {

// The best of all single replacements (no replacement included) that `filter` takes.
Tokens brute_force(const SuffixProblem& problem, const std::function<bool(const Tokens&)>& filter) {
  Tokens best;
  for (size_t position = 0; position < problem.start().size(); ++position) {
    for (int64_t token = 0; token < 61; ++token) {
      Tokens tokens = problem.start();
      tokens[position] = token;
      if (!filter(tokens)) continue;
      if (best.empty() || loss_of(problem, tokens) < loss_of(problem, best)) best = tokens;
    }
  }
  return best;
}

bool takes_all(const Tokens&) { return true; }

TEST(GcgTest, OneTokenPlantedIsFoundAsByBruteForce) {
  SuffixSetting setting;
  setting.prompt.suffix = {3};
  const SuffixProblem problem = setting.problem();
  GcgOptions options;
  options.max_steps = 1;
  options.search_width = options.top_k = 61;
  options.stop = StopRule::kNever;
  const SuffixAttack attack = gcg(problem, options);
  EXPECT_EQ(attack.tokens, brute_force(problem, takes_all));
  EXPECT_NE(attack.tokens, problem.start());
  EXPECT_EQ(attack.n_runs, 1 + 1 + 61 + 1);  // start, gradient, candidates, result
}

TEST(GcgTest, AllReplacementsOfThreeTokensAreTriedWithFilterAndAllowedTokens) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  GcgOptions options;
  options.max_steps = 1;
  options.search_width = 183;
  options.stop = StopRule::kNever;
  const Tokens best = brute_force(problem, takes_all);
  EXPECT_EQ(gcg(problem, options).tokens, best);

  options.filter = [&](const Tokens& tokens) { return tokens != best; };
  const Tokens second = brute_force(problem, options.filter);
  EXPECT_EQ(gcg(problem, options).tokens, second);

  // Odd tokens alone may be put in.
  options.is_allowed = at::arange(61) % 2 == 1;
  const auto is_odd_change = [&](const Tokens& tokens) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] != problem.start()[i] && tokens[i] % 2 == 0) return false;
    }
    return options.filter(tokens);
  };
  EXPECT_EQ(gcg(problem, options).tokens, brute_force(problem, is_odd_change));
}

TEST(GcgTest, SteepestReplacementsAreThoseOfTheOneHotGradient) {
  SuffixSetting setting;
  setting.prompt.suffix = {3};
  const SuffixProblem problem = setting.problem();
  const at::Tensor x = embedded(problem, {3}).requires_grad_();
  const at::Tensor gradient = torch::autograd::grad({-problem.run(x).score.sum()}, {x})[0][0];
  const at::Tensor by_token = at::mm(gradient, setting.model.embed(at::arange(61)).t())[0];
  std::set<int64_t> tried;
  GcgOptions options;
  options.max_steps = 1;
  options.top_k = 5;
  options.filter = [&](const Tokens& tokens) { return tried.insert(tokens[0]).second; };
  gcg(problem, options);
  tried.erase(3);  // the start
  const at::Tensor order = by_token.argsort();
  std::set<int64_t> wanted;
  for (int64_t i = 0; i < 5; ++i) wanted.insert(order[i].item<int64_t>());
  wanted.erase(3);
  EXPECT_EQ(tried, wanted);
}

GcgOptions narrow_search(uint64_t seed = 0) {
  GcgOptions options;
  options.max_steps = 12;
  options.search_width = 16;
  options.top_k = 20;
  options.candidates_at_once = 5;
  options.stop = StopRule::kNever;
  options.seed = seed;
  return options;
}

TEST(GcgTest, BestOfAllStepsIsReturnedAndASeedRepeats) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const SuffixAttack attack = gcg(problem, narrow_search());
  ASSERT_EQ(attack.loss.size(), 12U);
  const double best = *std::min_element(attack.loss.begin(), attack.loss.end());
  EXPECT_NEAR(-attack.score, best, 2e-5);
  EXPECT_LT(best, loss_of(problem, problem.start()) - 0.1);
  EXPECT_NEAR(loss_of(problem, attack.tokens), best, 2e-5);
  EXPECT_TRUE(at::equal(attack.suffix, embedded(problem, attack.tokens)[0]));

  const SuffixAttack again = gcg(problem, narrow_search());
  EXPECT_EQ(again.tokens, attack.tokens);
  EXPECT_EQ(again.loss, attack.loss);
  EXPECT_NE(gcg(problem, narrow_search(1)).loss, attack.loss);
}

TEST(GcgTest, SeveralThreadsGiveTheSame) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  const SuffixAttack alone = gcg(problem, narrow_search());
  at::set_num_threads(2);
  const SuffixAttack together = gcg(problem, narrow_search());
  at::set_num_threads(1);
  set_blas_threads(1);
  EXPECT_EQ(together.tokens, alone.tokens);
  EXPECT_EQ(together.loss, alone.loss);
}

TEST(GcgTest, KeepingTheBestTheLossNeverRises) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  GcgOptions options = narrow_search();
  options.search_width = 3;  // few enough for steps without a better candidate
  const SuffixAttack walk = gcg(problem, options);
  EXPECT_FALSE(std::is_sorted(walk.loss.rbegin(), walk.loss.rend()));
  options.keeps_best = true;
  const SuffixAttack kept = gcg(problem, options);
  ASSERT_EQ(kept.loss.size(), 12U);
  EXPECT_TRUE(std::is_sorted(kept.loss.rbegin(), kept.loss.rend()));
  EXPECT_NEAR(-kept.score, kept.loss.back(), 2e-5);
}

TEST(GcgTest, RefusedCandidatesAreNeverTaken) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  GcgOptions options = narrow_search();
  int64_t refused = 0;
  options.filter = [&](const Tokens& tokens) {
    const bool is_taken = tokens == problem.start() || (tokens[0] + tokens[1] + tokens[2]) % 3 == 0;
    refused += is_taken ? 0 : 1;
    return is_taken;
  };
  const SuffixAttack attack = gcg(problem, options);
  EXPECT_GT(refused, 20);
  EXPECT_NE(attack.tokens, problem.start());
  EXPECT_TRUE(options.filter(attack.tokens));
  // Start and result are run too, and a gradient a step.
  EXPECT_EQ(attack.n_runs, 2 + 12 + (12 * 16 - refused));

  options.filter = [&](const Tokens& tokens) { return tokens == problem.start(); };
  const SuffixAttack stuck = gcg(problem, options);
  EXPECT_EQ(stuck.tokens, problem.start());
  EXPECT_EQ(stuck.steps, 12);
  EXPECT_EQ(stuck.termination, Termination::kMaxSteps);

  options.filter = [](const Tokens&) { return false; };
  EXPECT_NE(message_of<ConfigError>([&] { gcg(problem, options); }).find("the filter refuses"),
            std::string::npos);
}

// The answer is what the defended model says under a planted suffix, one replacement away.
TEST(GcgTest, StopsAtTheGoal) {
  SuffixSetting setting;
  const Tokens planted = {7, 50, 21};
  const Tokens prompt = joined({setting.prompt.before, planted, setting.prompt.after});
  setting.prompt.answer =
      generate_batch(setting.model,
                     {prompt},
                     {.max_new_tokens = 3, .stop_tokens = {}, .next_tokens = {}},
                     setting.cross.plan->hooks())[0];
  setting.prompt.suffix = {7, 12, 21};
  const SuffixProblem problem = setting.problem();
  GcgOptions options;
  options.search_width = 183;
  std::vector<int64_t> steps;
  options.on_progress = [&](int64_t step, double) { steps.push_back(step); };
  const SuffixAttack attack = gcg(problem, options);
  EXPECT_TRUE(attack.is_won);
  EXPECT_EQ(attack.termination, Termination::kGoal);
  EXPECT_EQ(attack.steps, 1);
  EXPECT_EQ(steps, std::vector<int64_t>{1});

  setting.prompt.suffix = planted;
  const SuffixAttack at_once = gcg(setting.problem(), options);
  EXPECT_EQ(at_once.steps, 0);
  EXPECT_TRUE(at_once.is_won);
}

TEST(GcgTest, OptionsAreChecked) {
  const SuffixSetting setting;
  const SuffixProblem problem = setting.problem();
  GcgOptions options;
  options.search_width = 0;
  EXPECT_NE(message_of<ConfigError>([&] {
              gcg(problem, options);
            }).find("search_width must be > 0, got 0"),
            std::string::npos);
  options = {};
  options.is_allowed = at::zeros({61}, at::kBool);
  EXPECT_NE(message_of<ConfigError>([&] { gcg(problem, options); }).find("got no token"),
            std::string::npos);
  options.is_allowed = at::ones({60}, at::kBool);
  EXPECT_THROW(gcg(problem, options), DataError);
  SoftSuffixOptions soft;
  soft.behaviour_weight = soft.obfuscation_weight = 0;
  EXPECT_THROW(soft_suffix(problem, soft), ConfigError);
}

}  // namespace
}  // namespace rebound
