#include "rebound/audit/store.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <limits>
#include <utility>

#include "rebound/audit/store_file.h"
#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr char kSchema[] = R"sql(
  CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
  CREATE TABLE examples(prompt INTEGER PRIMARY KEY, id TEXT, text TEXT, ids TEXT, correct TEXT,
    wrong TEXT, base_score REAL, defended_score REAL, is_valid INTEGER, split TEXT, extra TEXT);
  CREATE TABLE results(row TEXT, prompt INTEGER, variant TEXT, batch INTEGER, recovered INTEGER,
    score REAL, recheck_score REAL, steps INTEGER, seconds REAL, termination TEXT, figures TEXT,
    PRIMARY KEY(row, prompt, variant));
  CREATE TABLE batches(row TEXT, batch INTEGER, PRIMARY KEY(row, batch));
  CREATE TABLE trace(prompt INTEGER, row TEXT, step INTEGER, objective REAL, drift_pre REAL,
    norm REAL);
  CREATE TABLE artefacts(name TEXT PRIMARY KEY, blob BLOB NOT NULL);
)sql";

// Binds the values to ?1, ?2, ... NaN becomes NULL in SQLite itself.
template <class... Values>
void run(SQLite::Statement& statement, const Values&... values) {
  statement.reset();
  int index = 0;
  (statement.bind(++index, values), ...);
  statement.exec();
}

double figure(const SQLite::Column& column) {
  return column.isNull() ? std::numeric_limits<double>::quiet_NaN() : column.getDouble();
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

void insert_results(SQLite::Database& database, const FinishedBatch& finished) {
  SQLite::Statement insert(database,
                           "INSERT OR REPLACE INTO results VALUES (?,?,?,?,?,?,?,?,?,?,?)");
  for (const StoredResult& result : finished.results) {
    run(insert,
        finished.row,
        result.prompt,
        result.variant,
        finished.batch,
        static_cast<int>(result.recovered),
        result.score,
        result.recheck_score,
        result.steps,
        result.seconds,
        result.termination,
        result.figures.dump());
  }
}

void insert_traces(SQLite::Database& database, const FinishedBatch& finished) {
  SQLite::Statement insert(database, "INSERT INTO trace VALUES (?,?,?,?,?,?)");
  for (const TracePoint& point : finished.traces) {
    run(insert,
        point.prompt,
        finished.row,
        point.step,
        point.objective,
        point.drift_pre,
        point.norm);
  }
}

StoredExample read_example(SQLite::Statement& row) {
  return {.prompt = row.getColumn(0).getInt64(),
          .id = row.getColumn(1).getString(),
          .text = row.getColumn(2).getString(),
          .ids = Json::parse(row.getColumn(3).getString()).get<std::vector<int64_t>>(),
          .correct = row.getColumn(4).getString(),
          .wrong = row.getColumn(5).getString(),
          .base_score = figure(row.getColumn(6)),
          .defended_score = figure(row.getColumn(7)),
          .is_valid = row.getColumn(8).getInt() != 0,
          .split = row.getColumn(9).getString(),
          .extra = Json::parse(row.getColumn(10).getString())};
}

StoredResult read_result(SQLite::Statement& row) {
  return {.row = row.getColumn(0).getString(),
          .prompt = row.getColumn(1).getInt64(),
          .variant = row.getColumn(2).getString(),
          .batch = row.getColumn(3).getInt64(),
          .recovered = row.getColumn(4).getInt() != 0,
          .score = figure(row.getColumn(5)),
          .recheck_score = figure(row.getColumn(6)),
          .steps = row.getColumn(7).getInt64(),
          .seconds = figure(row.getColumn(8)),
          .termination = row.getColumn(9).getString(),
          .figures = Json::parse(row.getColumn(10).getString())};
}

}  // namespace

Store::Store(std::filesystem::path path, std::unique_ptr<SQLite::Database> database)
    : path_(std::move(path)), database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store Store::create(const std::filesystem::path& path, const StoreOptions& options) {
  require<IoError>(!is_there(path), path.string(), ": exists already");
  return with_store_errors(path, [&] {
    Store store(path, open_store_file(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE));
    prepare_for_writing(*store.database_, options.max_pages);
    store.write([&] {
      store.database_->exec(kSchema);
      store.database_->exec(concat("PRAGMA user_version = ", kSchemaVersion));
    });
    return store;
  });
}

Store Store::open(const std::filesystem::path& path, const StoreOptions& options) {
  require<IoError>(is_there(path), path.string(), ": no such file");
  return with_store_errors(path, [&] {
    Store store(path, open_store_file(path, SQLite::OPEN_READWRITE));
    store.check_version();
    prepare_for_writing(*store.database_, options.max_pages);
    return store;
  });
}

