#include "rebound/behaviour/toy.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/rng.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

// h_def = h + decode_delta(S, v - z_S where active)
at::Tensor clamp(const Toy& toy, const at::Tensor& h) {
  const at::Tensor z = toy.sae.encode(h, toy.features);
  const at::Tensor change = at::where(z > 0, toy.clamp_value - z, at::zeros_like(z));
  return h + toy.sae.decode_delta(toy.features, change, h);
}

at::Tensor read_out(const Toy& toy, const Prompt& prompt) {
  const at::Tensor& head = toy.model.weights().head;
  return head[prompt.correct_id] - head[prompt.wrong_id];
}

at::Tensor embedding(const Toy& toy, const Prompt& prompt) {
  return toy.model.weights().embed.dense()[prompt.ids.back()];
}

double inner_product(const at::Tensor& a, const at::Tensor& b) { return a.dot(b).item<double>(); }

at::Tensor basis_of(const at::Tensor& columns) { return std::get<0>(at::linalg_qr(columns)); }

at::Tensor encoder_basis(const Toy& toy) { return basis_of(toy.sae.encoder_columns(toy.features)); }

at::Tensor encoder_decoder_basis(const Toy& toy) {
  return basis_of(
      at::cat({toy.sae.encoder_columns(toy.features), toy.sae.decoder_rows(toy.features).t()}, 1));
}

at::Tensor off(const at::Tensor& basis, const at::Tensor& w) {
  return w - at::matmul(basis, at::matmul(basis.t(), w));
}

// logit[correct] - logit[wrong] of every prompt, by a full run of the model.
std::vector<double> run_margins(const Toy& toy,
                                const std::vector<Prompt>& prompts,
                                const Hooks& hooks) {
  std::vector<std::vector<int64_t>> ids;
  for (const Prompt& prompt : prompts) ids.push_back(prompt.ids);
  const at::Tensor resid = toy.model.run(TokenBatch::from(ids), {.hooks = hooks}).resid;
  std::vector<double> margins;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const int64_t last = static_cast<int64_t>(prompts[i].ids.size()) - 1;
    const at::Tensor logits = toy.model.logits(resid[static_cast<int64_t>(i)][last]);
    margins.push_back((logits[prompts[i].correct_id] - logits[prompts[i].wrong_id]).item<double>());
  }
  return margins;
}

Hooks clamp_hooks(const Toy& toy) {
  Hooks hooks;
  hooks.edits[toy.site] = [&toy](const at::Tensor& h, const Rows&) { return clamp(toy, h); };
  return hooks;
}

struct Case {
  ToyKind kind;
  uint64_t seed;
};

class ToyTest : public ::testing::TestWithParam<Case> {
 protected:
  Toy toy_ = make_toy(GetParam().kind, GetParam().seed);
  bool is_sealed() const { return GetParam().kind == ToyKind::kSealed; }
};

TEST_P(ToyTest, EveryPromptIsAValidFlip) {
  for (const auto* split : {&toy_.prompts.train, &toy_.prompts.test}) {
    ASSERT_GE(split->size(), 40U);
    for (const double margin : run_margins(toy_, *split, {})) EXPECT_GT(margin, 1.0);
    for (const double margin : run_margins(toy_, *split, clamp_hooks(toy_))) {
      EXPECT_LT(margin, -0.1);
    }
  }
}

TEST_P(ToyTest, MarginIsTheReadOutOfTheEmbeddingOverItsScale) {
  const auto& prompts = toy_.prompts.test;
  const std::vector<double> base = run_margins(toy_, prompts, {});
  const std::vector<double> defended = run_margins(toy_, prompts, clamp_hooks(toy_));
  const double eps = toy_.model.config().rms_norm_eps;
  for (size_t i = 0; i < prompts.size(); ++i) {
    const at::Tensor w = read_out(toy_, prompts[i]), h = embedding(toy_, prompts[i]);
    const at::Tensor h_def = clamp(toy_, h);
    const auto rms = [&](const at::Tensor& x) { return std::sqrt(inner_product(x, x) / 48 + eps); };
    EXPECT_NEAR(base[i], inner_product(w, h) / rms(h), 1e-4);
    EXPECT_NEAR(defended[i], inner_product(w, h_def) / rms(h_def), 1e-4);
  }
}

