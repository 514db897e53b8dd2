// Finished runs beside one another: what differs in what was asked, and whether what was found
// differs by more than chance.
//
//   const Comparison comparison = compare_runs({{"weak", read_run(a)}, {"strong", read_run(b)}});
//   std::cout << compare_terminal(comparison);
//
// Every further run is compared with the first. Rows are matched by name, examples by id, so that
// the tests are paired: McNemar's exact test on examples that one run recovers and the other does
// not, and a bootstrap interval of the difference over clusters of near-duplicates. Examples that
// only one run attacked are counted, not compared.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"
#include "rebound/report/table.h"
#include "rebound/stats/bootstrap.h"

namespace rebound {

struct NamedRun {
  std::string name;
  ReportInput input;
};

// One row of two runs, on the examples that both attacked.
struct RowComparison {
  std::string row;
  std::string first, second;  // names of the runs
  int64_t n_both = 0;         // examples that both attacked
  int64_t n_only_first = 0, n_only_second = 0;
  double rate_first = 0, rate_second = 0;  // on the examples of both
  Estimate difference;                     // second - first, 95 %
  // Exact, two-sided; NaN where a row has several tries of an example.
  double p_value = 0;
};

struct SpecDifference {
  std::string key;                  // "defence.edit.value"
  std::vector<std::string> values;  // one a run; "–" where it is absent
};

struct Comparison {
  std::vector<std::string> names;
  std::vector<std::string> verdicts;
  std::vector<int64_t> n_prompts, n_valid;
  std::vector<SpecDifference> spec, environment;
  std::vector<RowComparison> rows;
};

// ConfigError for fewer than two runs or two of one name.
Comparison compare_runs(const std::vector<NamedRun>& runs);

Table verdict_table(const Comparison& comparison);
Table difference_table(const Comparison& comparison,
                       const std::vector<SpecDifference>& differences);
Table paired_table(const Comparison& comparison);

std::string compare_terminal(const Comparison& comparison);
std::string compare_markdown(const Comparison& comparison);
// One self-contained page without scripts.
std::string compare_html(const Comparison& comparison);
Json to_json(const Comparison& comparison);

}  // namespace rebound
