#include "rebound/audit/store_file.h"

#include <sqlite3.h>

#include <string>

#include "rebound/base/error.h"

namespace rebound {
namespace {

constexpr int kBusyMilliseconds = 5000;

// The low byte is the kind; the rest says more than is needed here.
int error_kind(const SQLite::Exception& error) { return error.getErrorCode() & 0xff; }

// A file: URI that tells SQLite that nobody writes, so that it needs no -shm file beside it.
std::string immutable_uri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : path.string()) {
    if (c == '%')
      uri += "%25";
    else if (c == '?')
      uri += "%3f";
    else if (c == '#')
      uri += "%23";
    else
      uri += c;
  }
  return uri + "?immutable=1";
}

}  // namespace

std::unique_ptr<SQLite::Database> open_store_file(const std::filesystem::path& path, int flags) {
  auto database = std::make_unique<SQLite::Database>(path.string(), flags, kBusyMilliseconds);
  database->execAndGet("SELECT count(*) FROM sqlite_master");  // reads the file for the first time
  return database;
}

std::unique_ptr<SQLite::Database> open_store_file_read_only(const std::filesystem::path& path) {
  try {
    return open_store_file(path, SQLite::OPEN_READONLY);
  } catch (const SQLite::Exception& error) {
    // WAL needs a -shm file, which a read-only folder refuses.
    const int kind = error_kind(error);
    if (kind != SQLITE_CANTOPEN && kind != SQLITE_READONLY) throw;
    return open_store_file(immutable_uri(path), SQLite::OPEN_READONLY | SQLite::OPEN_URI);
  }
}

void prepare_for_writing(SQLite::Database& database, int64_t max_pages) {
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  if (max_pages > 0) database.exec(concat("PRAGMA max_page_count = ", max_pages));
}

void throw_store_error(const std::filesystem::path& path, const SQLite::Exception& error) {
  const std::string name = path.string();
  switch (error_kind(error)) {
    case SQLITE_FULL:
      throw IoError(concat(name, ": disk full; what was finished is stored"));
    case SQLITE_READONLY:
      throw IoError(concat(name, ": read-only, cannot write"));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      throw IoError(concat(name, ": cannot open (missing folder or no permission)"));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw IoError(concat(name, ": another process is writing to this run"));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
      throw DataError(concat(name, ": not a run store, or damaged: ", error.what()));
    default:
      throw IoError(concat(name, ": ", error.what()));
  }
}

void throw_store_error(const std::filesystem::path& path, const Json::exception& error) {
  throw DataError(concat(path.string(), ": damaged JSON column: ", error.what()));
}

}  // namespace rebound
