#include "rebound/intervene/contrast.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "intervene_fixture.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr Site kSite{2, SiteKind::kResidPre};

std::vector<AnsweredPrompt> texts() {
  Rng rng({21});
  return {{random_ids(rng, 4), random_ids(rng, 6)}, {random_ids(rng, 7), random_ids(rng, 2)},
          {random_ids(rng, 3), random_ids(rng, 3)}};
}

// Mean of the residual over the answer's first tokens, one prompt at a time.
at::Tensor by_hand(const Transformer& model, int64_t most) {
  at::Tensor sum = at::zeros({24});
  for (const AnsweredPrompt& text : texts()) {
    std::vector<int64_t> ids = text.prompt;
    ids.insert(ids.end(), text.answer.begin(), text.answer.end());
    const RunOutput run = model.run(TokenBatch::from({ids}), {.hooks = {.edits = {}, .capture = {kSite}}});
    const int64_t start = static_cast<int64_t>(text.prompt.size());
    const int64_t end = std::min<int64_t>(start + most, static_cast<int64_t>(ids.size()));
    sum = sum + run.activations.at(kSite)[0].slice(0, start, end).mean(0);
  }
  return sum / 3;
}

TEST(ContrastTest, MeansWeighEveryAnswerTheSame) {
  const Transformer model = tiny_transformer();
  for (const int64_t most : {2, 16}) {
    const auto means = answer_means(model, {kSite}, texts(), {.most_tokens = most, .batch = 2});
    EXPECT_LT((means.at(kSite) - by_hand(model, most)).abs().max().item<double>(), 1e-5) << most;
  }
}

TEST(ContrastTest, MeanCodesAreMeansOfCodes) {
  const Transformer model = tiny_transformer();
  const auto sae = random_sae();
  const std::vector<AnsweredPrompt> one = {texts()[1]};
  std::vector<int64_t> ids = one[0].prompt;
  ids.insert(ids.end(), one[0].answer.begin(), one[0].answer.end());
  const RunOutput run = model.run(TokenBatch::from({ids}), {.hooks = {.edits = {}, .capture = {kSite}}});
  const at::Tensor expected = sae->encode(run.activations.at(kSite)[0].slice(0, 7, 9)).mean(0);
  const at::Tensor code = answer_mean_code(model, *sae, one, {});
  EXPECT_LT((code - expected).abs().max().item<double>(), 1e-5);
}

TEST(ContrastTest, NoAnswersAreADataError) {
  const Transformer model = tiny_transformer();
  EXPECT_THROW(answer_means(model, {kSite}, {}, {}), DataError);
  EXPECT_THROW(answer_means(model, {kSite}, {{{1, 2}, {}}}, {}), DataError);
}

}  // namespace
}  // namespace rebound
