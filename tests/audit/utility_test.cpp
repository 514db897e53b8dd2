#include "rebound/audit/utility.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

#include "rebound/audit/fold_defence.h"
#include "rebound/audit/utility_report.h"
#include "rebound/base/file.h"
#include "rebound/base/parallel.h"
#include "rebound/intervene/direction_clamp.h"
#include "support/failures.h"

namespace rebound {
namespace {

// The default model and SAE, loaded once; features are given, so that none are chosen.
const Subject& default_subject() {
  static const Subject subject = [] {
    at::set_num_threads(
        1);  // threads that spin inside small products take minutes on a busy machine
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
  subject.defences = {std::make_shared<const Defence>(
      subject.sae, std::vector{edit}, subject.statistics.sink_norm)};
  return subject;
}

// Adds `strength` times a unit vector to every token past the first.
ClampPlan pushing(double strength) {
  const Transformer& model = *default_subject().model;
  at::Tensor direction = at::zeros({model.d_model()});
  direction[7] = 1;
  const DirectionClamp::Options options{.strength = strength, .sink_norm = 1e9};
  const Site site = parse_site("blocks.12.hook_resid_pre");
  return {{std::make_shared<const DirectionClamp>(site, direction, options)}, model.config()};
}

TextCost text_cost(const ClampPlan& plan, int64_t contexts) {
  const Subject& subject = default_subject();
  return measure_text_cost(
      *subject.model, *subject.tokenizer, plan.hooks(), {.contexts = contexts});
}

const TextCost& cost_of_three() {
  static const TextCost cost = text_cost(pushing(30), 3);
  return cost;
}

void expect_inside(const Json& figure) {
  EXPECT_LE(figure.at("ci_low"), figure.at("value"));
  EXPECT_GE(figure.at("ci_high"), figure.at("value"));
}

TEST(UtilityTest, AnEditThatChangesNothingCostsNothing) {
  const Json cost = measure_utility(subject_with({.kind = EditKind::kScale, .value = 1}), 1);
  EXPECT_EQ(cost.at("tokens"), 127.0);
  EXPECT_GT(cost.at("ce_base").get<double>(), 2);
  EXPECT_LT(cost.at("ce_base").get<double>(), 5);
  EXPECT_NEAR(cost.at("delta_ce").get<double>(), 0, 1e-6);
  EXPECT_NEAR(cost.at("kl_to_base").get<double>(), 0, 1e-6);
  EXPECT_EQ(cost.at("top1_agreement"), 1.0);
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

TEST(UtilityTest, IntervalsHoldTheValueAndHaveAWidth) {
  const Json cost = to_json(cost_of_three());
  for (const char* name : {"ce_base", "ce_defended", "delta_ce", "kl_to_base", "top1_agreement"}) {
    const Json& interval = cost.at("intervals").at(name);
    EXPECT_EQ(interval.at("value"), cost.at(name));
    expect_inside(interval);
    EXPECT_LT(interval.at("ci_low"), interval.at("ci_high")) << name;
  }
  EXPECT_NEAR(cost.at("delta_ce").get<double>(),
              cost.at("ce_defended").get<double>() - cost.at("ce_base").get<double>(),
              1e-9);
}

TEST(UtilityTest, AContextCostsTheSameAloneAndAmongOthers) {
  const TextCost alone = text_cost(pushing(30), 1), &among = cost_of_three();
  ASSERT_EQ(among.contexts.size(), 3u);
  EXPECT_NEAR(among.contexts[0].kl, alone.contexts[0].kl, 1e-6);
  EXPECT_NEAR(among.contexts[0].ce_defended, alone.contexts[0].ce_defended, 1e-6);
  EXPECT_NE(among.contexts[0].kl, among.contexts[1].kl);
}

TEST(UtilityTest, ATextShorterThanAContextIsADataError) {
  const auto path = fresh_folder("short") / "short.txt";
  write_file_atomically(path, "Too short.\n");
  const Subject& subject = default_subject();
  const std::string message = message_of<DataError>([&] {
    measure_text_cost(*subject.model, *subject.tokenizer, {}, {.text = path, .contexts = 1});
  });
  EXPECT_NE(message.find("expected at least 128 tokens"), std::string::npos) << message;
}

TEST(UtilityReportTest, SharesHaveWilsonsInterval) {
  const Share share = share_of({1, 1, 0, 1, 1, 1, 0, 1, 1, 1});
  EXPECT_EQ(share.count, 8);
  EXPECT_DOUBLE_EQ(share.value(), 0.8);
  EXPECT_LE(share.low, 0.4902);  // Wilson's is [0.4902, 0.9433]
  EXPECT_GE(share.high, 0.9433);
  EXPECT_GT(share.low, 0.3);
  EXPECT_TRUE(std::isnan(share_of({}).value()));
}

TEST(UtilityReportTest, GroupsThatStandOrFallTogetherWidenTheInterval) {
  const Share share = share_of({1, 1, 1, 1, 1, 0, 0, 0, 0, 0}, {1, 1, 1, 1, 1, 2, 2, 2, 2, 2});
  EXPECT_EQ(share.low, 0);  // both groups drawn may be the second
  EXPECT_EQ(share.high, 1);
}

TEST(UtilityReportTest, ADefenceThatFlipsEverythingChangesEveryPair) {
  const PairedShare pair = paired_share({1, 1, 1, 1}, {0, 0, 0, 0});
  EXPECT_EQ(pair.before.value(), 1);
  EXPECT_EQ(pair.after.value(), 0);
  EXPECT_EQ(pair.change.value, -1);
  EXPECT_EQ(pair.change.low, -1);
  EXPECT_NEAR(pair.change.high, -1 + 2 * 0.490, 1e-3);
  EXPECT_NEAR(pair.after.high, 0.490, 1e-3);  // z^2 / (n + z^2)
}

TEST(UtilityReportTest, NoChangeAtAllIsNoProofOfNone) {
  const std::vector<double> none(24, 0.0);
  const PairedShare pair = paired_share(none, none);
  EXPECT_EQ(pair.change.value, 0);
  EXPECT_NEAR(pair.change.low, -0.138, 1e-3);  // z^2 / (24 + z^2)
  EXPECT_NEAR(pair.change.high, 0.138, 1e-3);
}

TEST(UtilityReportTest, AShareWithoutHitsIsBoundedByItsGroups) {
  std::vector<int64_t> groups(24);
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int64_t>(i / 6);
  const Share share = share_of(std::vector<double>(24, 0.0), groups);
  EXPECT_EQ(share.low, 0);
  EXPECT_NEAR(share.high, 0.490, 1e-3);  // Wilson's of 0 in 4
}

TEST(UtilityReportTest, OneContextHasNoInterval) {
  const TextCost cost{.contexts = {{.ce_base = 3, .ce_defended = 3.5, .kl = 0.2}}};
  const Json interval = to_json(cost).at("intervals").at("delta_ce");
  EXPECT_EQ(interval.at("value"), 0.5);
  EXPECT_TRUE(interval.at("ci_low").is_null());
  EXPECT_TRUE(interval.at("ci_high").is_null());
}

AnswerSubject small_subject() {
  const Subject& loaded = default_subject();
  AnswerSubject subject;
  subject.model = loaded.model;
  subject.tokenizer = loaded.tokenizer;
  subject.chat = std::make_shared<const ChatTemplate>(*load_chat_template(find_default_model()));
  subject.stop_tokens = end_of_turn_tokens(*loaded.tokenizer);
  return subject;
}

UtilityOptions small_options(int64_t batch) {
  UtilityOptions options;
  options.contexts = 1;
  options.facts = 30;
  options.asked = 2;
  options.safe = 2;
  options.max_new_tokens = 8;
  options.batch = batch;
  return options;
}

AuditSpec facts_by_firing_rates() {
  AuditSpec spec = default_spec("facts");
  spec.defence.choice.rule = "firing_rates";
  return spec;
}

TEST(UtilityReportTest, FactsThatChoseTheDefenceAreNotAsked) {
  const Tokenizer& tokenizer = *default_subject().tokenizer;
  const AuditSpec spec = facts_by_firing_rates();
  std::vector<Question> no_questions;
  std::set<std::string> chose;
  for (const Prompt& prompt :
       read_fact_set(spec.behaviour, spec.seed, tokenizer, no_questions).retain) {
    if (prompt.fold != 0) chose.insert(prompt.id);
  }
  ASSERT_GT(chose.size(), 200u);
  UtilityOptions options;
  options.chosen_on = chosen_on(spec);
  const FactsAsked asked = facts_asked(options, tokenizer);
  EXPECT_EQ(asked.chosen_on, static_cast<int64_t>(chose.size()));
  EXPECT_GT(asked.prompts.size(), 200u);
  for (const Prompt& prompt : asked.prompts) EXPECT_FALSE(chose.count(prompt.id)) << prompt.id;
  EXPECT_FALSE(chosen_on(default_spec("facts")));  // attribution reads nothing to retain
}

TEST(UtilityReportTest, ContextsThatChoseTheDefenceAreRefused) {
  const std::optional<ChosenOn> chosen = chosen_on(facts_by_firing_rates());
  EXPECT_NO_THROW(require_unseen_text(chosen, "", 32, 128));
  EXPECT_NO_THROW(require_unseen_text(std::nullopt, "", 64, 128));
  EXPECT_NO_THROW(require_unseen_text(chosen, "absent.txt", 64, 128));
  for (const char* text : {"", REBOUND_SOURCE_DIR "/data/text/heldout.txt.gz"}) {
    const std::string message =
        message_of<ConfigError>([&] { require_unseen_text(chosen, text, 33, 128); });
    EXPECT_NE(message.find("got 33 of 128 tokens, expected at most 32"), std::string::npos);
  }
  UtilityOptions options = small_options(1);
  options.contexts = 64;
  options.chosen_on = chosen;
  EXPECT_THROW(measure_defence(small_subject(), {}, options), ConfigError);
}

TEST(UtilityReportTest, ADefenceThatChangesNothingLeavesEveryFigure) {
  const Utility utility = measure_defence(small_subject(), pushing(0).hooks(), small_options(8));
  ASSERT_TRUE(utility.text && utility.safe && utility.facts && utility.questions);
  EXPECT_GT(utility.facts->kept.n, 0);  // the model knows some
  EXPECT_EQ(utility.facts->kept.count, utility.facts->kept.n);
  for (const PairedShare* pair : {&utility.safe->refused,
                                  &utility.safe->degenerate,
                                  &utility.facts->right,
                                  &utility.questions->right}) {
    EXPECT_EQ(pair->change.value, 0);
    EXPECT_EQ(pair->before.count, pair->after.count);
  }
  const Json json = to_json(utility);
  EXPECT_NEAR(json.at("kl").get<double>(), 0, 1e-6);
  EXPECT_NEAR(json.at("delta_ce").get<double>(), 0, 1e-6);
  EXPECT_EQ(json.at("facts_kept"), 1.0);
  EXPECT_EQ(json.at("facts").at("chosen_on"), 0);
  EXPECT_EQ(json.at("questions").at("n_in_file"), 182);
}

TEST(UtilityReportTest, ADefenceThatDrownsTheModelKeepsNoFact) {
  UtilityOptions options = small_options(8);
  options.contexts = 2;
  options.safe = 0;
  const Utility utility = measure_defence(small_subject(), pushing(1e4).hooks(), options);
  EXPECT_EQ(utility.facts->kept.count, 0);
  EXPECT_GT(utility.facts->kept.high, 0);
  EXPECT_LT(utility.facts->right.change.value, 0);
  const Json json = to_json(utility);
  EXPECT_GT(json.at("kl").get<double>(), 1);
  EXPECT_TRUE(json.at("false_refusals").is_null());
  EXPECT_TRUE(json.at("intervals").at("false_refusals").is_null());
  for (const char* name : {"kl", "delta_ce", "accuracy", "facts_kept"}) {
    Json figure = json.at("intervals").at(name);
    figure["value"] = json.at(name);
    expect_inside(figure);
  }
}

TEST(UtilityReportTest, ABatchIsItsExamplesOneByOne) {
  const AnswerSubject subject = small_subject();
  const ClampPlan plan = pushing(100);
  UtilityOptions options = small_options(32);
  options.contexts = 0;
  options.facts = 24;
  options.asked = 1;
  options.safe = 1;
  options.max_new_tokens = 4;
  const Json together = to_json(measure_defence(subject, plan.hooks(), options));
  options.batch = 1;
  const Json singly = to_json(measure_defence(subject, plan.hooks(), options));
  const Json& right = together.at("facts").at("right");
  EXPECT_NE(right.at("before"), right.at("after"));  // so that there is something to compare
  for (const char* part : {"safe", "facts", "questions"}) {
    EXPECT_EQ(together.at(part), singly.at(part));
  }
}

TEST(UtilityReportTest, PartsOfSizeNoneAreNull) {
  UtilityOptions options = small_options(1);
  options.contexts = options.safe = options.facts = options.asked = 0;
  const Json json = to_json(measure_defence(small_subject(), {}, options));
  for (const char* key : {"kl", "delta_ce", "false_refusals", "accuracy", "facts_kept", "text"}) {
    EXPECT_TRUE(json.at(key).is_null()) << key;
  }
  options.facts = -1;
  EXPECT_NE(message_of<ConfigError>([&] { options.validate(); }).find("got -1"), std::string::npos);
}

}  // namespace
}  // namespace rebound
