#!/usr/bin/env bash
# Opens reports of the program in Chromium: run.sh PROGRAM. Installs the node packages first where
# they are missing or others than the lock file's.
set -euo pipefail
[[ $# == 1 ]] || { echo "usage: run.sh PROGRAM" >&2; exit 2; }
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
exec node --test page.test.js examples.test.js access.test.js safety.test.js
