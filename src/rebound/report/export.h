// A finished audit as records for pandas, Arrow, R: lines with named columns.
//
//   csv_export(export_records(input, ExportTable::kExamples))
//
// Column names are lower-case ASCII words joined by underscores, every one once; nested figures are
// outer_inner. A figure that was not measured is empty in CSV and null in JSON lines. Numbers have
// full precision, true and false are so written, lists are JSON.
#pragma once

#include <string>
#include <vector>

#include "rebound/report/report.h"

namespace rebound {

enum class ExportTable {
  kRows,      // one line a row of the summary
  kExamples,  // one line an example, an outcome column for each attack row
  kResults,   // one line a row, example and try: the long form
  kSteps      // one line a step of the search, where the run was traced
};

struct Records {
  std::vector<std::string> columns;
  std::vector<Json> lines;  // objects of those columns; an absent one is null
};

// Text, tokens and answers of examples, and what injections write, only with `show_text`.
Records export_records(const ReportInput& input,
                       ExportTable table,
                       const ReportOptions& options = {});

std::string csv_export(const Records& records);
std::string jsonl_export(const Records& records);

// "KL (nats)" -> "kl_nats"; never empty, never a digit first.
std::string column_name(const std::string& name);

}  // namespace rebound
