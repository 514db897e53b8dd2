#include "rebound/model/segment.h"

#include <gtest/gtest.h>

#include "rebound/base/error.h"
#include "rebound/model/flops.h"
#include "support/tiny_model.h"

namespace rebound {
namespace {

const Site kSite{2, SiteKind::kResidPre};

// A clamp-like edit that depends on the value and on the position.
SiteEdit wavy_edit(double scale) {
  return [scale](const at::Tensor& value, const Rows& rows) {
    return value + scale * at::tanh(value) * rows.position.unsqueeze(-1).gt(0);
  };
}

struct Case {
  Transformer model = tiny_transformer();
  TokenBatch batch;
  SegmentSpec spec;
  Hooks hooks;

  Case() {
    Rng rng({5});
    batch = TokenBatch::from({random_ids(rng, 8), random_ids(rng, 5), random_ids(rng, 11)});
    spec = {kSite, {4, 4, 7}, {{7, 5}, {4, 4}, {10, 9}}};
    hooks.edits[{1, SiteKind::kResidPost}] = wavy_edit(0.2);
    hooks.edits[kSite] = wavy_edit(0.5);
    hooks.edits[{3, SiteKind::kResidPre}] = wavy_edit(0.3);
  }

  // The second road: the whole model with delta added after the edit at the site.
  at::Tensor full_run(const at::Tensor& delta, int64_t example) const {
    Hooks full = hooks;
    const SiteEdit original = full.edits.at(kSite);
    const int64_t first = spec.first_position[static_cast<size_t>(example)];
    full.edits[kSite] = [=](const at::Tensor& value, const Rows& rows) {
      at::Tensor out = original(value, rows).clone();
      const int64_t n = std::min(delta.size(1), out.size(1) - first);
      out.narrow(1, first, n).add_(delta[example].narrow(0, 0, n));
      return out;
    };
    const int64_t length = batch.lengths[static_cast<size_t>(example)];
    TokenBatch one{batch.ids.narrow(0, example, 1).narrow(1, 0, length), {length}};
    const at::Tensor resid = model.run(one, {.hooks = full}).resid[0];
    return resid.index_select(0, at::tensor(spec.scored[static_cast<size_t>(example)], at::kLong));
  }
};

TEST(SegmentTest, EqualsTheFullRunWithAndWithoutAPerturbation) {
  const Case c;
  const Segment segment = Segment::record(c.model, c.batch, c.hooks, c.spec);
  Rng rng({6});
  for (const double scale : {0.0, 0.7}) {
    const at::Tensor delta = random_tensor(rng, {3, segment.resid().size(1), 24}, scale);
    const at::Tensor out = segment.run(segment.resid() + delta);
    for (int64_t i = 0; i < 3; ++i)
      EXPECT_LT(relative_gap(out[i], c.full_run(delta, i)), 1e-5) << i;
  }
}

TEST(SegmentTest, SelectionEqualsTheRowsOfTheBatch) {
  const Case c;
  const Segment segment = Segment::record(c.model, c.batch, c.hooks, c.spec);
  const at::Tensor all = segment.run(segment.resid());
  const at::Tensor index = at::tensor({2, 0, 2}, at::kLong);
  const Segment part = segment.select(index);
  EXPECT_LT(relative_gap(part.run(part.resid()), all.index_select(0, index)), 1e-5);
}

TEST(SegmentTest, ValueBeforeTheEditIsKept) {
  const Case c;
  const Segment segment = Segment::record(c.model, c.batch, c.hooks, c.spec);
  const at::Tensor edited = c.hooks.edits.at(kSite)(segment.resid_before_edit(), segment.rows());
  EXPECT_LT(relative_gap(edited, segment.resid()), 1e-6);
}

TEST(SegmentTest, GradientEqualsCentralDifferences) {
  const Case c;
  const Segment segment = Segment::record(c.model, c.batch, c.hooks, c.spec);
  Rng rng({7});
  const at::Tensor weight = random_tensor(rng, {3, 2, 24});
  const auto score = [&](const at::Tensor& delta) {
    return (segment.run(segment.resid() + delta) * weight).sum();
  };
  at::Tensor delta = random_tensor(rng, {3, segment.resid().size(1), 24}, 0.1).requires_grad_(true);
  score(delta).backward();
  // Two directions: a random one and the gradient's own.
  const at::Tensor random = random_tensor(rng, {3, segment.resid().size(1), 24});
  for (const at::Tensor& direction : {random / random.norm(), delta.grad() / delta.grad().norm()}) {
    const double step = 2e-2;
    const at::NoGradGuard no_grad;
    const double up = score(delta + step * direction).item<double>();
    const double down = score(delta - step * direction).item<double>();
    const double predicted = (delta.grad() * direction).sum().item<double>();
    EXPECT_NEAR((up - down) / (2 * step), predicted, 1e-3 * delta.grad().norm().item<double>());
  }
}

TEST(SegmentTest, CostsOnlyTheRowsAndLayersThatCanChange) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = TokenBatch::from({{1, 2, 3, 4, 5, 6, 7, 8}});
  const Segment segment = Segment::record(model, batch, {}, {kSite, {7}, {{7}}});
  const int64_t before = FlopCount::total();
  segment.run(segment.resid());
  const ModelConfig& c = model.config();
  const int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  const int64_t matrices =
      c.hidden_size * (q + 2 * kv) + q * c.hidden_size + 3 * c.hidden_size * c.intermediate_size;
  const int64_t attention = 4 * q * 8;  // one query row against eight keys
  EXPECT_EQ(FlopCount::total() - before, 2 * (2 * matrices + attention));
}

TEST(SegmentTest, UnscoredRowsDoNotPassTheLastMlp) {
  const Transformer model = tiny_transformer();
  const TokenBatch batch = TokenBatch::from({{1, 2, 3, 4, 5, 6, 7, 8}});
  const auto cost = [&](std::vector<int64_t> scored) {
    const Segment segment = Segment::record(model, batch, {}, {kSite, {0}, {std::move(scored)}});
    const int64_t before = FlopCount::total();
    segment.run(segment.resid());
    return FlopCount::total() - before;
  };
  const ModelConfig& c = model.config();
  const int64_t per_row = 2 * (c.num_attention_heads * c.head_dim * c.hidden_size +
                               3 * c.hidden_size * c.intermediate_size) +
                          4 * c.num_attention_heads * c.head_dim * 8;
  EXPECT_EQ(cost({0, 1, 2, 3, 4, 5, 6, 7}) - cost({7}), 7 * per_row);
}

TEST(SegmentTest, WeightsCarryNoGradient) {
  const Case c;
  const Segment segment = Segment::record(c.model, c.batch, c.hooks, c.spec);
  EXPECT_FALSE(segment.run(segment.resid()).requires_grad());
  EXPECT_FALSE(c.model.weights().layers[0].qkv.dense().requires_grad());
}

TEST(SegmentTest, ImpossibleSpecsAreRefused) {
  const Case c;
  EXPECT_THROW(
      Segment::record(c.model, c.batch, {}, {{2, SiteKind::kResidMid}, {1, 1, 1}, {{4}, {4}, {4}}}),
      ConfigError);
  EXPECT_THROW(Segment::record(c.model, c.batch, {}, {kSite, {1, 1}, {{4}, {4}}}), ConfigError);
  EXPECT_THROW(Segment::record(c.model, c.batch, {}, {kSite, {1, 5, 1}, {{4}, {4}, {4}}}),
               ConfigError);
  EXPECT_THROW(Segment::record(c.model, c.batch, {}, {kSite, {3, 3, 3}, {{4}, {2}, {4}}}),
               ConfigError);
  EXPECT_THROW(
      Segment::record(c.model, c.batch, {}, {{9, SiteKind::kResidPre}, {1, 1, 1}, {{4}, {4}, {4}}}),
      ConfigError);
}

}  // namespace
}  // namespace rebound
