#include "rebound/audit/answer_judge.h"

#include <torch/torch.h>

#include <gtest/gtest.h>

#include "audit/answer_fixture.h"

namespace rebound {
namespace {

class AnswerJudgeTest : public AnswerBatchTest {
 protected:
  // The log-probabilities that a plain run gives behind every token of prompt and answer. [pos, d_vocab]
  at::Tensor plain(size_t flip, const std::vector<int64_t>& answer, const Hooks& hooks) const {
    std::vector<int64_t> ids = batch.flips[flip].posed->ids;
    ids.insert(ids.end(), answer.begin(), answer.end());
    const at::Tensor resid = subject.model->run(TokenBatch::from({ids}), {.hooks = hooks}).resid[0];
    return at::log_softmax(subject.model->logits(resid), -1);
  }

  int64_t first_row(size_t flip) const { return static_cast<int64_t>(batch.flips[flip].posed->ids.size()) - 1; }
};

TEST_F(AnswerJudgeTest, KlIsThatOfTwoPlainRunsAtTheRowsOfTheTarget) {
  const at::NoGradGuard no_grad;
  batch.flips[1].base_answer.resize(3);  // a shorter answer: padded rows must not count
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const std::vector<Json> figures = forced_figures(problem, problem.zero_delta(), Span::kNone,
                                                   base_log_probs(batch, problem.n_rows()));
  const Hooks clamps = plan->hooks();
  for (size_t i = 0; i < batch.flips.size(); ++i) {
    const auto& answer = batch.flips[i].base_answer;
    const int64_t rows = std::min<int64_t>(spec.target_tokens, static_cast<int64_t>(answer.size()));
    const at::Tensor base = plain(i, answer, {}).narrow(0, first_row(i), rows);
    const at::Tensor defended = plain(i, answer, clamps).narrow(0, first_row(i), rows);
    const double kl = (base.exp() * (base - defended)).sum(-1).mean().item<double>();
    EXPECT_GT(kl, 1e-3);
    EXPECT_NEAR(figures[i].at("kl_to_base").get<double>(), kl, 1e-4 * kl + 1e-6) << i;
  }
}

TEST_F(AnswerJudgeTest, WithoutABaseThereIsNoKl) {
  const CrossProblem problem = batch.problem(*subject.model, batch.base_answers());
  const std::vector<Json> figures = forced_figures(problem, problem.zero_delta(), Span::kNone);
  EXPECT_TRUE(figures[0].at("kl_to_base").is_null());
}

TEST_F(AnswerJudgeTest, TheNllOfAnAnswerIsThatOfAPlainRunOfTheUndefendedModel) {
  const at::NoGradGuard no_grad;
  std::vector<std::vector<int64_t>> answers = batch.base_answers();
  answers[0].clear();
  answers[2].resize(2);
  std::vector<StoredResult> results(answers.size());
  add_answer_nll(batch, answers, results);
  EXPECT_FALSE(results[0].figures.contains("answer_nll"));  // nothing was said
  for (size_t i = 1; i < answers.size(); ++i) {
    const at::Tensor log_probs = plain(i, answers[i], {});
    double nll = 0;
    for (size_t t = 0; t < answers[i].size(); ++t) {
      nll -= log_probs[first_row(i) + static_cast<int64_t>(t)][answers[i][t]].item<double>();
    }
    EXPECT_NEAR(results[i].figures.at("answer_nll").get<double>(), nll / static_cast<double>(answers[i].size()), 1e-4);
  }
}

}  // namespace
}  // namespace rebound
