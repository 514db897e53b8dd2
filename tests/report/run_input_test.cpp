#include "rebound/report/run_input.h"

#include <gtest/gtest.h>

#include <cstring>

#include "rebound/base/file.h"
#include "report/stored_audit.h"
#include "support/failures.h"

namespace rebound {
namespace {

namespace fs = std::filesystem;

std::string delta_bytes(const std::vector<int64_t>& sizes, const std::vector<float>& values) {
  std::string bytes(sizes.size() * sizeof(int64_t) + values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), sizes.data(), sizes.size() * sizeof(int64_t));
  std::memcpy(
      bytes.data() + sizes.size() * sizeof(int64_t), values.data(), values.size() * sizeof(float));
  return bytes;
}

// A run folder with the results of stored_audit and the artefacts given.
fs::path stored_run(const std::string& name, const std::map<std::string, std::string>& artefacts) {
  const fs::path folder = fresh_folder(name);
  const ReportInput input = stored_audit();
  Store store = Store::create(folder / "run.sqlite");
  store.put_examples(input.examples);
  std::map<std::string, FinishedBatch> batches;
  for (const StoredResult& result : input.results) {
    batches[result.row].row = result.row;
    batches[result.row].results.push_back(result);
  }
  batches["attack@20"].traces = input.traces;
  for (const auto& [row, batch] : batches) store.put_batch(batch);
  for (const auto& [artefact, bytes] : artefacts) store.put_artefact(artefact, bytes);
  write_file_atomically(folder / "spec.json", "{\"seed\": 7}");
  write_file_atomically(folder / "summary.json", input.summary.to_json().dump());
  return folder;
}

TEST(RunInputTest, NormsOfAPerturbationByPosition) {
  // 2 prompts, 2 positions, d_model 2
  const std::string bytes = delta_bytes({2, 2, 2}, {3, 4, 0, 1, 6, 8, 0, 0});
  const ReportInput input = read_run(stored_run("norms", {{"delta/attack@20/0", bytes}}));
  ASSERT_EQ(input.positions.size(), 2u);
  EXPECT_EQ(input.positions[0].prompt, 0);
  EXPECT_EQ(input.positions[0].norms, (std::vector<double>{5, 1}));
  EXPECT_EQ(input.positions[1].norms, (std::vector<double>{10, 0}));
  EXPECT_EQ(input.traces.size(), 2u);
  EXPECT_EQ(input.spec.at("seed"), 7);
}

TEST(RunInputTest, APerturbationThatIsNotWhatItsSizesSayIsLeftOut) {
  const std::vector<float> values(8, 1.0f);
  constexpr int64_t kHuge = int64_t{1} << 62;
  for (const std::vector<int64_t>& sizes : std::vector<std::vector<int64_t>>{
           {3, 2, 2}, {2, 2, 3}, {2, -2, -2}, {2, kHuge, 4}, {2, 0, 0}, {0, 2, 2}}) {
    EXPECT_TRUE(read_run(stored_run("sizes", {{"delta/attack@20/0", delta_bytes(sizes, values)}}))
                    .positions.empty());
  }
  EXPECT_TRUE(read_run(stored_run("short", {{"delta/attack@20/0", "abc"}})).positions.empty());
}

TEST(RunInputTest, PositionsMayStandAmongTheFiguresOfAResult) {
  const fs::path folder = stored_run("listed", {});
  Store store = Store::open(folder / "run.sqlite");
  StoredResult result = stored_result("whole@40", 1, true, 1, {{"norm_by_position", {3.0, 0.5}}});
  StoredResult odd = stored_result("whole@40", 0, true, 1, {{"norm_by_position", {3.0, "x"}}});
  FinishedBatch batch{.row = "whole@40"};
  batch.results = {odd, result};
  store.put_batch(batch);
  const ReportInput input = read_run(folder);
  ASSERT_EQ(input.positions.size(), 1u);
  EXPECT_EQ(input.positions[0].prompt, 1);
  EXPECT_EQ(input.positions[0].norms, (std::vector<double>{3, 0.5}));
}

TEST(RunInputTest, RoutesGoByTheBatchOrByTheNamesOfRequests) {
  const Json parts = {{"other", {{"norm", {1.0, 2.0}}, {"shapley", {0.1, 0.2}}}}};
  const ReportInput by_order =
      read_run(stored_run("order", {{"path/0", Json{{"parts", parts}}.dump()}}));
  ASSERT_EQ(by_order.routes.size(), 2u);
  EXPECT_EQ(by_order.routes.at(1).at("parts")[0].at("norm"), 2.0);
  const Json named = {
      {"parts", parts}, {"requests", {"p-1", "gone"}}, {"site_norms", {{"blocks.1", {5.0, 6.0}}}}};
  const ReportInput by_name = read_run(stored_run("named", {{"path/0", named.dump()}}));
  ASSERT_EQ(by_name.routes.size(), 1u);
  EXPECT_EQ(by_name.routes.at(1).at("parts")[0].at("norm"), 1.0);
  EXPECT_EQ(by_name.routes.at(1).at("sites")[0].at("norm"), 5.0);
}

TEST(RunInputTest, OddRoutesDoNotStopAReport) {
  for (const char* text :
       {"not json", "[1, 2]", "{\"parts\": 3}", "{\"parts\": {\"a\": 1}, \"site_norms\": [4]}"}) {
    EXPECT_NO_THROW(read_run(stored_run("odd", {{"path/0", text}}))) << text;
  }
}

TEST(RunInputTest, FoldersThatAreNoFinishedRunAreNamed) {
  const fs::path folder = stored_run("unfinished", {});
  EXPECT_NE(message_of<IoError>([] { read_run("no/such/folder"); }).find("no such run folder"),
            std::string::npos);
  fs::remove(folder / "summary.json");
  EXPECT_NE(message_of<IoError>([&] { read_run(folder); }).find("rebound audit --resume"),
            std::string::npos);
  write_file_atomically(folder / "summary.json", "{");
  EXPECT_THROW(read_run(folder), DataError);
  fs::remove(folder / "run.sqlite");
  EXPECT_NE(message_of<IoError>([&] { read_run(folder); }).find("without run.sqlite"),
            std::string::npos);
}

}  // namespace
}  // namespace rebound
