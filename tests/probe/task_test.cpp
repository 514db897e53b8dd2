#include "rebound/probe/task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "support/failures.h"

namespace rebound {
namespace {

using Names = std::vector<std::string>;

std::filesystem::path file_with(const std::string& lines) {
  const auto path = fresh_folder("task") / "rows.jsonl";
  write_file_atomically(path, lines);
  return path;
}

LabelledText row(
    std::string id, std::string text, bool is_positive, Split split, std::string group = "") {
  if (group.empty()) group = "own " + id;
  return {std::move(id), std::move(text), is_positive, std::move(group), split};
}

Names ids_of(const ProbeTask& task) {
  Names ids;
  for (const LabelledText& text : task.texts) ids.push_back(text.id);
  return ids;
}

TEST(LabelledTextsTest, ReadsWhatIsThereAndFillsInTheRest) {
  const auto texts = read_labelled_texts(file_with(
      R"({"id": "a", "text": "One", "label": 1, "label_name": "yes", "group": "g", "split": "ood"})"
      "\n\n"
      R"({"text": "Two", "label": 0, "group": 7, "split": "train", "source": "s"})"));
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].id, "a");
  EXPECT_TRUE(texts[0].is_positive);
  EXPECT_EQ(texts[0].group, "g");
  EXPECT_EQ(texts[0].split, Split::kOod);
  EXPECT_EQ(texts[1].id, "3");
  EXPECT_EQ(texts[1].group, "7");
}

TEST(LabelledTextsTest, WithoutSplitsWholeGroupsAreHeldOut) {
  std::string lines;
  for (int i = 0; i < 300; ++i) {
    lines += concat(
        R"({"text": "text )", i, R"(", "label": )", i % 2, R"(, "group": "g)", i / 3, "\"}\n");
  }
  std::map<std::string, std::vector<Split>> splits;
  int held_out = 0;
  for (const LabelledText& text : read_labelled_texts(file_with(lines))) {
    splits[text.group].push_back(text.split);
    held_out += text.split == Split::kTest ? 1 : 0;
  }
  EXPECT_EQ(splits.size(), 100u);
  for (const auto& [group, all] : splits) {
    EXPECT_EQ(std::count(all.begin(), all.end(), all.front()), 3) << group;
  }
  EXPECT_GT(held_out, 45);
  EXPECT_LT(held_out, 135);
}

TEST(LabelledTextsTest, BadRowsAreNamedByLine) {
  const std::string good = R"({"id": "a", "text": "x", "label": 1})";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "got no texts, expected one a line"},
      {"{\"text\": \"x\"}", ":1: missing key \"label\""},
      {R"({"text": "x", "label": 2})", ":1: label: got 2, expected 0 or 1"},
      {R"({"text": "x", "label": "yes"})", ":1: label: got \"yes\", expected 0 or 1"},
      {R"({"text": " ", "label": 0})", ":1: text is empty"},
      {R"({"text": "x", "label": 0, "split": "val"})", "expected train, test, ood or hard"},
      {R"({"text": "x", "label": 0, "colour": 1})", "unknown key \"colour\""},
      {good + "\n" + good, ":2: id \"a\" is used twice"},
      {good + "\n" + R"({"id": "b", "text": "y", "label": 0, "split": "test"})",
       "expected all or none"},
      {"[1]", ":1: got array, expected a JSON object"}};
  for (const auto& [lines, expected] : cases) {
    const std::string message =
        message_of<DataError>([path = file_with(lines)] { read_labelled_texts(path); });
    EXPECT_NE(message.find(expected), std::string::npos) << message;
  }
  message_of<IoError>([] { read_labelled_texts("no/such/file.jsonl"); });
}

TEST(ProbeTaskTest, DuplicatesAreDroppedAndNamed) {
  const ProbeTask task = make_task("t",
                                   {row("late", "Apples are red!", true, Split::kTest),
                                    row("a", "apples  are red", true, Split::kTrain),
                                    row("b", "Grass", false, Split::kTrain),
                                    row("again", "grass.", false, Split::kTrain),
                                    row("yes", "Both", true, Split::kTrain),
                                    row("no", "both?", false, Split::kTest),
                                    row("kin", "A cousin of a", true, Split::kTest, "own a"),
                                    row("c", "Sky", true, Split::kTest),
                                    row("d", "Sea", false, Split::kTest),
                                    row("e", "sky", true, Split::kOod, "own c"),
                                    row("f", "SKY ABOVE", true, Split::kOod, "own c"),
                                    row("g", "Mud", false, Split::kOod)});
  EXPECT_EQ(ids_of(task), (Names{"a", "b", "c", "d", "f", "g"}));
  EXPECT_EQ(task.dropped.repeated, (Names{"again"}));
  EXPECT_EQ(task.dropped.across_splits, (Names{"late", "kin", "e"}));
  EXPECT_EQ(task.dropped.contradictory, (Names{"yes", "no"}));
}

TEST(ProbeTaskTest, ASplitOfOneClassIsRefused) {
  EXPECT_EQ(
      message_of<DataError>([] {
        make_task("t", {row("a", "x", true, Split::kTrain), row("b", "y", true, Split::kTrain)});
      }),
      "task t, split train: got 2 positive and 0 negative texts (0 duplicates dropped), "
      "expected some of both");
  const std::string message = message_of<DataError>([] {
    make_task("t",
              {row("a", "x", true, Split::kTrain),
               row("b", "y", false, Split::kTrain),
               row("c", "z", false, Split::kHard),
               row("d", "z", false, Split::kHard)});
  });
  EXPECT_NE(message.find("split hard: got 0 positive and 1 negative texts (1 dup"),
            std::string::npos);
}

TEST(ProbeTaskTest, EveryTaskOfTheProjectIsUsable) {
  int files = 0;
  const std::filesystem::path folder = std::filesystem::path(REBOUND_SOURCE_DIR) / "data/probes";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    ++files;
    const ProbeTask task = make_task(entry.path().stem(), read_labelled_texts(entry.path()));
    EXPECT_GE(task.of_split(Split::kTrain).size(), 300u) << task.name;
    EXPECT_GE(task.of_split(Split::kTest).size(), 130u) << task.name;
    EXPECT_LE(task.dropped.size(), 4u) << task.name;
  }
  EXPECT_GE(files, 10);
}

}  // namespace
}  // namespace rebound
