#!/usr/bin/env bash
# Opens reports or the explorer of the program in Chromium: run.sh PROGRAM reports|explorer. Installs the node packages
# first where they are missing or others than the lock file's. PROGRAM: rebound, or rebound_session beside it.
set -euo pipefail
case "${2:-}" in
  reports) TESTS=(page.test.js examples.test.js access.test.js safety.test.js compare.test.js) ;;
  explorer) TESTS=(explorer_runs.test.js explorer_bench.test.js explorer_access.test.js) ;;
  *) echo "usage: run.sh PROGRAM reports|explorer" >&2; exit 2 ;;
esac
PROGRAM="$(realpath "$1")"
cd "$(dirname "${BASH_SOURCE[0]}")"

die() { printf 'browser tests: %s\n' "$*" >&2; exit 1; }
command -v node >/dev/null && command -v npm >/dev/null || die "node or npm is missing: scripts/setup.sh installs them"
CHROMIUM="${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}"
[[ -n "$CHROMIUM" ]] || die "no Chromium found: scripts/setup.sh installs it, or set CHROMIUM"

if ! cmp -s package-lock.json node_modules/.installed-lock; then
  npm ci --no-audit --no-fund >/dev/null
  cp package-lock.json node_modules/.installed-lock
fi

export REBOUND_PROGRAM="$PROGRAM" CHROMIUM
exec node --test "${TESTS[@]}"
