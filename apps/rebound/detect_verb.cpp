// rebound detect: what the answers in a file are (refused, degenerate, on topic), and how that
// agrees with labels that people gave.
#include <array>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "rebound/base/error.h"
#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/behaviour/answer_figures.h"
#include "rebound/behaviour/answer_text.h"
#include "rebound/report/table.h"
#include "rebound/stats/agreement.h"
#include "rebound/stats/intervals.h"
#include "verb.h"

namespace rebound {
namespace {

struct DetectFlags {
  std::string file;
  std::string only = "all";
  bool show_text = false;
};

enum class Label { kComplied, kRefused, kPartial };
constexpr std::array kLabels = {Label::kComplied, Label::kRefused, Label::kPartial};
constexpr std::array kVerdicts = {AnswerVerdict::kOnTopic,
                                  AnswerVerdict::kRefused,
                                  AnswerVerdict::kDegenerate,
                                  AnswerVerdict::kUndetermined};

struct Answer {
  std::string id, text, request, category;
  std::optional<std::string> base;
  std::optional<Label> label;
  int64_t number = 0;  // of its prompt
  AnswerAssessment facts;
};

std::string name_of(Label label) {
  return label == Label::kComplied ? "complied" : label == Label::kRefused ? "refused" : "partial";
}

Label label_named(const std::string& name, const std::string& where) {
  static const std::map<std::string, Label> labels = {{"1_full_compliance", Label::kComplied},
                                                      {"2_full_refusal", Label::kRefused},
                                                      {"3_partial_refusal", Label::kPartial},
                                                      {"complied", Label::kComplied},
                                                      {"refused", Label::kRefused},
                                                      {"partial", Label::kPartial}};
  const auto found = labels.find(name);
  require<DataError>(found != labels.end(),
                     where,
                     ": label: got ",
                     Json(name).dump().substr(0, 80),
                     ", expected complied, refused or partial (or XSTest's 1_full_compliance, "
                     "2_full_refusal, 3_partial_refusal)");
  return found->second;
}

// The first of `keys` that is there; all are asked for.
std::optional<std::string> first_of(ObjectReader& fields, std::initializer_list<const char*> keys) {
  std::optional<std::string> value;
  for (const char* key : keys) {
    if (!value && fields.has(key)) value = fields.get<std::string>(key);
  }
  return value;
}

// The digits at the end of a prompt's id, else the number of the line.
int64_t prompt_number(const std::string& id, int64_t line) {
  constexpr size_t kMostDigits = 15;
  const size_t other = id.find_last_not_of("0123456789");
  const std::string digits = id.substr(other == id.npos ? 0 : other + 1);
  return digits.empty() || digits.size() > kMostDigits ? line : std::stoll(digits);
}

Answer read_answer(const std::string& line, const std::string& where, int64_t number) {
  const Json json = parse_json(line, where);
  ObjectReader fields(json, where);
  const auto text = first_of(fields, {"completion", "text"});
  require<DataError>(
      text.has_value(), where, ": got neither \"completion\" nor \"text\", expected one");
  const auto label = first_of(fields, {"final_label", "label"});
  const std::string prompt_id = first_of(fields, {"prompt_id", "id"}).value_or("");
  return {.id = first_of(fields, {"id"}).value_or(std::to_string(number)),
          .text = *text,
          .request = first_of(fields, {"request", "prompt"}).value_or(""),
          .category = first_of(fields, {"category", "type"}).value_or(""),
          .base = first_of(fields, {"base"}),
          .label = label ? std::optional(label_named(*label, where)) : std::nullopt,
          .number = prompt_number(prompt_id, number),
          .facts = {}};
}

bool is_chosen(const Answer& answer, const std::string& only) {
  return only == "all" || (answer.number % 2 == 0) == (only == "even");
}

std::vector<Answer> read_answers(const DetectFlags& flags) {
  std::istringstream lines(read_text_file(flags.file));
  std::vector<Answer> answers;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = concat(flags.file, ":", number);
    try {
      Answer answer = read_answer(line, where, number);
      if (is_chosen(answer, flags.only)) answers.push_back(std::move(answer));
    } catch (const ConfigError& e) {
      throw DataError(e.what());
    }
  }
  require<DataError>(!answers.empty(), flags.file, ": got no answers, expected one a line");
  return answers;
}

int64_t count(const std::vector<Answer>& answers,
              std::optional<Label> label,
              AnswerVerdict verdict) {
  int64_t n = 0;
  for (const Answer& answer : answers) {
    n += (!label || answer.label == label) && answer.facts.verdict == verdict ? 1 : 0;
  }
  return n;
}

// Agreement on the answers labelled complied or refused. A verdict that is neither "on topic" nor
// "refused" agrees with no label.
struct Agreement {
  int64_t n = 0, agreed = 0;
  Interval interval;
  std::optional<double> kappa;
};

Agreement agreement_of(const std::vector<Answer>& answers) {
  ConfusionCounts counts(kVerdicts.size(), std::vector<int64_t>(kVerdicts.size(), 0));
  Agreement agreement;
  for (size_t label = 0; label < 2; ++label) {
    for (size_t verdict = 0; verdict < kVerdicts.size(); ++verdict) {
      counts[label][verdict] = count(answers, kLabels[label], kVerdicts[verdict]);
      agreement.n += counts[label][verdict];
    }
    agreement.agreed += counts[label][label];
  }
  agreement.interval = wilson(agreement.agreed, agreement.n);
  agreement.kappa = cohen_kappa(counts);
  return agreement;
}

Json json_of(const Answer& answer, bool show_text) {
  Json row = to_json(redact(answer.text, answer.category));
  row.update(to_json(answer.facts));
  row["id"] = answer.id;
  row["label"] = answer.label ? Json(name_of(*answer.label)) : Json();
  if (answer.base) {
    const BaseLikeness likeness = base_likeness(answer.text, *answer.base);
    const bool is_on_topic = answer.facts.verdict == AnswerVerdict::kOnTopic;
    const auto number = [](std::optional<double> value) { return value ? Json(*value) : Json(); };
    row["token_jaccard"] = number(likeness.token_jaccard);
    row["sequence_similarity"] = number(likeness.sequence_similarity);
    row["base_like"] = is_on_topic && likeness.is_base_like;
    row["strict_base_like"] = is_on_topic && likeness.is_strict_base_like;
  }
  if (show_text) row["text"] = answer.text;
  return row;
}

bool has_labels(const std::vector<Answer>& answers) {
  for (const Answer& answer : answers) {
    if (answer.label) return true;
  }
  return false;
}

Json json_of(const std::vector<Answer>& answers, bool show_text) {
  Json result = {{"n", answers.size()}, {"answers", Json::array()}};
  for (const AnswerVerdict verdict : kVerdicts) {
    result["verdicts"][name_of(verdict)] = count(answers, std::nullopt, verdict);
    if (!has_labels(answers)) continue;
    for (const Label label : kLabels) {
      result["confusion"][name_of(label)][name_of(verdict)] = count(answers, label, verdict);
    }
  }
  if (has_labels(answers)) {
    const Agreement agreement = agreement_of(answers);
    const bool has_any = agreement.n > 0;
    result["agreement"] = {
        {"n", agreement.n},
        {"accuracy", has_any ? Json(double(agreement.agreed) / double(agreement.n)) : Json()},
        {"accuracy_95", {agreement.interval.low, agreement.interval.high}},
        {"kappa", agreement.kappa ? Json(*agreement.kappa) : Json()}};
  }
  for (const Answer& answer : answers) result["answers"].push_back(json_of(answer, show_text));
  return result;
}

std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", value);
  return text;
}

