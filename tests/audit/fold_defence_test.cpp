#include "rebound/audit/fold_defence.h"

#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <set>

#include "audit/audit_fixture.h"
#include "rebound/audit/fold_rates.h"
#include "rebound/audit/fold_summary.h"
#include "rebound/audit/fold_sweep.h"
#include "rebound/audit/training_flips.h"
#include "rebound/base/file.h"
#include "rebound/io/hub_cache.h"
#include "rebound/text/load.h"
#include "support/failures.h"

namespace rebound {
namespace {

at::Tensor doubles(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

// By hand: 0 fires on too much to retain, 3 never on what is to be forgotten.
TEST(FiringRateFeaturesTest, TheRuleOfSaeBench) {
  const at::Tensor forget = doubles({0.9, 0.2, 0.5, 0.0, 0.4}),
                   retain = doubles({0.02, 0.0, 0.009, 0.0, 0.01});
  EXPECT_EQ(firing_rate_features(forget, retain, 0.01, 10),
            (Sae::Features{2, 1}));  // at the threshold is out
  EXPECT_EQ(firing_rate_features(forget, retain, 0.02, 10), (Sae::Features{2, 4, 1}));
  EXPECT_EQ(firing_rate_features(forget, retain, 0.03, 2), (Sae::Features{0, 2}));
  EXPECT_TRUE(firing_rate_features(forget, retain, 0.0, 5).empty());
}

TEST(FiringRateFeaturesTest, TiesAfterSixDecimalsGoByTheLowerFeature) {
  const at::Tensor forget = doubles({0.1, 0.30000010, 0.30000014, 0.30000011}),
                   retain = at::zeros({4}, at::kDouble);
  EXPECT_EQ(firing_rate_features(forget, retain, 0.01, 3), (Sae::Features{1, 2, 3}));
}

// min over points that keep 99 %: 0.4; the 0.1 keeps too little.
TEST(UnlearningScoreTest, OnlyClampsThatKeepWhatIsToBeRetainedCount) {
  const auto point = [](double forget, double retained) {
    return UnlearningPoint{0.01, 10, -25, forget, retained};
  };
  EXPECT_DOUBLE_EQ(unlearning_score({point(0.9, 1), point(0.4, 0.99), point(0.1, 0.98)}), 0.6);
  EXPECT_DOUBLE_EQ(unlearning_score({point(0.1, 0.98)}), 0);
  EXPECT_DOUBLE_EQ(unlearning_score({}), 0);
}

TEST(UnlearningScoreTest, WithNothingToRetainThereIsNone) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(unlearning_score({{0.01, 10, -25, 0.1, unknown}})));
}

// A planted model whose prompts are put into three folds, one defence each.
Subject folded_toy() {
  Subject subject = load_subject(toy_spec("toy-leaky"));
  for (size_t i = 0; i < subject.prompts.test.size(); ++i)
    subject.prompts.test[i].fold = static_cast<int64_t>(i * 3 / 48);
  subject.defences = {subject.defences[0], subject.defences[0], subject.defences[0]};
  return subject;
}

TEST(TrainingFlipsTest, OfAFoldTheyComeFromEveryOtherFoldAndRunUnderItsDefence) {
  const Subject subject = folded_toy();
  for (int64_t fold = 0; fold < 3; ++fold) {
    const TrainingFlips training(subject, toy_spec("toy-leaky"), fold);
    ASSERT_NE(training.context(), nullptr);
    std::set<std::string> ids;
    for (const ScoredExample& flip : training.context()->flips) {
      EXPECT_EQ(flip.prompt->fold, fold);
      ids.insert(flip.prompt->id);
    }
    EXPECT_EQ(ids.size(), 32u);
    std::set<int64_t> from;
    for (const Prompt& prompt : subject.prompts.test) {
      if (ids.count(prompt.id)) from.insert(prompt.fold);
    }
    std::set<int64_t> others = {0, 1, 2};
    others.erase(fold);
    EXPECT_EQ(from, others);
  }
}

StoredResult tried(int64_t prompt,
                   bool recovered,
                   const std::string& variant = "",
                   Json figures = Json::object()) {
  return {
      .prompt = prompt, .variant = variant, .recovered = recovered, .figures = std::move(figures)};
}

class FoldSummaryTest : public RunFolderTest {};

TEST_F(FoldSummaryTest, EveryFoldIsCountedBesideItsControlsAndOwnAnswersAreNoWrongRule) {
  AuditSpec spec = toy_spec("toy-leaky");
  spec.controls.shared_budgets = {2, 8};
  const std::string shared = "encoder_decoder/logit_diff/shared@8";
  Store store = Store::create(folder() += ".sqlite");
  store.put_batch({shared, 0, {tried(0, true), tried(1, false), tried(2, true)}, {}});
  store.put_batch({"inject/" + shared,
                   0,
                   {tried(0, true, "", {{"is_own_answer", true}}), tried(1, false), tried(2, true)},
                   {}});
  store.put_batch({"random/" + shared,
                   0,
                   {tried(0, false, "draw 0"), tried(0, true, "draw 1"), tried(2, false)},
                   {}});
  SummaryInput input{spec, store, {}, {0, 1, 2}, 4, 3, {0, 0, 1, 1}};
  AuditSummary summary;
  add_folds(summary, input);
  const Json folds = summary.extra.at("folds");
  ASSERT_EQ(folds.size(), 2u);
  EXPECT_EQ(folds, summary.headline.at("folds"));
  EXPECT_EQ(folds[0].at("n"), 2);
  EXPECT_EQ(folds[0].at("recovered"), 1);
  EXPECT_EQ(folds[0].at("wrong_rule_n"), 1);
  EXPECT_EQ(folds[0].at("wrong_rule"), 0);
  EXPECT_EQ(folds[0].at("random"), 0.5);
  EXPECT_EQ(folds[1].at("recovered"), 1);
  EXPECT_EQ(folds[1].at("budget"), 8.0);
  EXPECT_EQ(summary.headline.at("held_out_recovery").at("recovered"), 2);
  EXPECT_EQ(summary.headline.at("held_out_recovery").at("n"), 3);
  input.folds = {-1, -1, -1, -1};
  AuditSummary without;
  add_folds(without, input);
  EXPECT_FALSE(without.extra.contains("folds"));
}

// Four known facts of two clusters, one of which is lost whole.
TEST_F(FoldSummaryTest, SharesOfFactsHaveTheIntervalsOfTheirClusters) {
  KnownFacts facts;
  for (int i = 0; i < 10; ++i) facts.add(true, i < 5, i / 5);
  const Json set = facts.to_json();
  EXPECT_EQ(set.at("before"), 10);
  EXPECT_EQ(set.at("known_kept"), 5);
  EXPECT_EQ(set.at("intervals").at("known_kept"), Json({0.0, 1.0}));
  EXPECT_NEAR(set.at("intervals").at("before").at(0).get<double>(), 0.342, 1e-3);  // 2 clusters
  AuditSummary summary;
  add_fact_accuracy(summary, {{"forget", set}, {"retain", set}, {"folds", Json::array()}}, nullptr);
  const Json& kept = summary.controls.at("retain_known_facts_kept");
  EXPECT_EQ(kept.at("recovered"), 5);
  EXPECT_EQ(kept.at("n"), 10);
  EXPECT_EQ(kept.at("ci_low"), 0);
  EXPECT_EQ(kept.at("ci_high"), 1);
}

// A file with folds of its own: what is retained is in the same ones, as each has a defence.
TEST(FactSetTest, FactsAreRetainedInTheFoldsThatTheQuestionsName) {
  const std::vector<Json> lines =
      read_jsonl_file(REBOUND_SOURCE_DIR "/data/mcq/capitals_mcq.jsonl");
  std::string text;
  for (size_t i = 0; i < 30; ++i) {
    Json line = lines[i];
    line["fold"] = i % 2;
    text += line.dump() + "\n";
  }
  const auto path = fresh_folder("mcq_folds") / "questions.jsonl";
  write_file_atomically(path, text);
  BehaviourSpec behaviour{.kind = "mcq"};
  behaviour.questions = path.string();
  behaviour.n_retain = 40;
  std::vector<Question> questions;
  const FactSet set = read_fact_set(behaviour, 0, load_tokenizer(find_default_model()), questions);
  EXPECT_EQ(questions.size(), 30u);
  EXPECT_EQ(fold_count(set.forget), 2);
  EXPECT_EQ(fold_count(set.retain), 2);
}

TEST(FactSpecTest, ASpecOfFactsRoundTripsAndRefusesWhatIsNotForIt) {
  for (const char* kind : {"facts", "mcq"}) {
    const AuditSpec spec = default_spec(kind);
    EXPECT_EQ(to_json(read_spec(to_json(spec), "spec.json")), to_json(spec));
    EXPECT_EQ(spec.defence.choice.features, 16);
    EXPECT_EQ(spec.defence.choice.values.front(), 0);
  }
  const auto with = [](Json behaviour, Json choice) {
    return read_spec(
        {{"behaviour", std::move(behaviour)}, {"defence", {{"choice", std::move(choice)}}}}, "s");
  };
  EXPECT_EQ(with({{"kind", "facts"}}, {{"rule", "firing_rates"}}).defence.choice.rule,
            "firing_rates");
  EXPECT_THROW(with({{"kind", "ioi"}}, {{"rule", "firing_rates"}}), ConfigError);
  EXPECT_THROW(with({{"kind", "facts"}}, {{"rule", "luck"}}), ConfigError);
  EXPECT_THROW(with({{"kind", "facts"}, {"prompts", "p.jsonl"}}, Json::object()), ConfigError);
}

}  // namespace
}  // namespace rebound
