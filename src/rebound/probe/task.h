// A probing task: labelled texts in splits.
//
//   train   what probes are fitted on
//   test    held out, of the same sources and formats
//   ood     other sources, other wrappers around the text
//   hard    texts that look like the other class
//
// A task file is JSON lines (empty lines are skipped), one object each:
//   {"id": "r1", "text": "Walt Williams", "label": 1, "group": "g0", "split": "train"}
// "text" and "label" (0 or 1) are required. "id" is the line's number by default. "group": near
// duplicates that must not cross from train to another split, by default the row alone. "split": of
// none or all rows; without it 30 % of the groups are for testing. "label_name" and "source" are
// for the reader.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rebound {

enum class Split { kTrain, kTest, kOod, kHard };
inline constexpr std::array kSplits = {Split::kTrain, Split::kTest, Split::kOod, Split::kHard};
std::string to_string(Split split);  // "train", "test", "ood", "hard"

struct LabelledText {
  std::string id;
  std::string text;
  bool is_positive = false;
  std::string group;
  Split split = Split::kTrain;
};

// Ids of rows that were left out, and why.
struct DroppedTexts {
  std::vector<std::string> repeated;       // the same text again in its split
  std::vector<std::string> across_splits;  // its text in an earlier split, or its group in train
  std::vector<std::string> contradictory;  // the same text with both labels: every copy

  size_t size() const { return repeated.size() + across_splits.size() + contradictory.size(); }
};

struct ProbeTask {
  std::string name;
  bool is_chat = false;  // texts are a user's message in the model's chat format
  std::vector<LabelledText> texts;
  DroppedTexts dropped;

  std::vector<int64_t> of_split(Split split) const;  // positions in `texts`
  int64_t positives(Split split) const;
};

// Throws IoError when the file cannot be read, else DataError "file:line: ...": an unknown or
// missing key, a label that is neither 0 nor 1, an empty text, an id used twice, some rows with a
// split and some without, a file without rows.
std::vector<LabelledText> read_labelled_texts(const std::filesystem::path& path);

// Drops duplicates; texts are compared in lower case, without punctuation at the end, spaces
// collapsed. Throws DataError when a split (train always) is left without one of the classes.
ProbeTask make_task(std::string name, std::vector<LabelledText> texts, bool is_chat = false);

}  // namespace rebound
