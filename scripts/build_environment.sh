# Sourced by test.sh and demo.sh: where we are, how many jobs and threads, and which cargo.
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
JOBS="${REBOUND_JOBS:-$(nproc)}"
# A translation unit with the torch headers takes about 1.2 GB: no more jobs than memory allows.
JOBS_BY_MEMORY="$(awk '/MemAvailable/ {n = int($2 / 1300000); print (n < 1 ? 1 : n)}' /proc/meminfo)"
if ((JOBS > JOBS_BY_MEMORY)); then JOBS="$JOBS_BY_MEMORY"; fi
export CMAKE_BUILD_PARALLEL_LEVEL="$JOBS"
# Explicit: LibTorch's default was one thread on one machine.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}"
# Threads that spin while they wait take the cores from those that work.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
# A cargo too old for rust/hf in front of the distribution's newer one is passed over.
if [[ -x /usr/bin/cargo ]] &&
    ! printf '1.85\n%s\n' "$(cargo --version 2>/dev/null | awk '{print $2}')" | sort -V -C; then
  export PATH="/usr/bin:$PATH"
fi
cd "$ROOT"
