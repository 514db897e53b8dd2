"""rebound show: what a terminal gets and what a file gets, at several widths, with colours and without.

    show_cli_test.py PROGRAM

The run is made by tests/browser/make_run.py; terminals are pseudo-terminals.
"""
import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

PROGRAM = str(Path(sys.argv[1]).resolve())
MAKE_RUN = Path(__file__).resolve().parents[1] / "browser/make_run.py"
SGR = re.compile(r"\x1b\[[0-9;]*m")
failures = []


def check(is_right, name, got=""):
    if not is_right:
        failures.append(name)
        print(f"FAILED: {name}: {got!r}", file=sys.stderr)


root = Path(tempfile.mkdtemp(prefix="rebound_show_"))
RUNS = {"scores": root / "scores", "answers": root / "answers"}
subprocess.run([sys.executable, MAKE_RUN, RUNS["scores"]], check=True)
subprocess.run([sys.executable, MAKE_RUN, RUNS["answers"], "--answers"], check=True)


def environment(changes):
    base = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "TERM")}
    return {**base, "TERM": "xterm-256color", **changes}


def piped(*words, **changes):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, env=environment(changes), timeout=120)
    return done.returncode, done.stdout, done.stderr


def on_terminal(*words, columns=80, **changes):
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    process = subprocess.Popen([PROGRAM, *map(str, words)], stdout=follower, stderr=subprocess.DEVNULL, env=environment(changes))
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    process.wait()
    os.close(leader)
    return text.decode().replace("\r\n", "\n")


def widest(text):
    return max(len(line) for line in SGR.sub("", text).splitlines())


for name, run in RUNS.items():
    for part in ([], ["--rows"], ["--example", "item-0000"]):
        for columns in (40, 80, 120):
            text = on_terminal("show", run, *part, columns=columns)
            check(widest(text) <= columns, f"{name} {part} fits {columns} columns", widest(text))
            check(SGR.search(text), f"{name} {part} has colours on a terminal of {columns}")
            code, plain, _ = piped("show", run, *part, COLUMNS=str(columns))
            check(code == 0 and plain == SGR.sub("", text), f"{name} {part} at {columns}: a file gets the same without colours")
        _, ascii_text, _ = piped("show", run, *part, "--ascii", COLUMNS="80")
        check(ascii_text.isascii(), f"{name} {part} --ascii is ASCII")
        check("SECRET" not in piped("show", run, *part)[1], f"{name} {part} is redacted")

run = RUNS["scores"]
for wish, text in {"--no-color": on_terminal("show", run, "--no-color"), "NO_COLOR": on_terminal("show", run, NO_COLOR="1"),
                   "TERM=dumb": on_terminal("show", run, TERM="dumb")}.items():
    check("\x1b" not in text, f"{wish} means no colours")
check(SGR.search(on_terminal("show", run, NO_COLOR="")), "an empty NO_COLOR means nothing")
check(widest(on_terminal("show", run, columns=120, COLUMNS="50")) <= 50, "COLUMNS comes before the terminal")
for columns in ("0", "-3", "wide", "99999999999999999999", ""):
    code, text, error = piped("show", run, COLUMNS=columns)
    check(code == 0 and widest(text) <= 100, f"COLUMNS={columns!r} is no width", error)

report = piped("report", run)[1]
check(report == piped("show", run)[1], "report prints what show shows")
out = root / "report.txt"
piped("report", run, "--out", out, COLUMNS="40")
check(out.read_text() == report, "a report in a file is 100 columns wide")
check(json.loads(piped("show", run, "--json")[1])["verdict"] == "non-specific", "--json is the summary")
check("SECRET prompt number 0" in piped("show", run, "--example", "item-0000", "--show-text")[1], "--show-text shows it")

for words, expected in [(["--rows", "--example", "0"], 2), (["--show-text"], 2), (["--rows", "--json"], 2), (["--example", "nobody"], 2)]:
    code, text, error = piped("show", run, *words)
    check(code == expected and not text and error.count("\n") == 1, f"show {words} is one line of error", (code, error))
check(piped("show", root / "absent")[0] == 5, "an absent run is an error of reading")

shutil.rmtree(root)
print(f"show_cli: {len(failures)} failures")
sys.exit(1 if failures else 0)
