// Labelled texts of several classes, for probes of one class against the rest.
//
// A file is JSON lines (empty lines are skipped), one object each:
//   {"id": "r1", "text": "Kirby Puckett", "label": 2, "label_name": "baseball", "group": "g1",
//   "split": "train"}
// "text", "label" (a whole number from 0) and "split" (train or test) are required; "id" is the
// line's number by default, "label_name" the label, "group" the row alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rebound/probe/task.h"

namespace rebound {

struct ClassTask {
  std::string name;
  std::vector<std::string> classes;
  std::vector<LabelledText> texts;  // is_positive is not used
  std::vector<int64_t> label;       // of each text: its place in `classes`
  int64_t dropped = 0;              // rows that drop_leaks took away

  int64_t n_classes() const { return static_cast<int64_t>(classes.size()); }
  std::vector<int64_t> of_class(int64_t which, Split split) const;  // places in `texts`
  // Throws DataError for fewer than two classes and for a class without a text in a split.
  void validate() const;
};

// Drops, and counts, copies of an earlier text, and test texts whose group is in train. Throws
// IoError when the file cannot be read, else DataError "file:line: ...", and as validate().
ClassTask read_class_task(const std::filesystem::path& path);

// The first `most` texts of each class in each split; 0: all.
ClassTask first_of_each(const ClassTask& task, int64_t most);

// One class against the rest, as many of both where the rest suffices: every text of the class,
// then from each other class an equal share, drawn by `seed` (SAEBench's rule, evals.md 2.3).
struct OneAgainstRest {
  std::vector<int64_t> place;     // in `texts`
  std::vector<bool> is_positive;  // of each place
};
OneAgainstRest one_against_rest(const ClassTask& task, int64_t which, Split split, uint64_t seed);

}  // namespace rebound
