#include "rebound/serve/bench.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/intervene/defence.h"
#include "rebound/model/generate.h"
#include "serve/tiny_bench.h"
#include "support/failures.h"

namespace rebound {
namespace {

const std::string kPrompt = "then Mary and John went to a shop";

BenchRequest asked(std::vector<BenchClamp> clamps = {}) {
  return {.prompt = kPrompt, .clamps = std::move(clamps), .max_new_tokens = 12, .features = 10};
}

std::vector<BenchClamp> strong_clamps() {
  std::vector<BenchClamp> clamps;
  for (int64_t feature = 0; feature < 20; ++feature) {
    clamps.push_back({.sae = 0, .feature = feature, .kind = EditKind::kScale, .value = -3});
    clamps.push_back({.sae = 1,
                      .feature = feature,
                      .kind = EditKind::kAdd,
                      .when = EditWhen::kAlways,
                      .value = 2});
  }
  return clamps;
}

// The same clamps by the library's own road. The norms are of the base run.
ClampPlan plan_by_hand(const BenchModel& bench, const std::vector<BenchClamp>& clamps) {
  const TokenBatch batch = TokenBatch::from({bench.tokenizer->encode(kPrompt)});
  std::vector<std::shared_ptr<const Clamp>> plan;
  for (int64_t s = 0; s < 2; ++s) {
    const BenchSae& sae = bench.saes[static_cast<size_t>(s)];
    Hooks hooks;
    hooks.capture.insert(sae.site);
    const RunOutput run = bench.model->run(batch, {.hooks = hooks});
    std::vector<FeatureEdit> edits;
    for (const BenchClamp& clamp : clamps) {
      if (clamp.sae != s) continue;
      FeatureEdit edit{.features = {clamp.feature}, .kind = clamp.kind, .value = clamp.value};
      edit.when = clamp.when;
      edits.push_back(edit);
    }
    plan.push_back(std::make_shared<const Defence>(
        sae.sae, edits, sink_norm_of(run.activations.at(sae.site), batch.rows())));
  }
  return ClampPlan(plan, bench.model->config());
}

TEST(BenchTest, FeaturesAreTheSaesOwnCodes) {
  Bench bench = tiny_bench();
  const Json found = bench.features(asked());
  const BenchModel& model = bench.model();
  const std::vector<int64_t> ids = model.tokenizer->encode(kPrompt);
  ASSERT_EQ(found["tokens"].size(), ids.size());
  EXPECT_EQ(found["tokens"][4]["text"], " Mary");
  EXPECT_EQ(found["tokens"][0]["counts"], false);
  ASSERT_EQ(found["saes"].size(), 2u);
  Hooks hooks;
  hooks.capture.insert(model.saes[1].site);
  const RunOutput run = model.model->run(TokenBatch::from({ids}), {.hooks = hooks});
  const at::Tensor code = model.saes[1].sae->encode(run.activations.at(model.saes[1].site))[0];
  double last = 1e9;
  for (const Json& line : found["saes"][1]["features"]) {
    const int64_t feature = line["feature"].get<int64_t>();
    const double peak = line["peak"].get<double>();
    const at::Tensor column = code.select(1, feature);
    EXPECT_NEAR(peak, column.slice(0, 1).max().item<double>(), 2e-3 * peak);
    EXPECT_LE(peak, last);
    EXPECT_GT(line["at"].get<int64_t>(), 0) << "position 0 is not ranked";
    EXPECT_NEAR(line["values"][0].get<double>(),
                column[0].item<double>(),
                2e-3 * std::abs(column[0].item<double>()));
    last = peak;
  }
  const Json& top = found["saes"][1]["tops"][5][0];
  EXPECT_EQ(top["feature"].get<int64_t>(), code[5].argmax().item<int64_t>());
}

TEST(BenchTest, WithoutClampsAndWithEditsOfStrengthZeroNothingChanges) {
  Bench bench = tiny_bench();
  const Json none = bench.next_token(asked());
  EXPECT_EQ(none["kl_nats"].get<double>(), 0);
  for (const Json& token : none["tokens"]) EXPECT_EQ(token["base_logit"], token["clamped_logit"]);
  const Json same =
      bench.next_token(asked({{.sae = 0, .feature = 3, .kind = EditKind::kScale, .value = 1},
                              {.sae = 1, .feature = 5, .kind = EditKind::kAdd, .value = 0}}));
  EXPECT_NEAR(same["kl_nats"].get<double>(), 0, 1e-9);
}

TEST(BenchTest, ClampedLogitsAreThoseOfTheDefence) {
  Bench bench = tiny_bench();
  const BenchModel& model = bench.model();
  const Json found = bench.next_token(asked(strong_clamps()));
  const ClampPlan plan = plan_by_hand(model, strong_clamps());
  const TokenBatch batch = TokenBatch::from({model.tokenizer->encode(kPrompt)});
  const auto last_logits = [&](const Hooks& hooks) {
    return model.model->logits(model.model->run(batch, {.hooks = hooks}).resid)[0][-1];
  };
  const at::Tensor base = last_logits({}), clamped = last_logits(plan.hooks());
  EXPECT_GT((base - clamped).abs().max().item<double>(), 0.1) << "the clamps do something";
  for (const Json& token : found["tokens"]) {
    const int64_t id = token["id"].get<int64_t>();
    EXPECT_NEAR(token["base_logit"].get<double>(), base[id].item<double>(), 1e-4);
    EXPECT_NEAR(token["clamped_logit"].get<double>(), clamped[id].item<double>(), 1e-4);
    EXPECT_NEAR(token["clamped_p"].get<double>(), clamped.softmax(-1)[id].item<double>(), 1e-5);
  }
  EXPECT_GT(found["kl_nats"].get<double>(), 0);
}

TEST(BenchTest, GenerationsAreThoseOfTheTwoModelsAlone) {
  Bench bench = tiny_bench();
  const BenchModel& model = bench.model();
  const ClampPlan plan = plan_by_hand(model, strong_clamps());
  const std::vector<int64_t> ids = model.tokenizer->encode(kPrompt);
  const GenerateOptions options{.max_new_tokens = 12};
  const std::vector<int64_t> base = generate(*model.model, ids, options);
  const std::vector<int64_t> clamped = generate(*model.model, ids, options, plan.hooks());
  ASSERT_NE(base, clamped) << "the clamps do something";
  std::string texts[2];
  Json last;
  bench.generate(asked(strong_clamps()), [&](const Json& step) {
    last = step;
    if (step.contains("done")) return true;
    texts[0] += step["base"].get<std::string>();
    texts[1] += step["clamped"].get<std::string>();
    return true;
  });
  EXPECT_EQ(texts[0], model.tokenizer->decode(base));
  EXPECT_EQ(texts[1], model.tokenizer->decode(clamped));
  EXPECT_EQ(last["done"], true);
  const auto parted = std::mismatch(base.begin(), base.end(), clamped.begin()).first;
  EXPECT_EQ(last["equal_tokens"].get<int64_t>(), parted - base.begin());
}

TEST(BenchTest, AGenerationEndsWhenItsReaderGoes) {
  Bench bench = tiny_bench();
  int steps = 0;
  bench.generate(asked(), [&](const Json&) { return ++steps < 3; });
  EXPECT_EQ(steps, 3);
}

TEST(BenchTest, HooksOfTheSecondExampleLeaveTheFirstAlone) {
  Hooks hooks;
  const Site site{1, SiteKind::kResidPre};
  hooks.edits[site] = [](const at::Tensor& value, const Rows& rows) {
    EXPECT_EQ(value.size(0), 1);
    EXPECT_EQ(rows.length.item<int64_t>(), 9);
    return value + 1;
  };
  const Rows rows{at::zeros({2, 3}, at::kLong),
                  at::ones({2, 3}, at::kBool),
                  at::tensor({4, 9}, at::kLong).view({2, 1})};
  const at::Tensor value = at::rand({2, 3, 5});
  const at::Tensor edited = second_only(hooks).edits.at(site)(value, rows);
  EXPECT_TRUE(edited[0].equal(value[0]));
  EXPECT_TRUE(edited[1].equal(value[1] + 1));
}

TEST(BenchTest, OneTokenIsLeftAlone) {
  Bench bench = tiny_bench();
  BenchRequest request = asked(strong_clamps());
  request.prompt = "a";
  EXPECT_NEAR(bench.next_token(request)["kl_nats"].get<double>(), 0, 1e-12);
  EXPECT_TRUE(bench.features(request)["saes"][0]["features"].empty());
  EXPECT_FALSE(bench.last_sink_norm(0));
  bench.next_token(asked());
  EXPECT_TRUE(bench.last_sink_norm(0));
  EXPECT_FALSE(bench.last_sink_norm(2));
}

TEST(BenchTest, WhatCannotBeDoneIsSaid) {
  Bench bench = tiny_bench({.prompt_tokens = 40});
  BenchRequest request = asked();
  request.prompt = std::string(41, 'a');
  EXPECT_NE(message_of<ConfigError>([&] {
              bench.next_token(request);
            }).find("got 41 tokens, expected 1..40"),
            std::string::npos);
  request = asked();
  request.is_chat = true;
  EXPECT_NE(message_of<ConfigError>([&] { bench.features(request); }).find("no chat template"),
            std::string::npos);
  EXPECT_NE(message_of<ConfigError>([&] {
              bench.next_token(asked({{.sae = 2, .feature = 0}}));
            }).find("list of 2 SAEs"),
            std::string::npos);
  EXPECT_THROW(bench.next_token(asked({{.sae = 0, .feature = 40}})), ConfigError);
  EXPECT_THROW(bench.next_token(asked({{.sae = 0, .feature = -1}})), ConfigError);
}

}  // namespace
}  // namespace rebound
