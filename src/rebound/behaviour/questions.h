// Questions with four options, from a file.
//
// A question file is JSON lines, one object each (empty lines are skipped):
//   {"id": "q1", "question": "What is the capital of Mali?",
//    "choices": ["Rabat", "Conakry", "Seoul", "Bamako"], "answer": 3,
//    "fold": 0, "category": "capitals"}
// "answer" is the index of the right choice; "fold" (on all lines or none) and "category" may be
// left out.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace rebound {

constexpr size_t kChoices = 4;

struct Question {
  std::string id, text;
  std::array<std::string, kChoices> choices;
  int64_t answer = 0;
  int64_t fold = -1;
};

// Throws IoError when the file cannot be read, else DataError "file:line: ..." for: an unknown key
// or wrong type, not four choices, an empty or repeated one, an answer outside 0..3, an id used
// twice, a fold on some lines alone, a file without questions.
std::vector<Question> read_questions(const std::filesystem::path& path);

}  // namespace rebound
