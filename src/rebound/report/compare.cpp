#include "rebound/report/compare.h"

#include <cmath>
#include <map>
#include <set>

#include "rebound/base/error.h"
#include "rebound/report/figure.h"
#include "rebound/report/reproduce.h"
#include "rebound/stats/intervals.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

struct Outcome {
  double recovered = 0, tries = 0;
  std::string cluster;

  double rate() const { return recovered / tries; }
};
using Outcomes = std::map<std::string, Outcome>;  // by id

// Clusters are numbered within their set of requests, where there are sets.
std::string cluster_of(const StoredExample& example) {
  const Json extra = example.extra.is_object() ? example.extra : Json::object();
  const Json cluster = extra.value("cluster", Json());
  if (!cluster.is_number_integer()) return concat("prompt ", example.prompt);
  return concat(extra.value("set", ""), " ", cluster.get<int64_t>());
}

std::map<std::string, Outcomes> outcomes_of(const ReportInput& input) {
  std::map<int64_t, const StoredExample*> examples;
  for (const StoredExample& example : input.examples) examples[example.prompt] = &example;
  std::map<std::string, Outcomes> rows;
  for (const StoredResult& result : input.results) {
    const auto found = examples.find(result.prompt);
    if (found == examples.end()) continue;
    const StoredExample& example = *found->second;
    Outcome& outcome =
        rows[result.row][example.id.empty() ? std::to_string(example.prompt) : example.id];
    outcome.recovered += result.recovered;
    outcome.tries += 1;
    outcome.cluster = cluster_of(example);
  }
  return rows;
}

RowComparison compare_row(const Outcomes& first, const Outcomes& second) {
  RowComparison comparison;
  std::vector<double> a, b;
  BootstrapOptions options;
  std::map<std::string, int64_t> clusters;
  int64_t gained = 0, lost = 0;
  bool is_single = true;
  for (const auto& [id, outcome] : first) {
    const auto other = second.find(id);
    if (other == second.end()) {
      ++comparison.n_only_first;
      continue;
    }
    a.push_back(outcome.rate());
    b.push_back(other->second.rate());
    const auto number = static_cast<int64_t>(clusters.size());
    options.clusters.push_back(clusters.emplace(outcome.cluster, number).first->second);
    is_single = is_single && outcome.tries == 1 && other->second.tries == 1;
    gained += b.back() > a.back();
    lost += a.back() > b.back();
  }
  comparison.n_both = static_cast<int64_t>(a.size());
  comparison.n_only_second = static_cast<int64_t>(second.size()) - comparison.n_both;
  comparison.rate_first = mean(a);
  comparison.rate_second = mean(b);
  comparison.difference = widened_where_flat(
      bootstrap_difference(b, a, options), static_cast<int64_t>(clusters.size()), -1, 1);
  comparison.p_value = is_single && !a.empty() ? mcnemar_exact(gained, lost) : kNotMeasured;
  return comparison;
}

// Figures of a JSON object by their dotted path; lists are one figure.
void flatten(const std::string& prefix,
             const Json& json,
             std::map<std::string, std::string>& figures) {
  if (!json.is_object()) {
    if (!prefix.empty())
      figures[prefix] = plain(json.dump(-1, ' ', false, Json::error_handler_t::replace));
    return;
  }
  for (const auto& [key, value] : json.items())
    flatten(prefix.empty() ? key : prefix + "." + key, value, figures);
}

// Costs differ from run to run whatever was asked.
bool is_a_cost(const std::string& key) {
  return key == "wall_seconds" || key == "cpu_seconds" || key == "peak_memory_bytes";
}

std::vector<SpecDifference> differences_of(const std::vector<Json>& jsons) {
  std::vector<std::map<std::string, std::string>> figures(jsons.size());
  std::set<std::string> keys;
  for (size_t r = 0; r < jsons.size(); ++r) {
    flatten("", without_folders(jsons[r]), figures[r]);
    for (const auto& [key, value] : figures[r]) keys.insert(key);
  }
  std::vector<SpecDifference> differences;
  for (const std::string& key : keys) {
    SpecDifference difference{.key = key, .values = {}};
    std::set<std::string> distinct;
    for (const auto& of_run : figures) {
      const auto found = of_run.find(key);
      difference.values.push_back(found == of_run.end() ? "–" : found->second);
      distinct.insert(difference.values.back());
    }
    if (distinct.size() > 1 && !is_a_cost(key)) differences.push_back(difference);
  }
  return differences;
}

void check_names(const std::vector<NamedRun>& runs) {
  require<ConfigError>(
      runs.size() >= 2, "compare: got ", runs.size(), " run, expected two or more");
  std::set<std::string> names;
  for (const NamedRun& run : runs) {
    require<ConfigError>(names.insert(run.name).second,
                         "compare: got two runs named ",
                         run.name,
                         ", expected different ones");
  }
}

}  // namespace

Comparison compare_runs(const std::vector<NamedRun>& runs) {
  check_names(runs);
  Comparison comparison;
  std::vector<Json> specs, environments;
  std::vector<std::map<std::string, Outcomes>> outcomes;
  for (const NamedRun& run : runs) {
    comparison.names.push_back(run.name);
    comparison.verdicts.push_back(run.input.summary.verdict);
    comparison.n_prompts.push_back(run.input.summary.n_prompts);
    comparison.n_valid.push_back(run.input.summary.n_valid);
    specs.push_back(run.input.spec);
    environments.push_back(run.input.summary.environment);
    outcomes.push_back(outcomes_of(run.input));
  }
  comparison.spec = differences_of(specs);
  comparison.environment = differences_of(environments);
  for (size_t r = 1; r < runs.size(); ++r) {
    for (const RowSummary& row : runs[0].input.summary.rows) {
      const auto first = outcomes[0].find(row.name), second = outcomes[r].find(row.name);
      if (first == outcomes[0].end() || second == outcomes[r].end()) continue;
      RowComparison compared = compare_row(first->second, second->second);
      compared.row = row.name;
      compared.first = runs[0].name;
      compared.second = runs[r].name;
      comparison.rows.push_back(std::move(compared));
    }
  }
  return comparison;
}

}  // namespace rebound
