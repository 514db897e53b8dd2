// The SQLite file under a Store: opening it, and its errors in the project's words.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <memory>

#include "rebound/base/json.h"

namespace rebound {

// Waits a few seconds where another process writes. `flags`: SQLite::OPEN_*. Reads the file at
// once, so that what is no database shows here: SQLite::Exception.
std::unique_ptr<SQLite::Database> open_store_file(const std::filesystem::path& path, int flags);

// Works in a read-only folder, too, where SQLite cannot put the -shm file that WAL needs.
std::unique_ptr<SQLite::Database> open_store_file_read_only(const std::filesystem::path& path);

// WAL, and every transaction on the disk before it counts. max_pages: of 4096 bytes; 0: no cap.
void prepare_for_writing(SQLite::Database& database, int64_t max_pages);

// IoError or DataError, by SQLite's code, with the file in front.
[[noreturn]] void throw_store_error(const std::filesystem::path& path,
                                    const SQLite::Exception& error);
[[noreturn]] void throw_store_error(const std::filesystem::path& path,
                                    const Json::exception& error);

// What `body` returns; what SQLite and JSON throw in it becomes an Error of the right kind.
template <class Body>
auto with_store_errors(const std::filesystem::path& path, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const SQLite::Exception& error) {
    throw_store_error(path, error);
  } catch (const Json::exception& error) {
    throw_store_error(path, error);
  }
}

}  // namespace rebound
