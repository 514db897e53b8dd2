#!/usr/bin/env bash
# Times rebound against the published algorithm in PyTorch on the same model, SAE, prompts and
# machine, run in turns so that a busy moment hits both:
#
#   bench/run_peer.sh ioi [--json] [--repeats N] [--sae DIR] [--value V] [--no-set]
#   bench/run_peer.sh refusal [--json] [--dtype float32|bfloat16]
#   bench/run_peer.sh probe [--sae DIR]        movie_sentiment; needs scikit-learn, too
#   bench/run_peer.sh tpp [--sae DIR]          wikitext_topic_6, 20 texts of a class: effects and TPP agree to 1e-4
#   bench/run_peer.sh mcq                      letters in 24 orders: one order at a time in PyTorch, ours in one run
#   bench/run_peer.sh generate [--model GGUF]  generation, harvest and loading beside transformers, batch 1 and 32
#
# --json prints the JSON alone; --no-set leaves out the recovered set of the peer (a few minutes).
# PEER_PYTHON names a Python with torch, transformers >= 5, accelerate, gguf and safetensors (default python3).
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
REPEATS=3 IS_JSON=0 WITH_SET=1 VALUE=-20 SAE="" DTYPE=float32 MODEL=""
usage() { sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2; }
WHAT="${1:-}"
case "$WHAT" in ioi | refusal | probe | tpp | mcq | generate) ;; *) usage ;; esac
shift
while (($#)); do
  case "$1" in
    --json) IS_JSON=1 ;;
    --no-set) WITH_SET=0 ;;
    --repeats) REPEATS="$2"; shift ;;
    --sae) SAE="$2"; shift ;;
    --value) VALUE="$2"; shift ;;
    --dtype) DTYPE="$2"; shift ;;
    --model) MODEL="$2"; shift ;;
    *) usage ;;
  esac
  shift
done

PYTHON="${PEER_PYTHON:-python3}"
PROGRAM="$ROOT/build/release/rebound"
[[ -x "$PROGRAM" ]] || PROGRAM="$ROOT/build/dev/rebound"
[[ -x "$PROGRAM" ]] || { echo "run_peer: no build/release/rebound; run scripts/demo.sh" >&2; exit 2; }
MODEL="${MODEL:-$ROOT/models/SmolLM2-135M-Instruct.Q4_1.gguf}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}"
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
tell() { if ((!IS_JSON)); then cat; else cat >/dev/null; fi; }
# A script of bench/peer; its warnings are shown only where it fails.
reference() { "$PYTHON" "$ROOT/bench/peer/$1_reference.py" "${@:2}" 2>"$WORK/peer.log" ||
  { tail -5 "$WORK/peer.log" >&2; return 1; }; }

if [[ "$WHAT" == refusal ]]; then
  cat > "$WORK/spec.json" <<SPEC
{"behaviour": {"kind": "refusal-benign", "requests": ["harmless"], "n_test": 24}, "batch": 24,
 "defence": {"strength": 0.25}, "controls": false, "attribution": false, "dtype": "$DTYPE",
 "rows": [{"constraint": "forward_projection", "budget": 2, "steps": 40}, {"constraint": "jacobian_sampled", "steps": 10, "lr": 0.03}]}
SPEC
  reference refusal time --model "$MODEL" --out "$WORK/peer.json" | tell
  "$PROGRAM" audit "$WORK/spec.json" --out "$WORK/run" --quiet >/dev/null
  reference refusal compare "$WORK/run" --out "$WORK/peer.json"
  exit
fi

if [[ "$WHAT" == mcq ]]; then
  BENCH="$(dirname "$PROGRAM")/multiple_choice_bench"
  [[ -x "$BENCH" ]] || { echo "run_peer: no $BENCH; build that target" >&2; exit 2; }
  reference mcq --model "$MODEL" --questions "$ROOT/data/mcq/capitals_mcq.jsonl"
  "$BENCH" --benchmark_min_time=0.1 2>/dev/null
  exit
fi

if [[ "$WHAT" == generate ]]; then
  BENCH="$(dirname "$PROGRAM")/generate_bench"
  [[ -x "$BENCH" && -x "$(dirname "$BENCH")/harvest_bench" ]] ||
    { echo "run_peer: no $BENCH or harvest_bench; build these targets" >&2; exit 2; }
  reference generate --model "$MODEL" --repeats "$REPEATS"
  export REBOUND_BENCH_MODEL="$MODEL"
  "$BENCH" --benchmark_filter='Generate.*/batch:(1|32)/.*/split:1/new:48|Load' 2>/dev/null
  "$(dirname "$BENCH")/harvest_bench" --benchmark_min_time=5 2>/dev/null
  exit
fi

if [[ -z "$SAE" ]]; then
  SAE="$(find "$ROOT/assets/sae" -name cfg.json | sort | head -1)"
  [[ -n "$SAE" ]] || { echo "run_peer: no SAE under assets/sae; give --sae" >&2; exit 2; }
  SAE="$(dirname "$SAE")"
fi

if [[ "$WHAT" == probe ]]; then
  "$PROGRAM" probe --task movie_sentiment --sae "$SAE" --draws 1 --out "$WORK/ours" --quiet >/dev/null
  reference probe --model "$MODEL" --sae "$SAE" --data "$ROOT/data/probes/movie_sentiment.jsonl" --ours "$WORK/ours/probe.json"
  exit
fi
if [[ "$WHAT" == tpp ]]; then
  "$PROGRAM" tpp --sae "$SAE" --texts 20 --n 2,20,100 --l2 100 --out "$WORK/ours" --quiet >/dev/null
  reference tpp --model "$MODEL" --sae "$SAE" --data "$ROOT/data/probes/classes/wikitext_topic_6.jsonl" --ours "$WORK/ours/tpp.json"
  exit
fi
HOOK="$("$PYTHON" -c 'import json, sys; c = json.load(open(sys.argv[1] + "/cfg.json"))
print(c.get("metadata", c)["hook_name"])' "$SAE")"

peer() { reference ioi "$@" --work "$WORK"; }

peer prepare --model "$MODEL" --sae "$SAE" --hook "$HOOK" --value "$VALUE" | tell
RUNS=()
for ((i = 1; i <= REPEATS; i++)); do
  peer time | tell
  "$PROGRAM" audit "$WORK/spec.json" --out "$WORK/run$i" --quiet >/dev/null
  RUNS+=("$WORK/run$i")
done
if ((WITH_SET)); then peer set | tell; fi
peer compare "${RUNS[@]}"
