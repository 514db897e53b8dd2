#include "rebound/model/families.h"

#include <gtest/gtest.h>

#include <set>

#include "model/family_fixture.h"
#include "rebound/base/error.h"
#include "rebound/model/decoder.h"
#include "rebound/model/generate.h"
#include "rebound/model/prefix_forest.h"
#include "rebound/model/segment.h"
#include "support/failures.h"

namespace rebound {
namespace {

TEST_P(FamilyTest, LogitsEqualTransformers) {
  for (const Json& prompt : golden_.at("prompts")) {
    EXPECT_LT(relative_gap(last_logits(model_, ids_of(prompt)), floats_of(prompt.at("logits"))),
              1e-4);
  }
}

TEST_P(FamilyTest, EverySiteEqualsTransformersAndNoneIsMissing) {
  const Json& sites = golden_.at("sites");
  const Activations values = all_activations(model_, ids_of(sites));
  std::set<std::string> names, golden_names;
  for (const auto& [site, value] : values) names.insert(to_string(site));
  for (const auto& [name, golden] : sites.at("values").items()) golden_names.insert(name);
  EXPECT_EQ(names, golden_names);
  for (const auto& [site, value] : values) {
    const std::string name = to_string(site);
    if (golden_names.count(name)) expect_site(value, sites.at("values").at(name), name);
  }
}

TEST_P(FamilyTest, GreedyTextEqualsTransformers) {
  const Json& text = golden_.at("generate");
  const auto expected = ids_of(text, "new_ids");
  ASSERT_EQ(expected.size(), 32u);
  EXPECT_EQ(generate(model_, ids_of(text), {.max_new_tokens = 32}), expected);
}

TEST_P(FamilyTest, DecoderEqualsAFullRunOfEachExample) {
  Rng rng({3});
  std::vector<std::vector<int64_t>> texts = {
      random_tokens(rng, 3), random_tokens(rng, 11), random_tokens(rng, 1)};
  Decoder decoder(model_, TokenBatch::from(texts));
  for (int64_t step = 0; step < 14; ++step) {
    for (size_t i = 0; i < texts.size(); ++i) {
      const at::Tensor full = model_.run(TokenBatch::from({texts[i]})).resid[0][-1];
      EXPECT_LT(relative_gap(decoder.resid()[static_cast<int64_t>(i)], full), 1e-5) << step;
    }
    const auto tokens = random_tokens(rng, 3);
    for (size_t i = 0; i < texts.size(); ++i) texts[i].push_back(tokens[i]);
    decoder.step(at::tensor(tokens, at::kLong));
  }
}

// The segment with a perturbation, and the whole model with the same one added at the site.
TEST_P(FamilyTest, SegmentEqualsTheFullRun) {
  Rng rng({6});
  const TokenBatch batch =
      TokenBatch::from({random_tokens(rng, 13), random_tokens(rng, 9), random_tokens(rng, 16)});
  const Site site{1, SiteKind::kResidPre};
  const SegmentSpec spec{site, {7, 4, 11}, {{12, 9}, {8, 8}, {15, 13}}};
  const Segment segment = Segment::record(model_, batch, {}, spec);
  const at::Tensor delta = random_tensor(rng, {3, segment.resid().size(1), model_.d_model()}, 0.5);
  const at::Tensor out = segment.run(segment.resid() + delta);
  for (int64_t i = 0; i < 3; ++i) {
    const int64_t first = spec.first_position[static_cast<size_t>(i)];
    const int64_t length = batch.lengths[static_cast<size_t>(i)];
    Hooks hooks;
    hooks.edits[site] = [&](const at::Tensor& value, const Rows&) {
      at::Tensor changed = value.clone();
      changed.narrow(1, first, length - first).add_(delta[i].narrow(0, 0, length - first));
      return changed;
    };
    const TokenBatch one{batch.ids.narrow(0, i, 1).narrow(1, 0, length), {length}};
    const at::Tensor full = model_.run(one, {.hooks = hooks}).resid[0];
    const at::Tensor index = at::tensor(spec.scored[static_cast<size_t>(i)], at::kLong);
    EXPECT_LT(relative_gap(out[i], full.index_select(0, index)), 1e-5) << i;
  }
}

TEST_P(FamilyTest, GradientsThroughASegmentEqualCentralDifferences) {
  Rng rng({8});
  const TokenBatch batch = TokenBatch::from({random_tokens(rng, 12)});
  const Segment segment =
      Segment::record(model_, batch, {}, {{1, SiteKind::kResidPre}, {3}, {{11, 8}}});
  const at::Tensor weight = random_tensor(rng, {1, 2, model_.config().vocab_size});
  const auto score = [&](const at::Tensor& delta) {
    return (model_.logits(segment.run(segment.resid() + delta)) * weight).sum();
  };
  at::Tensor gradient;
  {
    const at::AutoGradMode with_grad(true);
    at::Tensor delta = at::zeros_like(segment.resid()).requires_grad_(true);
    score(delta).backward();
    gradient = delta.grad();
  }
  const double norm = gradient.norm().item<double>(), step = 1e-2;
  const at::Tensor direction = gradient / norm;
  const double slope =
      (score(step * direction) - score(-step * direction)).item<double>() / (2 * step);
  EXPECT_NEAR(slope / norm, 1.0, 2e-2);
}

// Also of files whose rows are turned, fused or transposed on the way in.
TEST_P(FamilyTest, WeightsAsStoredGiveTheSameLogitsAndRoundedOnesNearOnes) {
  const std::string folder = family_folder(GetParam()).string();
  const std::vector<int64_t> ids = ids_of(golden_.at("sites"));
  const at::Tensor exact = last_logits(model_, ids);
  const Transformer stored = load_model(folder, {.keeps_stored = true});
  EXPECT_LT(relative_gap(last_logits(stored, ids), exact), 1e-5);
  const std::string gguf = folder + "/model.gguf";
  if (std::filesystem::exists(gguf)) {
    const Transformer packed = load_model(gguf, {.keeps_stored = true});
    EXPECT_LT(relative_gap(last_logits(packed, ids), last_logits(load_model(gguf), ids)), 1e-5);
  }
  const Transformer half = load_model(folder, {.dtype = at::kHalf});
  EXPECT_EQ(half.precision(), "float16");
  EXPECT_LT(relative_gap(last_logits(half, ids), exact), 2e-2);
  const Transformer cast = model_.to(at::kBFloat16);
  const Transformer rounded = load_model(folder, {.dtype = at::kBFloat16});
  EXPECT_TRUE(at::equal(last_logits(rounded, ids), last_logits(cast, ids)));
}

TEST_P(FamilyTest, SharedPrefixesGiveWhatSequencesGiveAlone) {
  Rng rng({9});
  const auto stem = random_tokens(rng, 9);
  std::vector<std::vector<int64_t>> sequences(3, stem);
  for (auto& sequence : sequences) {
    for (const int64_t id : random_tokens(rng, 3)) sequence.push_back(id);
  }
  const PrefixForest forest = PrefixForest::from(sequences);
  const at::Tensor together = forest.run(model_);
  for (size_t s = 0; s < sequences.size(); ++s) {
    const at::Tensor alone = model_.run(TokenBatch::from({sequences[s]})).resid[0];
    for (size_t i = 0; i < sequences[s].size(); ++i) {
      EXPECT_LT(relative_gap(together[forest.node(s, i)], alone[static_cast<int64_t>(i)]), 1e-5);
    }
  }
}

TEST_P(FamilyTest, ResidualStreamIsTheSumOfWhatIsWrittenToIt) {
  const std::vector<int64_t> ids = ids_of(golden_.at("sites"));
  Activations values = all_activations(model_, ids);
  at::Tensor sum = values.at({-1, SiteKind::kEmbed});
  if (values.count({-1, SiteKind::kPosEmbed})) sum = sum + values.at({-1, SiteKind::kPosEmbed});
  for (int64_t layer = 0; layer < n_layers(); ++layer) {
    const LayerWeights& w = model_.weights().layers[static_cast<size_t>(layer)];
    at::Tensor heads = values.at({layer, SiteKind::kResult}).sum(2);
    if (w.o_bias.defined()) heads = heads + w.o_bias;
    const at::Tensor attn_out = values.at({layer, SiteKind::kAttnOut});
    if (!w.attn_out_norm.defined()) {
      EXPECT_LT(relative_gap(heads, attn_out), 1e-5);
    }
    sum = sum + attn_out + values.at({layer, SiteKind::kMlpOut});
    EXPECT_LT(relative_gap(sum, values.at({layer, SiteKind::kResidPost})), 1e-5);
    const at::Tensor pattern = values.at({layer, SiteKind::kPattern});
    EXPECT_LT((pattern.sum(-1) - 1).abs().max().item<double>(), 1e-5);
  }
}

TEST_P(FamilyTest, LogitsOfSomeTokensEqualTheFullHead) {
  const at::Tensor resid = model_.run(TokenBatch::from({{1, 2, 3}})).resid[0];
  const at::Tensor tokens = at::tensor({5, 9, 60, 0, 1, 2}, at::kLong).view({3, 2});
  EXPECT_LT(relative_gap(model_.logits_of(resid, tokens), model_.logits(resid).gather(1, tokens)),
            1e-5);
}

TEST_P(FamilyTest, Bfloat16WeightsStayNearFloat32) {
  const TokenBatch batch = TokenBatch::from({ids_of(golden_.at("sites"))});
  const at::Tensor exact = model_.run(batch).resid;
  const at::Tensor rough = model_.to(at::kBFloat16).run(batch).resid;
  EXPECT_EQ(rough.scalar_type(), at::kFloat);
  EXPECT_LT((rough - exact).norm().item<double>() / exact.norm().item<double>(), 0.05);
}

// A window hides what is beyond it: the first token does not reach a row behind every layer's.
TEST_P(FamilyTest, SlidingLayersSeeTheirWindowAlone) {
  const ModelConfig& config = model_.config();
  const Activations values = all_activations(model_, ids_of(golden_.at("sites")));
  for (int64_t layer = 0; layer < n_layers(); ++layer) {
    const at::Tensor pattern = values.at({layer, SiteKind::kPattern});  // [1, n_heads, 12, 12]
    const bool is_sliding = config.kind_of(layer).is_sliding;
    for (int64_t distance = 0; distance < 12; ++distance) {
      const double most = pattern.diagonal(-distance, -2, -1).max().item<double>();
      EXPECT_EQ(most > 0, !is_sliding || distance < config.sliding_window)
          << layer << " " << distance;
    }
  }
}

TEST_P(FamilyTest, ASiteThatTheFamilyLacksIsRefusedByName) {
  const auto has = all_sites(model_.config());
  const std::set<Site> own(has.begin(), has.end());
  for (const Site& site : all_sites(n_layers())) {
    RunOptions options;
    options.hooks.capture = {site};
    const TokenBatch batch = TokenBatch::from({{1, 2}});
    if (own.count(site)) {
      EXPECT_EQ(model_.run(batch, options).activations.count(site), 1u) << to_string(site);
    } else {
      const std::string message = message_of<ConfigError>([&] { model_.run(batch, options); });
      EXPECT_NE(message.find(to_string(site)), std::string::npos) << message;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families,
                         FamilyTest,
                         ::testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

INSTANTIATE_TEST_SUITE_P(Variants,
                         FamilyTest,
                         ::testing::ValuesIn(kVariants),
                         [](const auto& info) { return std::string(info.param); });

// The tiny Phi-3's short factors are for 48 positions of the 64 that its file names.
TEST(FamiliesTest, LongropeEndsWhereItsShortFactorsDoAndSaysWhy) {
  const Transformer model = load_model(family_folder("phi3_longrope").string());
  Rng rng({12});
  const auto ids = random_ids(rng, 49, 64);
  const std::string message = message_of<DataError>([&] { model.run(TokenBatch::from({ids})); });
  EXPECT_NE(message.find("got 49 tokens, expected at most 48 (up to 64"), std::string::npos)
      << message;
  EXPECT_NE(message.find("longrope"), std::string::npos) << message;
  EXPECT_THROW(PrefixForest::from({ids}).run(model), DataError);
  const std::vector<int64_t> prompt(ids.begin(), ids.begin() + 40);
  EXPECT_EQ(generate(model, prompt, {.max_new_tokens = 32}).size(), 8u);
}

TEST(FamiliesTest, EditsInAParallelBlockCannotBeBetweenAttentionAndMlp) {
  const Transformer model = load_model(family_folder("gpt_neox").string());
  RunOptions options;
  options.hooks.edits[{1, SiteKind::kResidMid}] = [](const at::Tensor& v, const Rows&) {
    return v;
  };
  const std::string message =
      message_of<ConfigError>([&] { model.run(TokenBatch::from({{1}}), options); });
  EXPECT_NE(message.find("parallel"), std::string::npos) << message;
}

TEST(FamiliesTest, EveryRowOfTheTableHasATinyModel) {
  std::set<std::string> tested;
  for (const char* family : kFamilies) {
    tested.insert(read_json_file(family_folder(family) / "config.json").at("model_type"));
  }
  for (const Architecture& row : architectures())
    EXPECT_EQ(tested.count(row.model_type), 1u) << row.model_type;
}

}  // namespace
}  // namespace rebound
