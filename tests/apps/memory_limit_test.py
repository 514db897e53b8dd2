"""--memory-limit against what the program really takes: the largest resident size of a child process, as the
kernel counts it (VmHWM; ru_maxrss of wait4).

    memory_limit_test.py PROGRAM

Tolerance: none above the limit, and the plan is within a quarter of the peak. Skipped (exit code 77) without the
default model.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models/SmolLM2-135M-Instruct.Q4_1.gguf"
LIMIT_MB = 500  # below the 513 MB that the weights take in float32
PLAN = re.compile(r"([0-9.]+) GB allowed, ([0-9.]+) GB planned: .*\((\w+)\)")
MB = 1 << 20
SKIPPED = 77


def generate(*flags):
    """What it printed, what it said on stderr, and its peak in bytes."""
    command = [PROGRAM, "model", "generate", "--model", MODEL, "--prompt", "The capital of France is", "--tokens", "8",
               "--threads", "2", "--json", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        answer, said = child.stdout.read(), child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, (child.returncode, said)
    return json.loads(answer), said, usage.ru_maxrss * 1024


def main():
    if not MODEL.exists():
        print(f"skipped: no {MODEL.relative_to(ROOT)}; run scripts/fetch_default_model.sh")
        return SKIPPED
    free_answer, _, free_peak = generate()
    answer, said, peak = generate("--memory-limit", f"{LIMIT_MB}M")
    print(f"peak {free_peak / MB:.0f} MB without a limit, {peak / MB:.0f} MB under one of {LIMIT_MB} MB; {said.strip()}")
    plan = PLAN.search(said)
    assert plan, said
    assert plan.group(3) == "stored", said
    planned = float(plan.group(2)) * (1 << 30)
    assert free_peak > LIMIT_MB * MB, "the limit asks for nothing: the run without one stays below it"
    assert peak <= LIMIT_MB * MB, (peak / MB, LIMIT_MB)
    assert abs(planned - peak) <= peak / 4, (planned / MB, peak / MB)
    assert answer["ids"] == free_answer["ids"], (answer, free_answer)
    return 0


sys.exit(main())