TEST_P(ToyTest, OneClampedFeatureIsActiveAndTheClampTurnsIt) {
  for (const Prompt& prompt : toy_.prompts.test) {
    const at::Tensor h = embedding(toy_, prompt);
    const at::Tensor z = toy_.sae.encode(h, toy_.features);
    EXPECT_EQ((z > 0).sum().item<int64_t>(), 1);
    EXPECT_EQ(z.argmax().item<int64_t>(), prompt.correct_id);
    // Re-encoded, the clamped feature is off; its pre-activation is near the clamp value.
    EXPECT_EQ(toy_.sae.encode(clamp(toy_, h), toy_.features).max().item<double>(), 0);
    const at::Tensor pre = toy_.sae.pre_activations(clamp(toy_, h), toy_.features);
    EXPECT_NEAR(pre[prompt.correct_id].item<double>(), toy_.clamp_value, 0.7);
  }
}

TEST_P(ToyTest, BudgetIsAThirdOfTheNormAndSufficesUnlessSealed) {
  const at::Tensor encoder = encoder_basis(toy_), both = encoder_decoder_basis(toy_);
  for (const Prompt& prompt : toy_.prompts.test) {
    const at::Tensor w = read_out(toy_, prompt), h_def = clamp(toy_, embedding(toy_, prompt));
    const double deficit = -inner_product(w, h_def);
    EXPECT_GT(deficit, 0);
    EXPECT_NEAR(toy_.budget / embedding(toy_, prompt).norm().item<double>(), 1.0 / 3, 0.12);
    EXPECT_GT(linear_best_gain(w, {}, toy_.budget), 1.2 * deficit);
    if (is_sealed()) {
      EXPECT_LT(linear_best_gain(w, encoder, 100 * toy_.budget), 0.01 * deficit);
    } else {
      EXPECT_GT(linear_best_gain(w, encoder, toy_.budget), 1.2 * deficit);
      EXPECT_GT(linear_best_gain(w, both, toy_.budget), 1.2 * deficit);
    }
  }
}

TEST_P(ToyTest, NoPositionIsSpecial) {
  const at::Tensor norms = toy_.model.weights().embed.dense().slice(0, 16).norm(2, {1});
  EXPECT_LT((norms.max() / norms.min()).item<double>(), 3);
  // A changed beginning changes nothing at the answer.
  std::vector<Prompt> prompts = toy_.prompts.test;
  const std::vector<double> before = run_margins(toy_, prompts, clamp_hooks(toy_));
  for (Prompt& prompt : prompts) prompt.ids[0] = 17;
  const std::vector<double> after = run_margins(toy_, prompts, clamp_hooks(toy_));
  for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(before[i], after[i], 1e-5);
}

// The parts of method.md section 5 for the best perturbation off encoder and decoder: the part
// that non-clamped codes explain, and the rest. Which one recovers names the route.
TEST_P(ToyTest, TheReplayedPartNamesTheRoute) {
  if (is_sealed()) return;  // there is no such perturbation
  const at::Tensor both = encoder_decoder_basis(toy_);
  for (const Prompt& prompt : toy_.prompts.test) {
    const at::Tensor w = read_out(toy_, prompt), h_def = clamp(toy_, embedding(toy_, prompt));
    const at::Tensor free = off(both, w);
    const at::Tensor delta = toy_.budget * free / free.norm();
    const at::Tensor dz = toy_.sae.encode(h_def + delta) - toy_.sae.encode(h_def);
    const at::Tensor explained = at::matmul(dz, toy_.sae.weights().W_dec);
    EXPECT_NEAR(dz.slice(0, 0, 4).abs().max().item<double>(), 0, 1e-5);
    const double margin = inner_product(w, h_def);
    const bool by_codes = margin + inner_product(w, explained) > 0;
    const bool by_rest = margin + inner_product(w, delta - explained) > 0;
    EXPECT_EQ(by_codes, GetParam().kind == ToyKind::kFeatureRouted) << prompt.id;
    EXPECT_EQ(by_rest, GetParam().kind == ToyKind::kLeaky) << prompt.id;
  }
}

