#!/usr/bin/env python3
"""A net under reshaping: small audits of every kind against their committed summaries, figure by figure.

    net_test.py PROGRAM [--tolerance 1e-6] [--update] [--only NAME]

Counts, names and verdicts must be equal; other numbers to `tolerance`, relative to the larger one. On the machine
that made the goldens 1e-6 holds. ctest allows 2e-3: other CPUs round otherwise, and searches amplify it. Seconds,
memory and build are left out. --update writes the goldens anew: say in the commit which figures moved, and why.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IGNORED = {"environment", "seconds", "seconds_per_prompt", "sha256", "model", "suffix_sha256"}
ABSOLUTE = 1e-9
# Ratios of what is rounding: a drift of 3e-7 is as good as one of 4e-7.
ROUNDING = 2e-6


def is_ignored(key):
    return key in IGNORED or "seconds" in key


def differences(golden, got, tolerance, where=""):
    if isinstance(golden, bool) or isinstance(got, bool) or not isinstance(golden, (int, float, dict, list)):
        if golden != got:
            yield f"{where}: expected {golden!r}, got {got!r}"
    elif isinstance(golden, dict):
        if not isinstance(got, dict):
            yield f"{where}: expected an object, got {got!r}"
            return
        for key in sorted(golden.keys() | got.keys()):
            if is_ignored(key):
                continue
            if key not in golden or key not in got:
                yield f"{where}.{key}: only in {'the golden' if key in golden else 'the run'}"
            else:
                yield from differences(golden[key], got[key], tolerance, f"{where}.{key}")
    elif isinstance(golden, list):
        if not isinstance(got, list) or len(golden) != len(got):
            yield f"{where}: expected a list of {len(golden)}"
            return
        for i, (a, b) in enumerate(zip(golden, got)):
            name = a.get("name", i) if isinstance(a, dict) else i
            yield from differences(a, b, tolerance, f"{where}[{name}]")
    elif not isinstance(got, (int, float)):
        yield f"{where}: expected {golden}, got {got!r}"
    elif isinstance(golden, int) and isinstance(got, int):
        if golden != got:
            yield f"{where}: expected {golden}, got {got}"
    else:
        scale = max(abs(golden), abs(got))
        if scale > ROUNDING and abs(golden - got) > tolerance * scale + ABSOLUTE:
            yield f"{where}: expected {golden}, got {got}, {abs(golden - got) / scale:.1e} apart"


def texts_aside(summary):
    """Sentences quote rounded figures, which the figures themselves are checked for."""
    return {key: value for key, value in summary.items() if key not in ("verdict_text", "environment")}


def run(program, spec):
    with tempfile.TemporaryDirectory(prefix="rebound_net_") as folder:
        done = subprocess.run([program, "audit", str(spec), "--out", f"{folder}/run", "--json", "--quiet", "--threads", "2"],
                              cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{spec.name}: exit code {done.returncode}: {done.stderr}")
        return texts_aside(json.loads(done.stdout))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    program = str(pathlib.Path(given.program).resolve())
    n_wrong = n_runs = 0
    for spec in sorted((HERE / "specs").glob("*.json")):
        if given.only and given.only != spec.stem:
            continue
        n_runs += 1
        summary = run(program, spec)
        golden = HERE / "golden" / spec.name
        if given.update:
            golden.write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
            continue
        wrong = list(differences(json.loads(golden.read_text()), summary, given.tolerance, spec.stem))
        n_wrong += len(wrong)
        print(f"{spec.stem}: {len(wrong)} differences", *wrong[:40], sep="\n  ")
    if n_runs == 0:
        sys.exit("no spec ran")
    sys.exit(1 if n_wrong else 0)


main()
