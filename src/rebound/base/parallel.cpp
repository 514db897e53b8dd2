#include "rebound/base/parallel.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <future>
#include <limits>
#include <thread>
#include <vector>

namespace rebound {
namespace {

std::atomic<int64_t> most_workers{std::numeric_limits<int64_t>::max()};

class OneThreadEach {
 public:
  OneThreadEach() : before_(at::get_num_threads()) { set_blas_threads(1); }
  ~OneThreadEach() {
    at::set_num_threads(before_);
    set_blas_threads(before_);
  }

 private:
  int before_;
};

}  // namespace

int64_t worker_count() { return std::min<int64_t>(at::get_num_threads(), most_workers); }

void limit_workers(int64_t most) { most_workers = std::max<int64_t>(most, 1); }

void set_blas_threads(int threads) {
  using SetThreads = void (*)(int);
  static const auto set = reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set != nullptr) set(threads);
}

void run_parts(int64_t n, const std::function<void(int64_t)>& part) {
  const int64_t workers = std::min(n, worker_count());
  if (workers <= 1) {
    for (int64_t i = 0; i < n; ++i) part(i);
    return;
  }
  const OneThreadEach guard;
  const bool is_grad_on = at::GradMode::is_enabled();
  std::atomic<int64_t> next{0};
  std::vector<std::exception_ptr> errors(static_cast<size_t>(n));
  const auto work = [&] {
    at::set_num_threads(1);
    const at::AutoGradMode grad_mode(is_grad_on);
    for (int64_t i = next++; i < n; i = next++) {
      try {
        part(i);
      } catch (...) {
        errors[static_cast<size_t>(i)] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int64_t i = 1; i < workers; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

void run_ranges(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t ranges = std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, worker_count());
  std::vector<std::future<void>> others;
  for (int64_t i = 1; i < ranges; ++i)
    others.push_back(std::async(std::launch::async, body, i * n / ranges, (i + 1) * n / ranges));
  body(0, n / ranges);
  for (std::future<void>& other : others) other.get();
}

}  // namespace rebound