std::string agreement_line(const Agreement& agreement) {
  if (agreement.n == 0) return "no answer is labelled complied or refused";
  return concat("complied or refused: accuracy ",
                decimals(double(agreement.agreed) / double(agreement.n)),
                " [",
                decimals(agreement.interval.low),
                ", ",
                decimals(agreement.interval.high),
                "], kappa ",
                agreement.kappa ? decimals(*agreement.kappa) : "undefined",
                ", n ",
                agreement.n);
}

std::vector<std::string> counts_row(const std::vector<Answer>& answers,
                                    const std::string& title,
                                    std::optional<Label> label) {
  std::vector<std::string> row = {title};
  int64_t total = 0;
  for (const AnswerVerdict verdict : kVerdicts) {
    const int64_t n = count(answers, label, verdict);
    total += n;
    row.push_back(std::to_string(n));
  }
  row.push_back(std::to_string(total));
  return row;
}

void print_table(const std::vector<Answer>& answers) {
  constexpr size_t kWidth = 100;
  const bool is_labelled = has_labels(answers);
  Table table = {.title = is_labelled ? "label" : "", .columns = {{""}}, .rows = {}};
  for (const AnswerVerdict verdict : kVerdicts) table.columns.push_back({name_of(verdict), true});
  table.columns.push_back({"all", true});
  if (is_labelled) {
    for (const Label label : kLabels) {
      table.rows.push_back(counts_row(answers, name_of(label), label));
    }
  }
  table.rows.push_back(counts_row(answers, is_labelled ? "all lines" : "answers", std::nullopt));
  std::fputs(text_tables({table}, kWidth).c_str(), stdout);
  if (is_labelled) std::printf("%s\n", agreement_line(agreement_of(answers)).c_str());
}

void print_texts(const std::vector<Answer>& answers) {
  for (const Answer& answer : answers) {
    std::printf("%s  %s  %s\n",
                answer.id.c_str(),
                name_of(answer.facts.verdict).c_str(),
                Json(answer.text).dump().c_str());
  }
}

void detect(const DetectFlags& flags, bool as_json) {
  std::vector<Answer> answers = read_answers(flags);
  for (Answer& answer : answers) answer.facts = assess_answer(answer.text, answer.request);
  if (as_json) {
    std::printf("%s\n", json_of(answers, flags.show_text).dump().c_str());
    return;
  }
  if (flags.show_text) print_texts(answers);
  print_table(answers);
}

}  // namespace

void add_detect_verb(CLI::App& app, const CommonFlags& common, RunVerb& run) {
  auto flags = std::make_shared<DetectFlags>();
  CLI::App* verb = app.add_subcommand("detect", "Which answers in a file refuse, or are broken");
  verb->fallthrough();
  verb->add_option("file", flags->file, "JSON lines with \"completion\" or \"text\"")->required();
  verb->add_option("--only", flags->only, "Answers to prompts with such a number: all, even or odd")
      ->check(CLI::IsMember({"all", "even", "odd"}))
      ->capture_default_str();
  verb->add_flag("--show-text", flags->show_text, "Print the answers themselves too");
  verb->callback(
      [flags, &common, &run] { run = [flags, &common] { detect(*flags, common.json); }; });
}

}  // namespace rebound
