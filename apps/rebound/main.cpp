// rebound: what program.h says, with threads and BLAS kernels in order.
#include <csignal>

#include "machine_setup.h"
#include "program.h"

int main(int argc, char** argv) {
  std::signal(SIGINT, rebound::stop_at_once);
  rebound::keep_freed_memory();
  return rebound::run_rebound(argc, argv, [argv] { rebound::restart_with_better_settings(argv); });
}
