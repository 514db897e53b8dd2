// Whether the process that makes a run is still there.
//
// A process that has a SQLite store open in WAL mode holds a lock on a byte of its -shm file; the
// kernel lists all locks in /proc/locks, so that nothing is opened and no lock of ours is touched.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace rebound {

// `locks` as /proc/locks has it: "1: POSIX  ADVISORY  READ 5518 fe:00:10420313 128 128". Own locks
// do not count.
bool has_lock_of_other(const std::string& locks, uint64_t inode, int64_t own_pid);

// Where there is no /proc/locks, a store that was written within five minutes counts as open.
bool is_store_open_elsewhere(const std::filesystem::path& store);

}  // namespace rebound
