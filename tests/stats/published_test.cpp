// The published aggregates, recomputed from the published rows in data/published/.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "rebound/base/file.h"
#include "rebound/base/json.h"
#include "rebound/stats/bootstrap.h"
#include "rebound/stats/intervals.h"
#include "rebound/stats/quantile.h"

namespace rebound {
namespace {

const std::filesystem::path kFolder =
    std::filesystem::path(REBOUND_SOURCE_DIR) / "data" / "published";

using CsvRow = std::map<std::string, std::string>;

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells(1);
  for (const char c : line) {
    if (c == ',') {
      cells.emplace_back();
    } else if (c != '\r') {
      cells.back() += c;
    }
  }
  return cells;
}

// Plain comma-separated files without quotes.
std::vector<CsvRow> read_csv(const std::string& name) {
  std::istringstream in(read_text_file(kFolder / name));
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> header = split(line);
  std::vector<CsvRow> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> cells = split(line);
    CsvRow row;
    for (size_t i = 0; i < header.size(); ++i) row[header[i]] = cells.at(i);
    rows.push_back(row);
  }
  return rows;
}

std::vector<double> column(const std::vector<CsvRow>& rows,
                           const std::string& name,
                           const std::string& where,
                           const std::string& value) {
  std::vector<double> values;
  for (const CsvRow& row : rows) {
    if (row.at(where) == value) values.push_back(std::stod(row.at(name)));
  }
  return values;
}

double total(const std::vector<double>& values) {
  return mean(values) * static_cast<double>(values.size());
}

TEST(PublishedTest, HarmBenchRecoversAllAndNineteenAreBaseLike) {
  const std::vector<CsvRow> rows = read_csv("refusal_harmbench.csv");
  EXPECT_EQ(rows.size(), 159u);
  const std::vector<double> recovered = column(rows, "non_refusal", "valid", "1");
  EXPECT_EQ(recovered.size(), 43u);
  EXPECT_NEAR(total(recovered), 43, 1e-9);
  EXPECT_NEAR(total(column(rows, "base_like", "valid", "1")), 19, 1e-9);
  EXPECT_NEAR(mean(column(rows, "drift_rel", "valid", "1")), 0.1082, 1e-4);
}

TEST(PublishedTest, WmdpRecoversNinetyOneNinetyAndSeventyTwo) {
  const std::vector<CsvRow> rows = read_csv("unlearning_wmdp_bio.csv");
  const std::map<std::string, double> expected = {{"None", 91}, {"Encoder", 90}, {"OABD", 72}};
  for (const auto& [method, count] : expected) {
    const std::vector<double> recovered = column(rows, "recovered", "method", method);
    EXPECT_EQ(recovered.size(), 91u) << method;
    EXPECT_NEAR(total(recovered), count, 1e-9) << method;
  }
}

TEST(PublishedTest, QuestionsRatherThanFlipsCarryTheUncertainty) {
  std::vector<double> recovered;
  BootstrapOptions options;
  std::map<std::string, int64_t> ids;
  for (const CsvRow& row : read_csv("unlearning_wmdp_bio.csv")) {
    if (row.at("method") != "OABD") continue;
    recovered.push_back(std::stod(row.at("recovered")));
    options.clusters.push_back(ids.emplace(row.at("question"), ids.size()).first->second);
  }
  EXPECT_EQ(ids.size(), 6u);
  const Estimate clustered = bootstrap_mean(recovered, options);
  const Interval naive = wilson(72, 91);
  EXPECT_NEAR(clustered.value, 72.0 / 91, 1e-12);
  EXPECT_GT(clustered.high - clustered.low, naive.high - naive.low);
}

TEST(PublishedTest, EveryPublishedRateHasItsWilsonInterval) {
  const Json aggregates = read_json_file(kFolder / "aggregates.json");
  int checked = 0;
  for (const Json& row : aggregates.at("intervals")) {
    if (!row.contains("n")) continue;  // three bootstrapped means, whose rows are not published
    const Interval interval = wilson(row.at("k").get<int64_t>(), row.at("n").get<int64_t>());
    EXPECT_NEAR(interval.low, row.at("wilson_low").get<double>(), 1e-4) << row;
    EXPECT_NEAR(interval.high, row.at("wilson_high").get<double>(), 1e-4) << row;
    ++checked;
  }
  EXPECT_EQ(checked, 46);
  EXPECT_NEAR(wilson(23, 24).low, 0.79758, 1e-5);
  EXPECT_NEAR(wilson(23, 24).high, 0.99261, 1e-5);
}

}  // namespace
}  // namespace rebound