Store Store::open_read_only(const std::filesystem::path& path) {
  require<IoError>(is_there(path), path.string(), ": no such file");
  return with_store_errors(path, [&] {
    Store store(path, open_store_file_read_only(path));
    store.check_version();
    return store;
  });
}

void Store::check_version() const {
  const int version = database_->execAndGet("PRAGMA user_version").getInt();
  require<DataError>(version == kSchemaVersion,
                     path_.string(),
                     ": got store version ",
                     version,
                     ", expected ",
                     kSchemaVersion,
                     " (0: not a run store)");
}

void Store::write(const std::function<void()>& body) {
  with_store_errors(path_, [&] {
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    body();
    transaction.commit();
  });
}

void Store::put_meta(const std::string& key, const std::string& value) {
  write([&] {
    SQLite::Statement insert(*database_, "INSERT OR REPLACE INTO meta VALUES (?,?)");
    run(insert, key, value);
  });
}

std::optional<std::string> Store::meta(const std::string& key) const {
  return with_store_errors(path_, [&]() -> std::optional<std::string> {
    SQLite::Statement query(*database_, "SELECT value FROM meta WHERE key = ?");
    query.bind(1, key);
    if (!query.executeStep()) return std::nullopt;
    return query.getColumn(0).getString();
  });
}

void Store::put_examples(const std::vector<StoredExample>& examples) {
  write([&] {
    SQLite::Statement insert(*database_,
                             "INSERT OR REPLACE INTO examples VALUES (?,?,?,?,?,?,?,?,?,?,?)");
    for (const StoredExample& example : examples) {
      run(insert,
          example.prompt,
          example.id,
          example.text,
          Json(example.ids).dump(),
          example.correct,
          example.wrong,
          example.base_score,
          example.defended_score,
          static_cast<int>(example.is_valid),
          example.split,
          example.extra.dump());
    }
  });
}

std::vector<StoredExample> Store::examples() const {
  return with_store_errors(path_, [&] {
    std::vector<StoredExample> examples;
    SQLite::Statement query(*database_, "SELECT * FROM examples ORDER BY prompt");
    while (query.executeStep()) examples.push_back(read_example(query));
    return examples;
  });
}

bool Store::is_done(const std::string& row, int64_t batch) const {
  return with_store_errors(path_, [&] {
    SQLite::Statement query(*database_, "SELECT 1 FROM batches WHERE row = ? AND batch = ?");
    query.bind(1, row);
    query.bind(2, batch);
    return query.executeStep();
  });
}

void Store::put_batch(const FinishedBatch& finished) {
  write([&] {
    insert_results(*database_, finished);
    insert_traces(*database_, finished);
    SQLite::Statement insert(*database_, "INSERT INTO batches VALUES (?,?)");
    run(insert, finished.row, finished.batch);
  });
}

std::vector<StoredResult> Store::results() const { return read_results("1 OR row = ?", ""); }

std::vector<StoredResult> Store::results(const std::string& row) const {
  return read_results("row = ?", row);
}

std::vector<StoredResult> Store::read_results(const std::string& where,
                                              const std::string& row) const {
  return with_store_errors(path_, [&] {
    std::vector<StoredResult> results;
    SQLite::Statement query(
        *database_,
        concat("SELECT r.* FROM results r JOIN (SELECT row AS name, min(rowid) AS first FROM ",
               "results GROUP BY row) ON row = name WHERE ",
               where,
               " ORDER BY first, prompt, r.rowid"));
    query.bind(1, row);
    while (query.executeStep()) results.push_back(read_result(query));
    return results;
  });
}

std::vector<TracePoint> Store::traces() const {
  return with_store_errors(path_, [&] {
    std::vector<TracePoint> traces;
    SQLite::Statement query(*database_, "SELECT * FROM trace ORDER BY rowid");
    while (query.executeStep()) {
      traces.push_back({.prompt = query.getColumn(0).getInt64(),
                        .row = query.getColumn(1).getString(),
                        .step = query.getColumn(2).getInt64(),
                        .objective = figure(query.getColumn(3)),
                        .drift_pre = figure(query.getColumn(4)),
                        .norm = figure(query.getColumn(5))});
    }
    return traces;
  });
}

void Store::put_artefact(const std::string& name, const std::string& bytes) {
  write([&] {
    SQLite::Statement insert(*database_, "INSERT OR REPLACE INTO artefacts VALUES (?,?)");
    insert.bind(1, name);
    insert.bind(2, bytes.data(), static_cast<int>(bytes.size()));
    insert.exec();
  });
}

std::optional<std::string> Store::artefact(const std::string& name) const {
  return with_store_errors(path_, [&]() -> std::optional<std::string> {
    SQLite::Statement query(*database_, "SELECT blob FROM artefacts WHERE name = ?");
    query.bind(1, name);
    if (!query.executeStep()) return std::nullopt;
    return query.getColumn(0).getString();
  });
}

}  // namespace rebound