TEST_P(ToyTest, DictionaryIsNotOrthogonal) {
  const at::Tensor encoder = toy_.sae.weights().W_enc, decoder = toy_.sae.weights().W_dec;
  const at::Tensor overlap = at::matmul(decoder, encoder) - at::eye(toy_.sae.d_sae());
  EXPECT_LT(overlap.diagonal().abs().max().item<double>(), 1e-5);  // a_i . d_i = 1
  EXPECT_GT(overlap.abs().mean().item<double>(), 0.02);
  const at::Tensor cosine = 1 / encoder.norm(2, {0});
  EXPECT_LT(cosine.max().item<double>(), 0.99);
  EXPECT_GT(cosine.min().item<double>(), 0.85);
}

INSTANTIATE_TEST_SUITE_P(Kinds,
                         ToyTest,
                         ::testing::Values(Case{ToyKind::kLeaky, 0},
                                           Case{ToyKind::kLeaky, 1},
                                           Case{ToyKind::kFeatureRouted, 0},
                                           Case{ToyKind::kFeatureRouted, 1},
                                           Case{ToyKind::kSealed, 0},
                                           Case{ToyKind::kSealed, 1}));

TEST(ToyGeometryTest, LeakIsOutsideTheDictionary) {
  const Toy toy = make_toy(ToyKind::kLeaky);
  const at::Tensor dictionary =
      basis_of(at::cat({toy.sae.weights().W_enc, toy.sae.weights().W_dec.t()}, 1)
                   .slice(1, 0, 40));  // 64 columns of rank 40
  for (const Prompt& prompt : toy.prompts.test) {
    const at::Tensor w = read_out(toy, prompt);
    const at::Tensor outside = off(dictionary, w);
    EXPECT_NEAR(outside.norm().item<double>(), 1.2 * std::sqrt(2.0), 1e-4);
    EXPECT_LT(at::matmul(outside, toy.sae.weights().W_enc).abs().max().item<double>(), 1e-5);
    EXPECT_LT(at::matmul(toy.sae.weights().W_dec, outside).abs().max().item<double>(), 1e-5);
    // And the clamped feature's decoder direction is read as well.
    const at::Tensor row = toy.sae.decoder_rows({toy.features[size_t(prompt.correct_id)]})[0];
    EXPECT_NEAR(inner_product(w, row), 1, 0.15);
  }
}

TEST(ToyGeometryTest, RouteIsAFeatureThatIsNotClampedAndIsOn) {
  const Toy toy = make_toy(ToyKind::kFeatureRouted);
  ASSERT_EQ(toy.route_features.size(), 4U);
  for (const Prompt& prompt : toy.prompts.test) {
    const size_t mine = size_t(prompt.correct_id), other = size_t(prompt.wrong_id);
    const std::vector<int64_t> pair = {toy.route_features[mine], toy.route_features[other]};
    for (const int64_t feature : pair) {
      EXPECT_EQ(std::count(toy.features.begin(), toy.features.end(), feature), 0);
    }
    const at::Tensor z = toy.sae.encode(clamp(toy, embedding(toy, prompt)), pair);
    EXPECT_GT(z.min().item<double>(), 1 + toy.budget / std::sqrt(2.0) - 0.7);
    // What is read besides the clamped features is exactly these two.
    const at::Tensor clamped = toy.sae.decoder_rows({toy.features[mine], toy.features[other]});
    const at::Tensor routes = toy.sae.decoder_rows(pair);
    const at::Tensor expected = clamped[0] - clamped[1] + 1.2 * (routes[0] - routes[1]);
    EXPECT_LT((read_out(toy, prompt) - expected).norm().item<double>(), 1e-5);
  }
}

