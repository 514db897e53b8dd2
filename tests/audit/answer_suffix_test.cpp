#include "rebound/audit/answer_suffix.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rebound/audit/answer_rows.h"
#include "rebound/audit/answer_suffix_prompt.h"
#include "rebound/base/file.h"
#include "rebound/intervene/direction_clamp.h"
#include "rebound/model/generate_batch.h"
#include "support/failures.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"
#include "text/tiny_vocabulary.h"

namespace rebound {
namespace {

using Tokens = std::vector<int64_t>;

constexpr const char* kTemplate = "Q:{{ messages[0]['content'] }};A:";
constexpr int64_t kSuffix = 3;

Tokens joined(const std::vector<Tokens>& parts) {
  Tokens all;
  for (const Tokens& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

double figure_of(const StoredResult& result, const char* name) {
  return result.figures.at(name).get<double>();
}

// A random model that reads printable ASCII, two clamps, and four flips with made-up base answers.
class AnswerSuffixTest : public testing::Test {
 protected:
  AnswerSuffixTest() {
    at::set_num_threads(1);
    subject.tokenizer = std::make_shared<const Tokenizer>(tiny_tokenizer({" river", "lake"}));
    subject.chat = std::make_shared<const ChatTemplate>(kTemplate);
    ModelConfig config = tiny_config();
    config.vocab_size = subject.tokenizer->vocabulary_size();
    subject.model = subject.search =
        std::make_shared<const Transformer>(tiny_transformer(3, config));
    spec.target_tokens = 5;
    spec.max_new_tokens = 9;
    plan = plan_with_sinks_above(1e9);
    Rng rng({8});
    for (const char* text : {"Name a river.", "lake", "Is it!", "x x"}) {
      Request request{.id = concat("r", subject.test.size()), .text = text};
      subject.test.push_back({request, "set", subject.prompt_of(text)});
    }
    for (size_t i = 0; i < subject.test.size(); ++i) {
      flips.push_back({&subject.test[i],
                       static_cast<int64_t>(10 + i),
                       random_ids(rng, 6, config.vocab_size),
                       random_ids(rng, 6, config.vocab_size)});
    }
  }

  std::shared_ptr<const ClampPlan> plan_with_sinks_above(double norm) const {
    Rng rng({29});
    std::vector<std::shared_ptr<const Clamp>> clamps;
    for (const int64_t layer : {1, 3}) {
      DirectionClamp::Options options{.edit = DirectionEdit::kAdd, .strength = 0.5};
      options.sink_norm = norm;
      clamps.push_back(std::make_shared<const DirectionClamp>(
          Site{layer, SiteKind::kResidPre}, random_tensor(rng, {24}), options));
    }
    return std::make_shared<const ClampPlan>(std::move(clamps), subject.model->config());
  }

  AnswerBatch batch() const {
    AnswerBatch batch{&subject, &spec, plan, flips, {}};
    return batch;
  }

  static AnswerRowSpec row(const char* constraint, int64_t steps) {
    AnswerRowSpec row = AnswerRowSpec::of(constraint);
    row.steps = steps;
    row.suffix.tokens = kSuffix;
    row.suffix.search_width = 6;
    row.suffix.top_k = 20;
    return row;
  }

  Tokens start_of(size_t i, const char* text) const {
    const Tokens once = subject.tokenizer->encode(text);
    const SplitPrompt split = split_at_content_end(subject, subject.test[i].request.text);
    Tokens suffix;
    while (suffix.size() < kSuffix) suffix.push_back(once[suffix.size() % once.size()]);
    return joined({split.before, suffix, split.after});
  }

  // Readings of all sites on the last n positions of `ids`, by one plain run.
  at::Tensor readings(const Tokens& ids, int64_t n) const {
    RunOptions options{.hooks = plan->hooks()};
    for (const auto& clamp : plan->clamps()) options.hooks.capture.insert(clamp->site());
    const Activations values = subject.model->run(TokenBatch::from({ids}), options).activations;
    std::vector<at::Tensor> all;
    for (const auto& clamp : plan->clamps()) {
      all.push_back(clamp->read(values.at(clamp->site())[0].slice(0, -n)).flatten());
    }
    return at::cat(all);
  }

  // |readings(prompt) - readings(request as it was)| / |the latter|, with `answer` forced.
  double drift(size_t i, const Tokens& prompt, const Tokens& answer) const {
    const Tokens forced(answer.begin(), answer.end() - 1);
    const auto n = static_cast<int64_t>(answer.size());
    const at::Tensor now = readings(joined({prompt, forced}), n);
    const at::Tensor defended = readings(joined({subject.test[i].ids, forced}), n);
    return ((now - defended).norm() / defended.norm()).item<double>();
  }

  Tokens generated(const Tokens& prompt) const {
    GenerateBatchOptions options;
    options.max_new_tokens = spec.max_new_tokens;
    return generate_batch(*subject.model, {prompt}, options, plan->hooks()).front();
  }

  AnswerSubject subject;
  AnswerAuditSpec spec;
  std::shared_ptr<const ClampPlan> plan;
  std::vector<AnswerFlip> flips;
};

TEST_F(AnswerSuffixTest, ThePromptIsSplitWhereTheContentEnds) {
  for (const char* text : {"Name a river.", "Is it!", "x x", "a ! !", "a; A:", "Q:;A:"}) {
    const SplitPrompt split = split_at_content_end(subject, text);
    EXPECT_EQ(split.before, subject.tokenizer->encode(concat("Q:", text)));
    EXPECT_EQ(split.after, subject.tokenizer->encode(";A:"));
  }
}

TEST_F(AnswerSuffixTest, ATemplateThatRepeatsOrDropsTheContentIsADataError) {
  for (const char* source : {"{{ messages[0]['content'] }};{{ messages[0]['content'] }}:",
                             "Q:{{ messages[0]['content'][:3] }};A:"}) {
    subject.chat = std::make_shared<const ChatTemplate>(source);
    const std::string message =
        message_of<DataError>([&] { run_suffix_row(row("soft_suffix", 0), batch()); });
    EXPECT_NE(message.find("request r0"), std::string::npos) << message;
    EXPECT_NE(message.find("one place"), std::string::npos) << message;
  }
}

// With no step a soft suffix is the embeddings of its start: the answer and the drifts are those of
// a prompt with these tokens in it.
TEST_F(AnswerSuffixTest, WithoutStepsASoftSuffixIsItsStartingTokens) {
  const auto results = run_suffix_row(row("soft_suffix", 0), batch());
  ASSERT_EQ(results.size(), flips.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const StoredResult& result = results[i];
    const Tokens prompt = start_of(i, " !"), answer = generated(prompt);
    const Tokens target(flips[i].base_answer.begin(), flips[i].base_answer.begin() + 5);
    EXPECT_EQ(result.prompt, flips[i].index);
    EXPECT_EQ(result.steps, 0);
    EXPECT_EQ(result.figures.at("answer"), to_json(redact(subject.text_of(answer), "")));
    EXPECT_NEAR(figure_of(result, "drift_pre_rel"), drift(i, prompt, target), 1e-5);
    EXPECT_NEAR(figure_of(result, "drift_generation_rel"), drift(i, prompt, answer), 1e-5);
    // Directions have no activation function: both readings are the same.
    EXPECT_NEAR(figure_of(result, "drift_post_rel"), figure_of(result, "drift_pre_rel"), 1e-5);
    EXPECT_NEAR(figure_of(result, "drift_post_l2"), figure_of(result, "drift_pre_l2"), 1e-4);
    EXPECT_LE(figure_of(result, "floor_violation"), figure_of(result, "drift_post_rel") + 1e-6);
    EXPECT_NEAR(figure_of(result, "score_float32"), result.score, 1e-5);
    EXPECT_EQ(result.figures.count("norm"), 0U);
    EXPECT_EQ(result.figures.count("suffix_sha256"), 0U);
  }
}

TEST_F(AnswerSuffixTest, WithoutStepsAHardSuffixIsXOverAndOver) {
  const auto results = run_suffix_row(row("gcg", 0), batch());
  ASSERT_EQ(results.size(), flips.size());
  for (size_t i = 0; i < results.size(); ++i) {
    const Tokens prompt = start_of(i, " x"), answer = generated(prompt);
    EXPECT_EQ(results[i].figures.at("answer"), to_json(redact(subject.text_of(answer), "")));
    EXPECT_NEAR(figure_of(results[i], "drift_generation_rel"), drift(i, prompt, answer), 1e-5);
    EXPECT_EQ(results[i].figures.at("suffix_sha256"), sha256_of_text(" x ").substr(0, 16));
    EXPECT_EQ(results[i].figures.at("suffix_tokens"), kSuffix);
  }
}

TEST_F(AnswerSuffixTest, StepsRaiseTheTargetsProbability) {
  for (const char* constraint : {"soft_suffix", "gcg"}) {
    AnswerRowSpec searched = row(constraint, 12);
    searched.suffix.obfuscation = 0;
    searched.lr = 0.1;
    const auto before = run_suffix_row(row(constraint, 0), batch());
    const auto after = run_suffix_row(searched, batch());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_GT(figure_of(after[i], "score_float32"), figure_of(before[i], "score_float32"));
      EXPECT_NEAR(figure_of(after[i], "score_float32"), after[i].score, 1e-4);
      EXPECT_EQ(after[i].steps, 12);
    }
  }
}

TEST_F(AnswerSuffixTest, AHeavyWeightOnTheDriftLowersIt) {
  double drift[2];
  for (const int k : {0, 1}) {
    AnswerRowSpec soft = row("soft_suffix", 30);
    soft.lr = 0.05;
    soft.suffix.obfuscation = k == 0 ? 0 : 1000;
    drift[k] = 0;
    for (const auto& result : run_suffix_row(soft, batch())) {
      drift[k] += figure_of(result, "drift_pre_rel");
    }
  }
  EXPECT_LT(drift[1], 0.8 * drift[0]);
}

TEST_F(AnswerSuffixTest, PromptsAreCountedOverTheRun) {
  AnswerRowSpec soft = row("soft_suffix", 0);
  soft.suffix.prompts = 6;
  AnswerBatch later = batch();
  const auto tried = [&](int64_t first_flip) {
    later.first_flip = first_flip;
    return run_suffix_row(soft, later).size();
  };
  EXPECT_EQ(tried(0), 4U);
  EXPECT_EQ(tried(4), 2U);
  EXPECT_EQ(tried(8), 0U);
}

// A request's result depends on the request, not on the batch that it stands in or on threads.
TEST_F(AnswerSuffixTest, BatchesAndThreadsChangeNothing) {
  for (const char* constraint : {"soft_suffix", "gcg"}) {
    const auto together = run_suffix_row(row(constraint, 3), batch());
    AnswerBatch alone = batch();
    alone.flips = {flips[2]};
    const auto single = run_suffix_row(row(constraint, 3), alone);
    at::set_num_threads(2);
    const auto threads = run_suffix_row(row(constraint, 3), batch());
    at::set_num_threads(1);
    ASSERT_EQ(single.size(), 1U);
    EXPECT_EQ(together[2].figures.at("answer"), single[0].figures.at("answer"));
    EXPECT_NEAR(together[2].score, single[0].score, 1e-5);
    for (size_t i = 0; i < together.size(); ++i) {
      EXPECT_EQ(together[i].figures.at("answer"), threads[i].figures.at("answer"));
      EXPECT_NEAR(together[i].score, threads[i].score, 1e-5);
    }
  }
}

TEST_F(AnswerSuffixTest, SuffixPositionsAboveTheSinkNormAreCounted) {
  EXPECT_EQ(run_suffix_row(row("soft_suffix", 0), batch())[0].figures.at("suffix_sinks"), 0);
  plan = plan_with_sinks_above(1e-3);
  const auto results = run_suffix_row(row("soft_suffix", 0), batch());
  EXPECT_EQ(results[0].figures.at("suffix_sinks"), 2 * kSuffix);  // sites x positions
  const at::Tensor start = subject.model->embed(at::tensor(subject.tokenizer->encode(" !")));
  EXPECT_NEAR(
      figure_of(results[0], "suffix_norm_max"), start.norm(2, -1).max().item<double>(), 1e-4);
}

TEST_F(AnswerSuffixTest, NeitherAnswerNorSuffixIsStored) {
  for (const char* constraint : {"soft_suffix", "gcg"}) {
    for (const auto& result : run_suffix_row(row(constraint, 2), batch())) {
      for (const auto& [key, value] : result.figures.items()) {
        EXPECT_FALSE(value.is_array()) << key;
        EXPECT_TRUE(!value.is_object() || key == "answer") << key;
        EXPECT_TRUE(!value.is_string() || key == "verdict" || key == "suffix_sha256") << key;
      }
    }
  }
}

TEST_F(AnswerSuffixTest, AllowedTokensAreThePrintableOnes) {
  const at::Tensor is_allowed = printable_tokens(*subject.tokenizer, 200);
  const int64_t n = subject.tokenizer->vocabulary_size();
  EXPECT_TRUE(is_allowed.slice(0, 0, n).all().item<bool>());
  EXPECT_FALSE(is_allowed.slice(0, n).any().item<bool>());

  const Tokenizer marked = Tokenizer::from_vocabulary(tiny_vocabulary());
  const at::Tensor allowed = printable_tokens(marked, marked.vocabulary_size());
  for (const int64_t id : {kTinyEnd, kTinyUser, kTinyNewline}) {
    EXPECT_FALSE(allowed[id].item<bool>()) << id;
  }
  for (const int64_t id : {kTinySpaceHello, tiny_id('~'), tiny_id('!')}) {
    EXPECT_TRUE(allowed[id].item<bool>()) << id;
  }
}

// "hello" is one token: a suffix that spells it is not what its text encodes to.
TEST_F(AnswerSuffixTest, SuffixesThatEncodeOtherwiseDoNotSurvive) {
  const Request& request = subject.test[0].request;
  const SplitPrompt split = split_at_content_end(subject, request.text);
  const auto survives = survives_retokenisation(subject, request, split);
  const auto id = [&](const char* text) { return subject.tokenizer->encode(text).front(); };
  EXPECT_TRUE(survives({id("x"), id("lake"), id("?")}));
  EXPECT_FALSE(survives({id("l"), id("a"), id("k"), id("e")}));
}

TEST_F(AnswerSuffixTest, RowsAtTheInputNameTheirThreatAndHaveNoBudget) {
  spec.rows = {row("soft_suffix", 1), row("gcg", 1), {"none"}};
  const auto rows = answer_rows(spec);
  EXPECT_EQ(rows[0].head.threat_model, "input");
  EXPECT_EQ(rows[0].head.name, "soft_suffix/answer/per_prompt@obfuscation=1");
  EXPECT_EQ(rows[1].head.name, "gcg/answer/per_prompt@width=6,steps=1");
  EXPECT_TRUE(std::isnan(rows[1].head.budget));
  EXPECT_EQ(rows[2].head.threat_model, "after_clamp");
  EXPECT_EQ(rows.back().head.name, "inject/none/answer/per_prompt@40");
}

TEST_F(AnswerSuffixTest, AloneTheyHaveTheDefendedRunAsOnlyControl) {
  spec.rows = {row("soft_suffix", 1), row("gcg", 1)};
  const auto rows = answer_rows(spec);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[2].head.name, "clamp_only/gcg/answer/per_prompt@width=6,steps=1");
}

}  // namespace
}  // namespace rebound
