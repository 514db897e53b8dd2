#include "rebound/sae/sparse_code.h"

#include <gtest/gtest.h>

#include "sae/sae_fixture.h"

namespace rebound {
namespace {

at::Tensor dense_of(const SparseCode& code, int64_t d_sae) {
  at::Tensor f = at::zeros({code.tokens(), d_sae});
  for (int64_t t = 0; t < code.tokens(); ++t) {
    for (int64_t i = code.begin[t]; i < code.begin[t + 1]; ++i) {
      f[t][code.latent[i]] = code.value[i];
    }
  }
  return f;
}

at::Tensor random_pre(uint64_t seed, int64_t tokens, int64_t d_sae) {
  Rng rng({seed});
  return random_tensor(rng, {tokens, d_sae}).to(at::kBFloat16);
}

TEST(SparseCodeTest, TopKKeepsTheLargestOfEachTokenWhateverTheGuess) {
  const at::Tensor pre = random_pre(1, 37, 130);
  const auto [values, index] = pre.to(at::kFloat).topk(5, -1);
  const at::Tensor expected = at::zeros({37, 130}).scatter(-1, index, values.relu());
  for (float guess : {0.0f, 0.5f, 1.5f, 100.0f}) {
    float floor = guess;
    const at::Tensor f = dense_of(select_top_k(pre, 5, floor), 130);
    EXPECT_TRUE(at::equal(f.sum(-1), expected.sum(-1))) << guess;
    EXPECT_TRUE(((f == 0) | (f == pre.to(at::kFloat))).all().item<bool>());
  }
}

TEST(SparseCodeTest, NegativeValuesAreNeverKept) {
  const at::Tensor pre = (-random_pre(1, 5, 20).abs() - 1).to(at::kBFloat16);
  float floor = 0;
  EXPECT_EQ(select_top_k(pre, 3, floor).entries(), 0);
  EXPECT_EQ(select_batch_top_k(pre, 3, floor).entries(), 0);
}

TEST(SparseCodeTest, BatchTopKKeepsEverythingFromOneCutOn) {
  const at::Tensor pre = random_pre(2, 41, 130);
  const at::Tensor wide = pre.to(at::kFloat);
  const float cut = std::get<0>(wide.flatten().topk(41 * 5))[41 * 5 - 1].item<float>();
  const at::Tensor expected = wide * (wide >= cut);
  for (float guess : {0.0f, 0.5f, 100.0f}) {
    float floor = guess;
    EXPECT_TRUE(at::equal(dense_of(select_batch_top_k(pre, 5, floor), 130), expected)) << guess;
    EXPECT_GT(floor, 0);
    EXPECT_LT(floor, cut);
  }
}

TEST(SparseCodeTest, SelectionAmongDeadLatentsLooksAtNoOther) {
  const at::Tensor pre = random_pre(3, 11, 50);
  const std::vector<int32_t> dead = {4, 17, 30, 31, 49};
  const at::Tensor f = dense_of(select_top_k_among(pre, dead, 2, 6), 50);
  EXPECT_EQ(f.size(0), 6);
  const at::Tensor index = at::tensor({4, 17, 30, 31, 49});
  const at::Tensor among = pre.to(at::kFloat).slice(0, 0, 6).index_select(1, index.to(at::kLong));
  EXPECT_TRUE(at::allclose(f.sum(-1), std::get<0>(among.topk(2, -1)).relu().sum(-1)));
}

// The kernels against autograd through dense tensors, on the same set of active latents.
TEST(SparseCodeTest, WeightGradientsEqualDenseAutograd) {
  const int64_t tokens = 19, d = 23, d_sae = 60;
  Rng rng({4});
  const at::Tensor x = random_tensor(rng, {tokens, d});
  at::Tensor W_enc = random_tensor(rng, {d_sae, d}, 0.4).set_requires_grad(true);
  at::Tensor W_dec = random_tensor(rng, {d_sae, d}, 0.4).set_requires_grad(true);
  at::Tensor b_enc = random_tensor(rng, {d_sae}, 0.4).set_requires_grad(true);
  const at::Tensor pre = at::linear(x, W_enc, b_enc);
  float floor = 0;
  SparseCode code = select_batch_top_k(pre.detach().to(at::kBFloat16), 5, floor);
  const at::Tensor mask = (dense_of(code, d_sae) > 0).to(at::kFloat);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = code.begin[t]; i < code.begin[t + 1]; ++i) {
      code.value[i] = pre[t][code.latent[i]].item<float>();
    }
  }
  const float scale = 2.0f / (tokens * d);
  const at::Tensor out = at::matmul(pre * mask, W_dec);
  (0.5 * scale * (out - x).square().sum()).backward();

  at::NoGradGuard no_grad;
  const SparseTerm term = make_term(code, W_dec.detach(), x, x, scale);
  EXPECT_LT(relative_gap(term.e, out - x), 1e-5);
  at::Tensor g_dec = at::zeros({d_sae, d}), g_enc = at::zeros({d_sae, d}), g_b = at::zeros({d_sae});
  for (int64_t j = 0; j < d_sae; ++j) {
    LatentGradient g{g_dec[j].data_ptr<float>(), g_enc[j].data_ptr<float>()};
    add_latent_gradient(term, j, d, g);
    g_b[j] = g.b_enc;
  }
  const auto gap = [](const at::Tensor& got, const at::Tensor& expected) {
    return (got - expected).norm().item<double>() / expected.norm().item<double>();
  };
  EXPECT_LT(gap(g_dec, W_dec.grad()), 1e-5);
  EXPECT_LT(gap(g_enc, W_enc.grad()), 1e-5);
  EXPECT_LT(gap(g_b, b_enc.grad()), 1e-5);
}

}  // namespace
}  // namespace rebound
