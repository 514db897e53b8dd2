// Controls on planted models, against what they must be by hand.
#include "rebound/audit/inject.h"

#include <torch/torch.h>

#include <cmath>

#include "audit/audit_fixture.h"

namespace rebound {
namespace {

class InjectTest : public RunFolderTest {
 protected:
  InjectTest() {
    spec.rows.resize(1);
    spec.rows[0].steps = 5;
    subject = load_subject(spec);
    subject.prompts.test.resize(6);
  }
  BatchContext context() {
    return BatchContext::build(
        subject, spec, flips_of(score_examples(subject, subject.prompts.test, spec.batch)));
  }
  std::vector<StoredResult> results_of_row(const Row& row, const BatchContext& on) {
    if (!store_) {
      std::filesystem::create_directories(folder());
      store_ = std::make_unique<Store>(Store::create(folder() / "run.sqlite"));
    }
    return row.run(on, {spec, *store_, nullptr, 0, 0}).results;
  }

  AuditSpec spec = toy_spec("toy-leaky");
  Subject subject;
  std::unique_ptr<Store> store_;
};

// Prompts 0..2 have every answer of the pool for a rival or their own: nothing is left to inject.
TEST_F(InjectTest, APromptWithoutAnotherAnswerIsLeftOut) {
  std::vector<Prompt>& prompts = subject.prompts.test;
  const std::vector<int64_t> pool = {8, 9, 10};
  subject.prompts.unrelated_ids = pool;
  for (size_t i = 0; i < prompts.size(); ++i) {
    prompts[i].rival_ids = {9, 10};
    if (i < 3) prompts[i].correct_id = 8;
  }
  BatchContext on = context();
  // Whatever they score: the row is about targets.
  on = BatchContext::build(subject, spec, [&] {
    std::vector<ScoredExample> all;
    for (size_t i = 0; i < prompts.size(); ++i) {
      all.push_back({&prompts[i], static_cast<int64_t>(i), 1, -1});
    }
    return all;
  }());
  const Row row = inject_row(spec, InjectTarget::kUnrelated);
  const auto results = results_of_row(row, on);
  ASSERT_EQ(results.size(), 3u * static_cast<size_t>(spec.controls.inject_targets));
  for (const StoredResult& result : results) EXPECT_GE(result.prompt, 3);
  // All of them: no row.
  for (Prompt& prompt : prompts) prompt.correct_id = 8;
  EXPECT_TRUE(results_of_row(row, on).empty());
}

// Steps and step size decide how small a budget is found: both sides of the ratio need the same.
TEST_F(InjectTest, SearchesAsTheRowThatItIsComparedWith) {
  const BatchContext on = context();
  const auto steps_of = [&] {
    return results_of_row(inject_row(spec, InjectTarget::kGapMatched), on).front().steps;
  };
  EXPECT_EQ(steps_of(), 20);
  RowSpec recover = spec.headline();
  recover.kind = RowKind::kMinimalBudget;
  recover.steps = 7;
  spec.rows.push_back(recover);
  EXPECT_EQ(steps_of(), 7);
  spec.rows.back().constraint = "none";  // another row's settings are none of its business
  EXPECT_EQ(steps_of(), 20);
}

// The score of the undefended model with delta added, from token 0.
TEST_F(InjectTest, TheUnclampedRowOfAnAttackBeforeTheClampHasNoClamp) {
  spec.rows[0].threat_model = ThreatModel::kBeforeClamp;
  const BatchContext on = context();
  const at::Tensor delta = at::randn_like(on.defended.resid());
  std::filesystem::create_directories(folder());
  store_ = std::make_unique<Store>(Store::create(folder() / "run.sqlite"));
  store_delta(*store_, spec.headline().name(), 0, delta);
  spec.controls.is_on = true;
  for (const Row& row : control_rows(spec)) {
    if (row.head.control != "unclamped") continue;
    const auto results = results_of_row(row, on);
    ASSERT_EQ(results.size(), static_cast<size_t>(on.size()));
    for (size_t i = 0; i < results.size(); ++i) {
      const at::NoGradGuard no_grad;
      const Prompt& prompt = *on.flips[i].prompt;
      const int64_t last = static_cast<int64_t>(prompt.ids.size()) - 1;
      Hooks hooks;
      hooks.edits[on.defence->site()] = [&](const at::Tensor& value, const Rows&) {
        at::Tensor out = value.clone();
        out[0][last] += delta[static_cast<int64_t>(i)][0];
        return out;
      };
      const at::Tensor resid =
          subject.model->run(TokenBatch::from({prompt.ids}), {.hooks = hooks}).resid[0][last];
      const at::Tensor logits = subject.model->logits(resid.unsqueeze(0))[0];
      const double expected = (logits[prompt.correct_id] - logits[prompt.wrong_id]).item<double>();
      EXPECT_NEAR(results[i].score, expected, 1e-4 * std::abs(expected) + 1e-4);
    }
    return;
  }
  FAIL() << "no row unclamped";
}

TEST(ScoredExampleTest, NoScoreThatIsNotANumberIsAFlip) {
  const double nan = std::nan(""), infinity = HUGE_VAL;
  const auto is_valid = [](double base, double defended) {
    return ScoredExample{nullptr, 0, base, defended}.is_valid();
  };
  EXPECT_TRUE(is_valid(2, -1));
  EXPECT_TRUE(is_valid(2, 0));
  EXPECT_FALSE(is_valid(2, 1));
  EXPECT_FALSE(is_valid(-2, -1));
  EXPECT_FALSE(is_valid(2, nan));
  EXPECT_FALSE(is_valid(nan, -1));
  EXPECT_FALSE(is_valid(2, -infinity));
}

TEST(DropTestedTest, TrainingPromptsThatAreTestedGo) {
  const auto prompt = [](const char* id, std::vector<int64_t> ids) {
    return Prompt{.id = id, .text = {}, .ids = std::move(ids)};
  };
  const std::vector<Prompt> test = {prompt("x", {1, 2}), prompt("2", {3, 4})};
  std::vector<Prompt> train = {prompt("a", {1, 2}),  // the same tokens
                               prompt("x", {9, 9}),  // the same id
                               prompt("2", {5, 6}),  // a line number of another file
                               prompt("b", {7, 8})};
  EXPECT_EQ(drop_tested(train, test), 2);
  ASSERT_EQ(train.size(), 2u);
  EXPECT_EQ(train[0].id, "2");
  EXPECT_EQ(train[1].id, "b");
}

}  // namespace
}  // namespace rebound
