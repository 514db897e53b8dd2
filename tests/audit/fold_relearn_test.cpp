#include "rebound/audit/fold_relearn.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <map>
#include <set>

#include "audit/audit_fixture.h"
#include "rebound/base/rng.h"
#include "rebound/model/margin.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

class RelearnTest : public testing::Test {
 protected:
  RelearnTest() {
    Rng rng({12});
    std::vector<std::vector<int64_t>> ids;
    std::vector<int64_t> correct;
    for (int64_t i = 0; i < 10; ++i) {
      ids.push_back(random_ids(rng, 4 + i % 3));
      correct.push_back(rng.below(61));
    }
    prompts.tokens = TokenBatch::from(ids);
    prompts.correct = at::tensor(correct, at::kLong);
    prompts.wrong = at::full({10}, kBestOther, at::kLong);
  }
  at::Tensor margins(const Transformer& of, const Hooks& hooks = {}) const {
    const at::NoGradGuard no_grad;
    return logit_differences(of, prompts, hooks);
  }
  static int64_t right(const at::Tensor& margin) { return (margin > 0).sum().item<int64_t>(); }

  Transformer model = tiny_transformer(6);
  ScoredPrompts prompts;
};

TEST_F(RelearnTest, WithoutAStepNothingChanges) {
  const Relearned same = relearn(model, prompts, {}, {.steps = 0});
  EXPECT_TRUE(at::equal(margins(same.model), margins(model)));
  ASSERT_EQ(same.loss.size(), 1U);
}

TEST_F(RelearnTest, TrainingRaisesAccuracyAndLeavesTheModelThatCameIn) {
  const at::Tensor before = margins(model);
  EXPECT_LE(right(before), 2);
  const Relearned trained = relearn(model, prompts, {}, {.steps = 60, .lr = 0.02});
  EXPECT_EQ(right(margins(trained.model)), 10);
  ASSERT_EQ(trained.loss.size(), 61U);
  EXPECT_LT(trained.loss.back(), 0.1 * trained.loss.front());
  EXPECT_TRUE(at::equal(margins(model), before));
  for (const LayerWeights& layer : trained.model.weights().layers)
    EXPECT_FALSE(layer.o.dense().requires_grad());
}

// The mean loss of all prompts, whatever the parts in which gradients are summed: a step on the
// whole is the step on its mean.
TEST_F(RelearnTest, TheLossIsTheMeanOverThePrompts) {
  const at::NoGradGuard no_grad;
  double sum = 0;
  for (int64_t i = 0; i < 10; ++i) {
    sum += relearn(model, prompts.slice(i, i + 1), {}, {.steps = 0}).loss.front();
  }
  EXPECT_NEAR(relearn(model, prompts, {}, {.steps = 0}).loss.front(), sum / 10, 1e-5);
}

// An edit after the last block that lets nothing through: no weight below it matters.
TEST_F(RelearnTest, BehindASealedSiteNothingIsRelearned) {
  Hooks sealed;
  sealed.edits[{3, SiteKind::kResidPost}] = [](const at::Tensor& value, const Rows&) {
    return value * 0 + 1;
  };
  const Relearned trained = relearn(model, prompts, sealed, {.steps = 5, .lr = 0.02});
  EXPECT_NEAR(trained.loss.back(), trained.loss.front(), 1e-6);
  EXPECT_LT(relative_gap(margins(trained.model, sealed), margins(model, sealed)), 1e-6);
}

TEST_F(RelearnTest, OptionsAreChecked) {
  EXPECT_THROW(relearn(model, prompts, {}, {.steps = -1}), ConfigError);
  EXPECT_THROW(relearn(model, prompts, {}, {.rank = 0}), ConfigError);
  EXPECT_THROW(relearn(model, prompts, {}, {.lr = 0}), ConfigError);
}

TEST(RelearningPromptsTest, HalfOfTheFactsOfOtherFoldsAndAsManyRetained) {
  Subject subject;
  for (int64_t i = 0; i < 30; ++i) {
    Prompt prompt;
    prompt.fold = i / 10;
    subject.prompts.test.push_back(prompt);
    subject.retain.push_back(prompt);
  }
  for (int64_t fold = 0; fold < 3; ++fold) {
    std::map<int64_t, int> from;
    const auto forget = relearning_prompts(subject, fold, RelearnOn::kForget);
    for (const Prompt* prompt : forget) ++from[prompt->fold];
    EXPECT_EQ(std::set<const Prompt*>(forget.begin(), forget.end()).size(), 15U);
    EXPECT_EQ(from.size(), 2U);
    EXPECT_EQ(from.count(fold), 0U);
    for (const auto& [other, n] : from) EXPECT_GE(n, 7);
    EXPECT_EQ(relearning_prompts(subject, fold, RelearnOn::kRetain).size(), 15U);
  }
  subject.retain.resize(4);
  EXPECT_EQ(relearning_prompts(subject, 0, RelearnOn::kRetain).size(), 4U);
}

TEST(RelearnRowsTest, FactsAndQuestionsHaveThemWithControlsAlone) {
  AuditSpec spec = default_spec("facts");
  const std::vector<Row> rows = relearn_rows(spec);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].head.name, "relearn/lora8x10/forget");
  EXPECT_EQ(rows[1].head.target, "retain");
  EXPECT_TRUE(std::isnan(rows[0].head.budget));
  spec.controls.is_on = false;
  EXPECT_TRUE(relearn_rows(spec).empty());
  EXPECT_TRUE(relearn_rows(default_spec("ioi")).empty());
}

}  // namespace
}  // namespace rebound