TEST(ToyGeometryTest, SealedReadOutLiesInTheEncoderSpanAndNotInTheDecoderSpan) {
  const Toy toy = make_toy(ToyKind::kSealed);
  const at::Tensor encoder = encoder_basis(toy);
  const at::Tensor decoder = basis_of(toy.sae.decoder_rows(toy.features).t());
  Rng rng({3});
  for (const Prompt& prompt : toy.prompts.test) {
    const at::Tensor w = read_out(toy, prompt);
    EXPECT_LT(off(encoder, w).norm().item<double>(), 1e-5 * w.norm().item<double>());
    EXPECT_GT(off(decoder, w).norm().item<double>(), 0.1 * w.norm().item<double>());
    const at::Tensor h_def = clamp(toy, embedding(toy, prompt));
    const at::Tensor delta = off(encoder, random_tensor(rng, {48}, 10));
    EXPECT_NEAR(inner_product(w, h_def + delta), inner_product(w, h_def), 1e-3);
  }
}

TEST(ToyPromptsTest, DependsOnTheSeedAlone) {
  const Toy once = make_toy(ToyKind::kLeaky, 4), again = make_toy(ToyKind::kLeaky, 4);
  const Toy other = make_toy(ToyKind::kLeaky, 5);
  EXPECT_TRUE(at::equal(once.model.weights().embed, again.model.weights().embed));
  EXPECT_EQ(once.prompts.test[3].ids, again.prompts.test[3].ids);
  EXPECT_FALSE(at::equal(once.model.weights().embed, other.model.weights().embed));
}

TEST(ToyPromptsTest, EverySeedHasClearPrompts) {
  for (uint64_t seed = 10; seed < 40; ++seed) {
    for (const ToyKind kind : {ToyKind::kLeaky, ToyKind::kFeatureRouted, ToyKind::kSealed}) {
      EXPECT_NO_THROW(make_toy(kind, seed)) << seed;
    }
  }
}

TEST(ToyPromptsTest, TrainAndTestShareNoLastToken) {
  const Toy toy = make_toy(ToyKind::kSealed);
  std::set<int64_t> last;
  for (const auto* split : {&toy.prompts.train, &toy.prompts.test}) {
    for (const Prompt& prompt : *split) EXPECT_TRUE(last.insert(prompt.ids.back()).second);
  }
  EXPECT_EQ(toy.prompts.unrelated_ids.size(), 16U);
}

TEST(LinearBestGainTest, IsTheBudgetTimesTheFreeNorm) {
  const at::Tensor w = at::tensor({3.0, 4.0, 12.0});
  const at::Tensor z_axis = at::tensor({0.0, 0.0, 1.0}).view({3, 1});
  EXPECT_NEAR(linear_best_gain(w, {}, 1), 13, 1e-12);
  EXPECT_NEAR(linear_best_gain(w, z_axis, 2), 10, 1e-12);
  EXPECT_NEAR(linear_best_gain(w, at::eye(3, at::kDouble), 2), 0, 1e-12);
  EXPECT_THROW(linear_best_gain(w, at::eye(4), 1), DataError);
}

// The other road: climb w . delta on the feasible sphere from a random start.
TEST(LinearBestGainTest, EqualsTheMaximumOnTheSphere) {
  for (const uint64_t seed : {1U, 2U, 3U}) {
    Rng rng({seed});
    const at::Tensor w = random_tensor(rng, {20}).to(at::kDouble);
    const at::Tensor basis = basis_of(random_tensor(rng, {20, 6}).to(at::kDouble));
    const double budget = 2.5, best = linear_best_gain(w, basis, budget);
    at::Tensor delta = off(basis, random_tensor(rng, {20}).to(at::kDouble));
    for (int i = 0; i < 200; ++i) {
      delta = off(basis, delta + 0.1 * w);
      delta = delta * (budget / delta.norm());
      EXPECT_LE(inner_product(w, delta), best + 1e-9);
    }
    EXPECT_NEAR(inner_product(w, delta), best, 1e-6 * best);
  }
}

}  // namespace
}  // namespace rebound
