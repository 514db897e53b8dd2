#!/usr/bin/env bash
# The main job on real input: installs, builds, fetches the default model, audits an SAE clamp on
# indirect-object identification, and prints where the report is. Further flags go to the audit:
#   ./scripts/demo.sh --dtype bfloat16
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/build_environment.sh"

./scripts/setup.sh
source scripts/build_environment.sh # setup may have brought another cargo
./scripts/fetch_default_model.sh

# The tests' build will do when it is there; ninja brings it up to date.
PRESET=release
if [[ -x build/dev/rebound && ! -x build/release/rebound ]]; then PRESET=dev; fi
cmake --preset "$PRESET"
cmake --build --preset "$PRESET" --target rebound

OUT="runs/ioi-$(date +%Y%m%d-%H%M%S)"
mkdir -p runs
"build/$PRESET/rebound" audit ioi --out "$OUT" "$@"
for report in "$OUT/report.html" "$OUT/report.md" "$OUT/summary.json"; do
  [[ -s "$report" ]] || { echo "demo: $report is missing" >&2; exit 1; }
done
printf '\ndemo: the report is %s (the same as text: %s)\n' "$ROOT/$OUT/report.html" "$OUT/report.md"
