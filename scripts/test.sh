#!/usr/bin/env bash
# Builds everything and runs every test: what CI runs, and what to run before a commit.
# The closing lines are ctest's own ("100% tests passed, 0 tests failed out of N"); the exit status
# is not 0 when a test failed or when none ran.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/build_environment.sh"

LOG="$(mktemp)"
trap 'rm -f "$LOG"' EXIT

./scripts/setup.sh
source scripts/build_environment.sh # setup may have brought another cargo
./scripts/fetch_default_model.sh
printf 'test: %s build jobs, %s threads\n' "$JOBS" "$OMP_NUM_THREADS"
cmake --workflow --preset dev 2>&1 | tee "$LOG"

grep -Eq '^100% tests passed, 0 tests failed out of [1-9]' "$LOG" || {
  echo 'test: no test ran, or one failed' >&2
  exit 1
}
