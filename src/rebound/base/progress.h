// Progress of long work on stderr: one line redrawn on a terminal, a plain line now and then
// otherwise, nothing when quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rebound {

enum class ProgressMode { kAuto, kQuiet };
void set_progress_mode(ProgressMode mode);

class Progress {
 public:
  // `total` <= 0: unknown.
  Progress(std::string title, int64_t total);
  ~Progress();  // leaves the last line in place
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `detail` is shown behind the bar, for example "FVU 0.13  L0 32".
  void update(int64_t done, const std::string& detail = "");

 private:
  void draw();

  std::string title_;
  std::string detail_;
  int64_t total_;
  int64_t done_ = 0;
  bool is_terminal_;
  bool has_drawn_ = false;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point last_drawn_;
};

// A plain line on stderr unless quiet.
void say(const std::string& line);

}  // namespace rebound
