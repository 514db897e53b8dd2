#include "rebound/audit/run_progress.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

namespace rebound {
namespace {

constexpr const char* kPlanKey = "plan";
constexpr int kProgressBusyMilliseconds = 1000;

std::optional<RunPlan> plan_of(const Json& json) {
  const bool is_plan = json.is_object() && json.contains("rows") && json["rows"].is_array() &&
                       json.contains("batches") && json["batches"].is_number_integer();
  if (!is_plan) return std::nullopt;
  RunPlan plan{.rows = {}, .batches = json["batches"].get<int64_t>()};
  for (const Json& row : json["rows"]) {
    if (row.is_string()) plan.rows.push_back(row.get<std::string>());
  }
  return plan;
}

std::optional<RunPlan> read_plan(SQLite::Database& database) {
  SQLite::Statement query(database, "SELECT value FROM meta WHERE key = ?");
  query.bind(1, kPlanKey);
  if (!query.executeStep()) return std::nullopt;
  return plan_of(Json::parse(query.getColumn(0).getString(), nullptr, /*allow_exceptions=*/false));
}

void read_prompts_done(SQLite::Database& database, RunProgress& progress) {
  SQLite::Statement query(
      database, "SELECT count(*), coalesce(sum(is_valid), 0) FROM examples WHERE split = 'test'");
  if (!query.executeStep()) return;
  progress.n_prompts = query.getColumn(0).getInt64();
  progress.n_valid = query.getColumn(1).getInt64();
}

void read_rows_done(SQLite::Database& database, RunProgress& progress) {
  SQLite::Statement query(
      database,
      "SELECT b.row, b.n, coalesce(r.n, 0), coalesce(r.recovered, 0) FROM "
      "(SELECT row, count(*) AS n, min(rowid) AS first FROM batches GROUP BY row) b "
      "LEFT JOIN (SELECT row, count(*) AS n, sum(recovered) AS recovered FROM "
      "results GROUP BY row) r ON r.row = b.row ORDER BY b.first");
  while (query.executeStep()) {
    progress.rows.push_back({.row = query.getColumn(0).getString(),
                             .tries = query.getColumn(2).getInt64(),
                             .recovered = query.getColumn(3).getInt64(),
                             .batches = query.getColumn(1).getInt64()});
  }
}

}  // namespace

int64_t RunProgress::n_done() const {
  int64_t n = 0;
  for (const RowProgress& row : rows) n += row.batches;
  return n;
}

void put_plan(Store& store, const RunPlan& plan) {
  store.put_meta(kPlanKey, Json{{"rows", plan.rows}, {"batches", plan.batches}}.dump());
}

RunProgress read_progress(const std::filesystem::path& store) {
  try {
    SQLite::Database database(store.string(), SQLite::OPEN_READONLY, kProgressBusyMilliseconds);
    SQLite::Transaction one_moment(database);  // all queries see the same state
    RunProgress progress;
    read_prompts_done(database, progress);
    read_rows_done(database, progress);
    progress.plan = read_plan(database);
    return progress;
  } catch (const SQLite::Exception& e) {
    const int code = e.getErrorCode() & 0xff;
    const std::string message = concat(store.string(), ": ", e.what());
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR)
      throw DataError(message);
    throw IoError(message);
  }
}

}  // namespace rebound
