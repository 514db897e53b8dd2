#include "rebound/behaviour/questions.h"

#include <set>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/base/json.h"

namespace rebound {
namespace {

constexpr int64_t kMostFolds = 100;

Question read_question(const Json& json, const std::string& where) {
  ObjectReader fields(json, where);
  Question question;
  question.id = fields.get<std::string>("id");
  question.text = fields.get<std::string>("question");
  const Json& choices = fields.at("choices");
  const bool is_four = choices.is_array() && choices.size() == kChoices;
  require<DataError>(is_four,
                     where,
                     ": choices: got ",
                     choices.is_array() ? concat(choices.size()) : choices.type_name(),
                     ", expected a list of ",
                     kChoices);
  std::set<std::string> distinct;
  for (size_t i = 0; i < kChoices; ++i) {
    require<DataError>(choices[i].is_string() && !choices[i].get<std::string>().empty(),
                       where,
                       ": choices[",
                       i,
                       "]: got ",
                       choices[i].dump().substr(0, 40),
                       ", expected text");
    question.choices[i] = choices[i].get<std::string>();
    require<DataError>(distinct.insert(question.choices[i]).second,
                       where,
                       ": choices[",
                       i,
                       "]: got ",
                       choices[i].dump().substr(0, 40),
                       " twice, expected four different ones");
  }
  question.answer = fields.get<int64_t>("answer");
  question.fold = fields.get<int64_t>("fold", -1);
  fields.get<std::string>("category", "");
  fields.finish();
  require<DataError>(
      !question.id.empty() && !question.text.empty(), where, ": id or question is empty");
  require<DataError>(question.answer >= 0 && question.answer < static_cast<int64_t>(kChoices),
                     where,
                     ": answer: got ",
                     question.answer,
                     ", expected 0..3");
  require<DataError>(!fields.has("fold") || (question.fold >= 0 && question.fold < kMostFolds),
                     where,
                     ": fold: got ",
                     question.fold,
                     ", expected 0..",
                     kMostFolds - 1);
  return question;
}

Question read_question_line(const std::string& line, const std::string& where) {
  try {
    return read_question(parse_json(line, where), where);
  } catch (const ConfigError& e) {
    throw DataError(e.what());
  }
}

}  // namespace

std::vector<Question> read_questions(const std::filesystem::path& path) {
  std::istringstream lines(read_text_file(path));
  std::vector<Question> questions;
  std::set<std::string> seen;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(path.string(), ":", number);
    questions.push_back(read_question_line(line, where));
    const Question& last = questions.back();
    require<DataError>(seen.insert(last.id).second,
                       where,
                       ": id ",
                       Json(last.id).dump().substr(0, 80),
                       " is used twice");
    require<DataError>((last.fold >= 0) == (questions.front().fold >= 0),
                       where,
                       ": fold: got one on some lines only, expected it on all or none");
  }
  require<DataError>(!questions.empty(), path.string(), ": got no questions, expected one a line");
  return questions;
}

}  // namespace rebound
