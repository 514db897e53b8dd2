#include "rebound/audit/answer_row_spec.h"

#include <cmath>
#include <sstream>

#include "rebound/audit/read_field.h"
#include "rebound/base/error.h"
#include "rebound/recover/cross_solver.h"

namespace rebound {
namespace {

constexpr int64_t kMinimalSteps = 24;  // of each search; the first one, at the cap, takes 3 to 6
constexpr int64_t kSoftSteps = 120;    // as published, with the step size
constexpr double kSoftLr = 0.01;
constexpr int64_t kGcgSteps = 20;
constexpr double kPublishedLr = 0.03;  // of the second stage; the first takes 8/3 of it

void check_constraint(const std::string& constraint, const std::string& where) {
  if (AnswerRowSpec{constraint}.is_at_input()) return;
  try {
    cross_rung_of(constraint);
  } catch (const ConfigError& e) {
    throw ConfigError(concat(where, ": ", e.what(), "; at the input: soft_suffix, gcg"));
  }
}

void read_suffix(ObjectReader& in, AnswerRowSpec& row) {
  read_field(in, "suffix_tokens", row.suffix.tokens);
  read_field(in, "prompts", row.suffix.prompts);
  if (row.is_gcg()) {
    read_field(in, "search_width", row.suffix.search_width);
    read_field(in, "top_k", row.suffix.top_k);
    return;
  }
  read_field(in, "obfuscation", row.suffix.obfuscation);
  read_field(in, "behaviour_weight", row.suffix.behaviour_weight);
  read_field(in, "lr", row.lr);
}

}  // namespace

AnswerRowSpec AnswerRowSpec::of(const std::string& constraint, RowKind kind) {
  AnswerRowSpec row{constraint, kind};
  if (kind == RowKind::kMinimalBudget) row.steps = kMinimalSteps;
  if (row.is_gcg()) row.steps = kGcgSteps;
  if (constraint == "jacobian_sampled") row.lr = kPublishedLr;
  if (row.is_soft_suffix()) {
    row.steps = kSoftSteps;
    row.lr = kSoftLr;
  }
  return row;
}

std::string AnswerRowSpec::name() const {
  std::ostringstream out;
  out << constraint << "/" << objective() << "/per_prompt@";
  if (is_gcg()) {
    out << "width=" << suffix.search_width << ",steps=" << steps;
  } else if (is_soft_suffix()) {
    out << "obfuscation=" << suffix.obfuscation;
    if (suffix.behaviour_weight != 1) out << ",behaviour=" << suffix.behaviour_weight;
  } else {
    out << budget;
  }
  return out.str();
}

void AnswerRowSpec::validate() const {
  require<ConfigError>(budget > 0 && steps >= 0 && lr > 0,
                       "rows: got budget ",
                       budget,
                       ", steps ",
                       steps,
                       ", lr ",
                       lr,
                       ", expected budget > 0, steps >= 0, lr > 0");
  if (!is_at_input()) return;
  require<ConfigError>(kind == RowKind::kAttack,
                       "rows: got objective minimal_budget for ",
                       constraint,
                       ", expected answer (it has no budget)");
  require<ConfigError>(suffix.tokens > 0 && suffix.prompts >= 0,
                       "rows: got suffix_tokens ",
                       suffix.tokens,
                       ", prompts ",
                       suffix.prompts,
                       ", expected suffix_tokens > 0, prompts >= 0 (0: all)");
  require<ConfigError>(suffix.search_width > 0 && suffix.top_k > 0,
                       "rows: got search_width ",
                       suffix.search_width,
                       ", top_k ",
                       suffix.top_k,
                       ", expected both > 0");
  const double behaviour = suffix.behaviour_weight, obfuscation = suffix.obfuscation;
  require<ConfigError>(behaviour >= 0 && obfuscation >= 0 && behaviour + obfuscation > 0 &&
                           std::isfinite(behaviour + obfuscation),
                       "rows: got behaviour_weight ",
                       behaviour,
                       ", obfuscation ",
                       obfuscation,
                       ", expected both >= 0 and one above");
}

AnswerRowSpec read_answer_row(const Json& json, const std::string& where) {
  ObjectReader in(json, where);
  const auto constraint = in.get<std::string>("constraint", AnswerRowSpec().constraint);
  check_constraint(constraint, where + ".constraint");
  const auto objective = in.get<std::string>("objective", "answer");
  require<ConfigError>(objective == "answer" || objective == "minimal_budget",
                       where,
                       ".objective: got \"",
                       objective,
                       "\", expected answer or minimal_budget");
  const bool is_attack = objective == "answer";
  AnswerRowSpec row =
      AnswerRowSpec::of(constraint, is_attack ? RowKind::kAttack : RowKind::kMinimalBudget);
  read_field(in, "steps", row.steps);
  if (row.is_at_input()) {
    read_suffix(in, row);
  } else {
    read_field(in, "budget", row.budget);
    read_field(in, "lr", row.lr);
  }
  in.finish();
  return row;
}

Json to_json(const AnswerRowSpec& row) {
  Json json = {
      {"constraint", row.constraint}, {"objective", row.objective()}, {"steps", row.steps}};
  if (!row.is_at_input()) {
    json["budget"] = row.budget;
    json["lr"] = row.lr;
    return json;
  }
  json["suffix_tokens"] = row.suffix.tokens;
  json["prompts"] = row.suffix.prompts;
  if (row.is_gcg()) {
    json["search_width"] = row.suffix.search_width;
    json["top_k"] = row.suffix.top_k;
    return json;
  }
  json["obfuscation"] = row.suffix.obfuscation;
  json["behaviour_weight"] = row.suffix.behaviour_weight;
  json["lr"] = row.lr;
  return json;
}

}  // namespace rebound
