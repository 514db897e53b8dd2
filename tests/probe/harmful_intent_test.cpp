#include "rebound/probe/harmful_intent.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace rebound {
namespace {

std::vector<LabelledText> requests(Split split, int per_class) {
  std::vector<LabelledText> out;
  for (int i = 0; i < 2 * per_class; ++i) {
    const std::string id = to_string(split) + std::to_string(i);
    out.push_back({id, "  write down  item " + id + " ... ", i % 2 == 0, "group " + id, split});
  }
  return out;
}

ProbeTask task() {
  std::vector<LabelledText> all;
  for (const Split split : kSplits) {
    const auto some = requests(split, 8);
    all.insert(all.end(), some.begin(), some.end());
  }
  return harmful_intent_task(all);
}

std::string wrapper_of(const LabelledText& text) {
  const size_t plus = text.id.find('+');
  return plus == std::string::npos ? "" : text.id.substr(plus + 1);
}

TEST(HarmfulIntentTest, FormattingIsTheSameForAll) {
  EXPECT_EQ(normalise_format(" how do  I\nbake bread ?! "), "How do I bake bread");
  EXPECT_EQ(normalise_format("Name a river."), normalise_format("name a river"));
  EXPECT_EQ(normalise_format("..."), "");
}

TEST(HarmfulIntentTest, EveryWrapperIsPutAroundBothClassesEquallyOften) {
  std::map<std::string, std::map<bool, int>> count;
  const ProbeTask made = task();
  for (const LabelledText& text : made.texts) {
    count[to_string(text.split) + "/" + wrapper_of(text)][text.is_positive] += 1;
  }
  for (auto& [name, classes] : count) EXPECT_EQ(classes[true], classes[false]) << name;
  EXPECT_EQ(count["train/"][true], 8);
  EXPECT_EQ(count["train/roleplay"][true], 4);
  EXPECT_EQ(count["test/"][true], 4);
  EXPECT_EQ(count["test/word_count"][true], 2);
  EXPECT_EQ(count["ood/"][true], 8);
  EXPECT_EQ(count["ood/translate"][true], 2);
  EXPECT_EQ(count["hard/"][true], 8);
}

TEST(HarmfulIntentTest, WrappersOfTrainingAreNotThoseOfOod) {
  std::map<Split, std::set<std::string>> wrappers;
  const ProbeTask made = task();
  for (const LabelledText& text : made.texts) wrappers[text.split].insert(wrapper_of(text));
  EXPECT_EQ(wrappers[Split::kTrain], (std::set<std::string>{"", "roleplay", "word_count"}));
  EXPECT_EQ(wrappers[Split::kTest], wrappers[Split::kTrain]);
  EXPECT_EQ(wrappers[Split::kOod],
            (std::set<std::string>{"", "all_caps", "translate", "story", "ignore_first"}));
  EXPECT_EQ(wrappers[Split::kHard], (std::set<std::string>{""}));
  EXPECT_TRUE(made.is_chat);
}

TEST(HarmfulIntentTest, NoGroupOfTrainIsSeenElsewhere) {
  std::set<std::string> train;
  const ProbeTask made = task();
  for (const LabelledText& text : made.texts) {
    if (text.split == Split::kTrain) train.insert(text.group);
  }
  for (const LabelledText& text : made.texts) {
    EXPECT_TRUE(text.split == Split::kTrain || train.count(text.group) == 0) << text.id;
  }
}

TEST(HarmfulIntentTest, TheRequestStandsInsideItsWrapper) {
  for (const Wrapper& wrapper : request_wrappers()) {
    const std::string text = wrapper.around("Name a river");
    EXPECT_NE(text.find(wrapper.is_upper ? "NAME A RIVER" : "Name a river"), std::string::npos);
  }
}

}  // namespace
}  // namespace rebound
