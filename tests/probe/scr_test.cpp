// Spurious correlation removal on a planted task whose numbers follow by hand.
#include "rebound/probe/scr.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

constexpr int64_t kScrAxes = 4;

// Axis 0 is on with the label, axis 1 with the spurious attribute, axis 3 without it; axis 2 is
// always on. The biased probe sees all three agree, so its standardised weights are w, w, -w: two
// of three votes are spurious.
struct Planted {
  ScrTask task;
  ActivationCache cache;

  explicit Planted(int64_t each = 6) : cache(8 * each, kScrAxes) {
    std::vector<LabelledText> texts;
    std::vector<bool> is_spurious;
    for (const Split split : {Split::kTrain, Split::kTest}) {
      for (int64_t i = 0; i < 4 * each; ++i) {
        const bool label = i % 2 == 1, spurious = i / 2 % 2 == 1;
        const std::string id = concat(to_string(split), i);
        texts.push_back({.id = id, .text = id, .is_positive = label, .group = id, .split = split});
        is_spurious.push_back(spurious);
        const at::Tensor mean =
            at::tensor({label ? 1.0f : 0.0f, spurious ? 1.0f : 0.0f, 3.0f, spurious ? 0.0f : 1.0f});
        cache.put(static_cast<int64_t>(texts.size()) - 1, at::stack({1.5 * mean, 0.5 * mean}));
      }
    }
    task = make_scr_task("planted", texts, is_spurious, false);
  }
};

ScrReport run(const Planted& planted, std::vector<int64_t> n) {
  return run_scr(
      planted.task, planted.cache, axis_sae(kScrAxes), {.n = std::move(n), .probe = {.lambda = 1}});
}

// Votes of a text with label but not the spurious attribute: w - w - w, wrong; so half are right.
// With axes 1 and 3 at 0 their votes are -w and +w for every text: the label decides, all are
// right. With one of them alone the other still decides where it disagrees with a label of the same
// sign as the missing vote: three quarters. The other way round the biased probe reads the spurious
// attribute perfectly, and nothing can be gained.
TEST(ScrTest, ThePlantedSpuriousFeaturesAreTheOnesAblated) {
  const ScrReport report = run(Planted(), {2, 1});
  ASSERT_EQ(report.rows.size(), 4U);
  EXPECT_EQ(report.n_train, 24);
  EXPECT_EQ(report.n_train_biased, 12);
  EXPECT_EQ(report.n_test, 24);
  const double changed[] = {0.75, 1};
  for (size_t i = 0; i < 2; ++i) {
    const ScrRow& row = report.rows[i];
    EXPECT_EQ(row.removed, "spurious");
    EXPECT_EQ(row.n, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(row.ablated, row.n);
    EXPECT_EQ(row.clean, 1);
    EXPECT_EQ(row.original, 0.5);
    EXPECT_EQ(row.changed, changed[i]);
    EXPECT_DOUBLE_EQ(row.scr, 2 * changed[i] - 1);
    EXPECT_TRUE(row.is_reported);
  }
  EXPECT_EQ(report.rows[2].removed, "label");
  EXPECT_EQ(report.rows[3].ablated, 1);  // one feature reads the label at all
  EXPECT_EQ(report.rows[3].original, 1);
  EXPECT_EQ(report.rows[3].scr, 0);
  EXPECT_FALSE(report.rows[3].is_reported);
  EXPECT_EQ(report.scores, (std::vector<std::pair<int64_t, double>>{{1, 0.5}, {2, 1.0}}));
}

// By hand: half of the way from .5 to .9; nothing where there is nothing to gain; worse is
// negative.
TEST(ScrTest, TheScoreIsTheShareOfTheGapThatIsClosed) {
  EXPECT_NEAR(scr_of(0.9, 0.5, 0.7), 0.5, 1e-12);
  EXPECT_NEAR(scr_of(0.9, 0.5, 0.4), -0.25, 1e-12);
  EXPECT_EQ(scr_of(0.9, 0.9, 0.2), 0);
  EXPECT_EQ(scr_of(0.9, 0.8995, 0.2), 0);
}

TEST(ScrTest, CombinationsCountEquallyWhateverTheirSizes) {
  Planted planted;
  ScrTask some = planted.task;
  // Two of six texts that have both attributes stay in train.
  for (int64_t removed = 0; removed < 4; ++removed) {
    const int64_t place = some.of(true, true, Split::kTrain).back();
    some.texts[static_cast<size_t>(place)].split = Split::kOod;
  }
  const ScrReport report =
      run_scr(some, planted.cache, axis_sae(kScrAxes), {.n = {1}, .probe = {.lambda = 1}});
  EXPECT_EQ(report.n_train, 8);
  EXPECT_EQ(report.n_train_biased, 4);
  EXPECT_EQ(first_of_each(planted.task, 2).texts.size(), 16U);
  EXPECT_EQ(first_of_each(planted.task, 0).texts.size(), planted.task.texts.size());
}

TEST(ScrTest, MistakesAreOneLineOfTheRightKind) {
  const Planted planted;
  EXPECT_THROW(run(planted, {0}), ConfigError);
  EXPECT_THROW(run(planted, {5}), ConfigError);
  EXPECT_THROW(
      run_scr(planted.task, planted.cache, axis_sae(kScrAxes, SaeNorm::kLayerNorm), {.n = {1}}),
      ConfigError);
  ScrTask gone = planted.task;
  for (const int64_t place : gone.of(false, true, Split::kTest))
    gone.texts[static_cast<size_t>(place)].split = Split::kOod;
  const std::string message = message_of<DataError>([&] { gone.validate(); });
  EXPECT_NE(message.find("no text of split test with label 0 and spurious 1"), std::string::npos);
}

TEST(ScrFileTest, LinesAreReadAndLeaksDropped) {
  const auto path = fresh_folder("scr") / "toy.jsonl";
  const auto line =
      [](const char* text, int label, int spurious, const char* split, const char* group) {
        return Json{{"text", text},
                    {"label", label},
                    {"spurious", spurious},
                    {"split", split},
                    {"group", group}}
                   .dump() +
               "\n";
      };
  std::string lines;
  for (const char* split : {"train", "test"}) {
    for (int i = 0; i < 4; ++i) {
      const std::string name = concat(split, i);
      lines += line(name.c_str(), i % 2, i / 2, split, name.c_str());
    }
  }
  write_file_atomically(
      path, lines + line("more", 1, 0, "test", "train1") + line("test0", 0, 0, "test", "other"));
  const ScrTask task = read_scr_task(path);
  EXPECT_EQ(task.name, "toy");
  EXPECT_EQ(task.texts.size(), 8U);
  EXPECT_EQ(task.dropped, 2);
  EXPECT_EQ(task.of(true, false, Split::kTest), (std::vector<int64_t>{5}));
  const auto error = [&](const std::string& bad) {
    write_file_atomically(path, lines + bad);
    return message_of<DataError>([&] { read_scr_task(path); });
  };
  EXPECT_NE(error(line("x", 2, 0, "test", "g")).find("toy.jsonl:9: label: got 2, expected 0 or 1"),
            std::string::npos);
  EXPECT_NE(error(line("x", 1, -1, "test", "g")).find("spurious: got -1"), std::string::npos);
  EXPECT_NE(error(line("x", 1, 1, "ood", "g")).find("expected train or test"), std::string::npos);
  EXPECT_NE(error(line(" ", 1, 1, "test", "g")).find("text is empty"), std::string::npos);
  EXPECT_NE(error("{\"text\": \"x\", \"label\": 1, \"split\": \"test\"}\n").find("spurious"),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
