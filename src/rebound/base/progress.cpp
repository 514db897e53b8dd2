#include "rebound/base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace rebound {
namespace {

ProgressMode mode = ProgressMode::kAuto;
constexpr double kTerminalSeconds = 0.1;
constexpr double kPlainSeconds = 10;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string clock_text(double seconds) {
  char text[32];
  const int whole = static_cast<int>(seconds);
  std::snprintf(text, sizeof text, "%d:%02d", whole / 60, whole % 60);
  return text;
}

}  // namespace

void set_progress_mode(ProgressMode new_mode) { mode = new_mode; }

void say(const std::string& line) {
  if (mode != ProgressMode::kQuiet) std::fprintf(stderr, "%s\n", line.c_str());
}

Progress::Progress(std::string title, int64_t total)
    : title_(std::move(title)),
      total_(total),
      is_terminal_(isatty(STDERR_FILENO) != 0),
      started_(std::chrono::steady_clock::now()),
      last_drawn_(started_) {
  if (mode != ProgressMode::kQuiet) draw();
}

Progress::~Progress() {
  if (mode == ProgressMode::kQuiet || !has_drawn_) return;
  draw();
  if (is_terminal_) std::fputc('\n', stderr);
}

void Progress::update(int64_t done, const std::string& detail) {
  done_ = done;
  detail_ = detail;
  if (mode == ProgressMode::kQuiet) return;
  if (seconds_since(last_drawn_) >= (is_terminal_ ? kTerminalSeconds : kPlainSeconds)) draw();
}

void Progress::draw() {
  has_drawn_ = true;
  last_drawn_ = std::chrono::steady_clock::now();
  const double elapsed = seconds_since(started_);
  std::string line = title_ + "  ";
  if (total_ > 0) {
    constexpr int kWidth = 24;
    const double share =
        std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0., 1.);
    const int filled = static_cast<int>(share * kWidth);
    if (is_terminal_) {
      line += "[" + std::string(static_cast<size_t>(filled), '#') +
              std::string(static_cast<size_t>(kWidth - filled), '.') + "] ";
    }
    line += std::to_string(done_) + "/" + std::to_string(total_) + "  " + clock_text(elapsed);
    if (share > 0 && share < 1) line += ", " + clock_text(elapsed / share * (1 - share)) + " left";
  } else {
    line += std::to_string(done_) + "  " + clock_text(elapsed);
  }
  if (!detail_.empty()) line += "  " + detail_;
  std::fprintf(stderr, is_terminal_ ? "\r\033[K%s" : "%s\n", line.c_str());
  std::fflush(stderr);
}

}  // namespace rebound
