#include "rebound/behaviour/multiple_choice.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <set>

#include "rebound/base/file.h"
#include "support/failures.h"
#include "support/tiny_model.h"
#include "support/tiny_tokenizer.h"

namespace rebound {
namespace {

Json row(const std::string& id, const std::string& question, int64_t answer) {
  return {{"id", id},
          {"question", question},
          {"choices", {"Rome", "Oslo", "Lima", "Bern"}},
          {"answer", answer}};
}

Question question(const std::string& text, int64_t answer = 0) {
  return {text, text, {"Rome", "Oslo", "Lima", "Bern"}, answer, -1};
}

// Bytes and a few words: 95 + words entries.
const Tokenizer& tokenizer() {
  static const Tokenizer one = tiny_tokenizer({" Rome", " Oslo", " Nice", " A"});
  return one;
}

const Transformer& model() {
  static const Transformer one = [] {
    ModelConfig config = tiny_config();
    config.vocab_size = tokenizer().vocabulary_size();
    return tiny_transformer(5, config);
  }();
  return one;
}

at::Tensor log_probs_after(const std::vector<int64_t>& ids) {
  const at::NoGradGuard no_grad;
  return at::log_softmax(model().logits(model().run(TokenBatch::from({ids})).resid[0]), -1);
}

TEST(MultipleChoiceTest, DamagedFilesAreDataErrorsThatNameTheLine) {
  const auto path = fresh_folder("mcq") / "q.jsonl";
  Json three = row("a", "q", 0), again = row("a", "q", 0), odd = row("a", "q", 0),
       folded = row("b", "r", 0);
  three["choices"].erase(3);
  again["choices"][3] = "Rome";
  odd["extra"] = 1;
  folded["fold"] = 2;
  Json no_list = row("a", "q", 0), number = row("a", "q", 0), far = row("a", "q", 0);
  no_list["choices"] = "Rome";
  number["choices"][1] = 3;
  far["fold"] = 1000;
  const std::string good = row("a", "q", 0).dump() + "\n";
  const std::pair<std::string, const char*> cases[] = {
      {"", "no questions"},
      {three.dump(), ":1: choices: got 3, expected a list of 4"},
      {no_list.dump(), "choices: got string"},
      {number.dump(), "choices[1]: got 3"},
      {again.dump(), "twice"},
      {row("a", "q", 4).dump(), "answer: got 4, expected 0..3"},
      {row("a", "q", -1).dump(), "answer: got -1"},
      {good + good, ":2: id \"a\" is used twice"},
      {good + folded.dump(), ":2: fold"},
      {far.dump(), "fold: got 1000"},
      {odd.dump(), "extra"},
      {"[1]", ":1"}};
  for (const auto& [text, part] : cases) {
    write_file_atomically(path, text);
    const std::string message = message_of<DataError>([&] { read_questions(path); });
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
}

TEST(MultipleChoiceTest, OrdersAreTheTwentyFourPermutationsTheIdentityFirst) {
  EXPECT_EQ(all_orders().front(), (Order{0, 1, 2, 3}));
  EXPECT_EQ(std::set<Order>(all_orders().begin(), all_orders().end()).size(), 24u);
  EXPECT_EQ(letters_prompt(question("Q?"), {2, 0, 1, 3}),
            "Question: Q?\nA. Lima\nB. Rome\nC. Oslo\nD. Bern\nAnswer:");
}

TEST(MultipleChoiceTest, AnOptionsScoreIsTheMeanLogProbabilityOfItsTokensAlone) {
  const std::vector<Question> questions = {question("Where?"), question("Who is it?")};
  const auto scores = option_likelihoods(model(), tokenizer(), questions);
  for (size_t q = 0; q < questions.size(); ++q) {
    for (size_t choice = 0; choice < kChoices; ++choice) {
      const size_t prompt = tokenizer().encode(likelihood_prompt(questions[q])).size();
      const auto ids =
          tokenizer().encode(likelihood_prompt(questions[q]) + " " + questions[q].choices[choice]);
      const at::Tensor log_probs = log_probs_after(ids);
      double sum = 0;
      for (size_t i = prompt; i < ids.size(); ++i) {
        sum += log_probs[static_cast<int64_t>(i) - 1][ids[i]].item<double>();
      }
      EXPECT_NEAR(scores[q][choice], sum / static_cast<double>(ids.size() - prompt), 1e-4);
    }
  }
}

TEST(MultipleChoiceTest, TwentyFourOrdersAtOnceArePickedAsOneByOne) {
  const std::vector<Question> questions = {
      question("Where?"), question("Who is it?"), question("Why so?")};
  const auto picks = letter_picks(model(), tokenizer(), questions);
  std::set<int64_t> seen;
  for (size_t q = 0; q < questions.size(); ++q) {
    for (size_t o = 0; o < kOrders; ++o) {
      const Order& order = all_orders()[o];
      const at::Tensor after =
          log_probs_after(tokenizer().encode(letters_prompt(questions[q], order)))[-1];
      const auto at = [&](const char* text) {
        return after[*tokenizer().single_token(text)].item<double>();
      };
      const double letters[] = {std::max(at("A"), at(" A")), at("B"), at("C"), at("D")};
      const auto best = static_cast<size_t>(std::max_element(letters, letters + 4) - letters);
      EXPECT_EQ(picks[q][o], static_cast<int64_t>(order[best]));
      seen.insert(picks[q][o]);
    }
  }
  EXPECT_GT(seen.size(), 1u);  // else the test could not tell orders apart
}

TEST(MultipleChoiceTest, StrictlyRightIsRightInEveryOrder) {
  std::array<int64_t, kOrders> picks;
  picks.fill(2);
  EXPECT_TRUE(is_strictly_right(picks, question("q", 2)));
  picks[23] = 1;
  EXPECT_FALSE(is_strictly_right(picks, question("q", 2)));
}

TEST(MultipleChoiceTest, PromptsContestTheFirstTokensOfTheOptions) {
  std::vector<Question> questions = {question("Which of towns?", 0),
                                     question("Where were they?", 1),
                                     question("Where were they?", 2)};
  questions.push_back(
      {"x", "Is it cold?", {"Lame", "Long", "Rome", "Oslo"}, 0, -1});  // " L" begins two
  const FactSet set = question_prompts(questions, tokenizer(), {.folds = 2});
  EXPECT_EQ(set.left_out.duplicates, 1);
  ASSERT_EQ(set.forget.size(), 2u);
  for (const Prompt& prompt : set.forget) {
    EXPECT_EQ(prompt.rival_ids.size(), 3u);
    EXPECT_EQ(std::count(prompt.rival_ids.begin(), prompt.rival_ids.end(), prompt.correct_id), 0);
    EXPECT_EQ(prompt.ids, tokenizer().encode(prompt.text));
  }
  EXPECT_EQ(set.left_out.shared_token, 1);
}

TEST(MultipleChoiceTest, NearDuplicatesInAnotherFoldThanTheFirstAreDropped) {
  std::vector<Question> questions = {question("one two three four five?", 0),
                                     question("one two three four five six?", 1),
                                     question("alpha beta?", 0),
                                     question("gamma delta?", 1)};
  for (size_t i = 0; i < questions.size(); ++i) questions[i].fold = static_cast<int64_t>(i % 2);
  // Same answers link, too: give the last two answers of their own.
  questions[2].choices[0] = "A";
  questions[3].choices[1] = "Nice";
  const FactSet set = question_prompts(questions, tokenizer(), {.folds = 2});
  EXPECT_EQ(set.left_out.across_folds, 1);
  EXPECT_EQ(set.forget.size(), 3u);
}

TEST(MultipleChoiceTest, TheQuestionsOfTheProjectAreReadInFiveFolds) {
  const auto questions = read_questions(REBOUND_SOURCE_DIR "/data/mcq/capitals_mcq.jsonl");
  EXPECT_EQ(questions.size(), 182u);
  std::set<int64_t> folds;
  for (const Question& one : questions) folds.insert(one.fold);
  EXPECT_EQ(folds, (std::set<int64_t>{0, 1, 2, 3, 4}));
}

}  // namespace
}  // namespace rebound
