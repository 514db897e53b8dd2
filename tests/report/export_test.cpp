#include "rebound/report/export.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "report/stored_audit.h"

namespace rebound {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(ExportTest, RowsAreOneLineEachWithExtrasAsColumns) {
  const std::vector<std::string> lines =
      lines_of(csv_export(export_records(small_audit(), ExportTable::kRows)));
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0].substr(0, 20), "name,control,target,");
  EXPECT_NE(lines[0].find(",seconds_per_prompt,binding_fraction,decode_drift"), std::string::npos);
  EXPECT_EQ(lines[2].substr(lines[2].size() - 12), ",0.0123,,0.5");
  EXPECT_NE(lines[3].find("\" Tom, \"\"the other\"\"\""), std::string::npos);
}

TEST(ExportTest, ExamplesHaveAnOutcomeForEachAttackRow) {
  const Records records = export_records(stored_audit(), ExportTable::kExamples);
  ASSERT_EQ(records.lines.size(), 3u);
  EXPECT_EQ(records.lines[0].at("row_1_recovered"), true);
  EXPECT_EQ(records.lines[1].at("row_1_score"), -0.5);
  EXPECT_FALSE(records.lines[2].contains("row_1_recovered")) << "no flip, not attacked";
  EXPECT_EQ(records.lines[2].at("cluster"), 2);
  const std::vector<std::string> lines = lines_of(csv_export(records));
  EXPECT_EQ(lines[3], "2,p-2,test,false,4.56789,2.0,,,,,2");
}

TEST(ExportTest, ResultsAreTheLongForm) {
  const Records records = export_records(stored_audit(), ExportTable::kResults);
  ASSERT_EQ(records.lines.size(), 8u);
  EXPECT_EQ(records.lines[0].at("drift_pre_rel"), 1e-7);
  EXPECT_TRUE(records.lines[0].at("control").is_null());
  EXPECT_EQ(records.lines[4].at("variant"), "draw 0");
  EXPECT_EQ(records.lines[4].at("control"), "random");
}

TEST(ExportTest, TextsAndTargetsNeedAnExplicitWish) {
  for (const ExportTable table : {ExportTable::kExamples, ExportTable::kResults}) {
    const std::string hidden = jsonl_export(export_records(stored_audit(), table));
    for (const char* text : {"secret", "Mary", "Victor", "[7,8]"})
      EXPECT_EQ(hidden.find(text), std::string::npos) << text;
  }
  const ReportOptions shown = {.show_text = true};
  EXPECT_NE(jsonl_export(export_records(stored_audit(), ExportTable::kExamples, shown))
                .find("\"ids\":[7,8]"),
            std::string::npos);
  EXPECT_NE(
      csv_export(export_records(stored_audit(), ExportTable::kResults, shown)).find("0: Victor"),
      std::string::npos);
}

TEST(ExportTest, StepsAreEmptyWithoutATrace) {
  EXPECT_EQ(csv_export(export_records(small_audit(), ExportTable::kSteps)),
            "row,prompt,step,objective,drift_pre,norm\n");
  const std::vector<std::string> lines =
      lines_of(jsonl_export(export_records(stored_audit(), ExportTable::kSteps)));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(
      lines[1],
      R"({"row":"attack@20","prompt":0,"step":1,"objective":0.5,"drift_pre":1e-07,"norm":0.1})");
}

TEST(ExportTest, EveryJsonLineHasEveryColumnInOrder) {
  const Records records = export_records(stored_audit(), ExportTable::kExamples);
  for (const std::string& line : lines_of(jsonl_export(records))) {
    const auto json = nlohmann::ordered_json::parse(line);
    std::vector<std::string> keys;
    for (const auto& [key, value] : json.items()) keys.push_back(key);
    EXPECT_EQ(keys, records.columns);
  }
}

TEST(ExportTest, ColumnNamesAreWordsAndUnique) {
  EXPECT_EQ(column_name("KL (nats)"), "kl_nats");
  EXPECT_EQ(column_name("drift pre/rel"), "drift_pre_rel");
  EXPECT_EQ(column_name("3rd"), "column_3rd");
  EXPECT_EQ(column_name("é"), "column_");
  ReportInput input = stored_audit();
  input.results[0].figures = {
      {"Score", 7}, {"a b", 1}, {"a-b", 2}, {"answer", {{"opening", "other"}}}};
  const Records records = export_records(input, ExportTable::kResults);
  const std::set<std::string> unique(records.columns.begin(), records.columns.end());
  EXPECT_EQ(unique.size(), records.columns.size());
  EXPECT_EQ(records.lines[0].at("score"), 3.0) << "the store's own column wins";
  EXPECT_EQ(records.lines[0].at("answer_opening"), "other");
}

}  // namespace
}  // namespace rebound
