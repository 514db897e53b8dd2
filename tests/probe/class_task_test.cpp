// Files of several classes, and one class against the rest.
#include "rebound/probe/class_task.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "support/failures.h"

namespace rebound {
namespace {

std::string row(const std::string& text,
                int label,
                const std::string& split,
                const std::string& more = "") {
  return "{\"text\": \"" + text + "\", \"label\": " + std::to_string(label) + ", \"split\": \"" +
         split + "\"" + more + "}\n";
}

ClassTask read(const std::string& lines) {
  const auto path = fresh_folder("class_task") / "task.jsonl";
  write_file_atomically(path, lines);
  return read_class_task(path);
}

std::string complaint(const std::string& lines) {
  return message_of<DataError>([&] { read(lines); });
}

// `sizes[c]` texts of class c in each split.
ClassTask task_of(const std::vector<int64_t>& sizes) {
  std::string lines;
  for (const char* split : {"train", "test"}) {
    for (size_t c = 0; c < sizes.size(); ++c) {
      for (int64_t i = 0; i < sizes[c]; ++i) {
        lines += row(concat(split, " ", c, " ", i), static_cast<int>(c), split);
      }
    }
  }
  return read(lines);
}

TEST(ClassTaskTest, ClassesAreNamedInTheOrderOfTheirLabels) {
  const ClassTask task =
      read(row("a", 7, "train", ", \"label_name\": \"seven\"") + row("b", 2, "train") + "\n" +
           row("c", 2, "test") + row("d", 7, "test", ", \"label_name\": \"seven\""));
  EXPECT_EQ(task.name, "task");
  EXPECT_EQ(task.classes, (std::vector<std::string>{"2", "seven"}));
  EXPECT_EQ(task.label, (std::vector<int64_t>{1, 0, 0, 1}));
  EXPECT_EQ(task.of_class(1, Split::kTest), (std::vector<int64_t>{3}));
}

TEST(ClassTaskTest, CopiesAndTestTextsOfTrainGroupsAreDroppedAndCounted) {
  const ClassTask task =
      read(row("a", 0, "train", ", \"group\": \"g\"") + row("b", 1, "train") + row("a", 0, "test") +
           row("c", 0, "test", ", \"group\": \"g\"") + row("d", 0, "test") + row("e", 1, "test"));
  EXPECT_EQ(task.dropped, 2);
  EXPECT_EQ(task.texts.size(), 4u);
}

TEST(ClassTaskTest, BadFilesAreOneClearLine) {
  const std::string one = row("a", 0, "train") + row("b", 0, "test");
  EXPECT_NE(complaint(one).find("task task: got 1 class, expected two or more"), std::string::npos);
  EXPECT_NE(complaint(one + row("c", 1, "train")).find("class 1: got no text of split test"),
            std::string::npos);
  EXPECT_NE(complaint(row("a", -1, "train")).find(":1: label: got -1"), std::string::npos);
  EXPECT_NE(complaint(row("a", 1, "ood")).find(":1: split: got \"ood\", expected train or test"),
            std::string::npos);
  EXPECT_NE(complaint(row(" ", 1, "train")).find(":1: text is empty"), std::string::npos);
  EXPECT_NE(complaint("").find("got no texts"), std::string::npos);
  EXPECT_NE(complaint("{\"text\": \"a\", \"label\": \"x\", \"split\": \"train\"}")
                .find("expected an integer"),
            std::string::npos);
  EXPECT_NE(complaint(one + row("c", 0, "test", ", \"label_name\": \"zero\""))
                .find("got the names 0 and zero"),
            std::string::npos);
  EXPECT_NE(
      complaint(row("a", 0, "train", ", \"id\": \"i\"") + row("b", 0, "train", ", \"id\": \"i\""))
          .find(":2: id \"i\" is used twice"),
      std::string::npos);
}

TEST(ClassTaskTest, TheFirstTextsOfEachClassAndSplitStay) {
  const ClassTask task = first_of_each(task_of({4, 2}), 3);
  EXPECT_EQ(task.of_class(0, Split::kTrain).size(), 3u);
  EXPECT_EQ(task.of_class(0, Split::kTest).size(), 3u);
  EXPECT_EQ(task.of_class(1, Split::kTest).size(), 2u);
  EXPECT_EQ(task.texts[0].text, "train 0 0");
  EXPECT_EQ(first_of_each(task_of({4, 2}), 0).texts.size(), 12u);
}

TEST(OneAgainstRestTest, EachOtherClassGivesAnEqualShare) {
  const ClassTask task = task_of({6, 20, 9, 9});
  const OneAgainstRest some = one_against_rest(task, 0, Split::kTest, 0);
  ASSERT_EQ(some.place.size(), 12u);
  std::map<int64_t, int> count;
  for (size_t i = 0; i < some.place.size(); ++i) {
    const auto place = static_cast<size_t>(some.place[i]);
    EXPECT_EQ(task.texts[place].split, Split::kTest);
    EXPECT_EQ(some.is_positive[i], task.label[place] == 0);
    ++count[task.label[place]];
  }
  EXPECT_EQ(count, (std::map<int64_t, int>{{0, 6}, {1, 2}, {2, 2}, {3, 2}}));
  EXPECT_EQ(std::set<int64_t>(some.place.begin(), some.place.end()).size(), 12u);
}

TEST(OneAgainstRestTest, UnevenSharesAreTrimmedAndTheSeedDecides) {
  const ClassTask task = task_of({7, 20, 20});
  const OneAgainstRest first = one_against_rest(task, 0, Split::kTrain, 1);
  EXPECT_EQ(std::count(first.is_positive.begin(), first.is_positive.end(), false), 7);
  EXPECT_EQ(first.place, one_against_rest(task, 0, Split::kTrain, 1).place);
  EXPECT_NE(first.place, one_against_rest(task, 0, Split::kTrain, 2).place);
}

TEST(OneAgainstRestTest, ALargeClassStandsAgainstAllThatThereIs) {
  const OneAgainstRest some = one_against_rest(task_of({9, 2, 3}), 0, Split::kTrain, 0);
  EXPECT_EQ(some.place.size(), 14u);
}

}  // namespace
}  // namespace rebound
