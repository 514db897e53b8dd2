"""rebound completions: the scripts parse in their shells, hold every flag of --help, and complete.

    completions_test.py PROGRAM

Shells that are not installed are named and left out.
"""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = str(Path(sys.argv[1]).resolve())
failures = []


def check(is_right, name, got=""):
    if not is_right:
        failures.append(name)
        print(f"FAILED: {name}: {got}", file=sys.stderr)


def output(*words, **options):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120, **options).stdout


def verbs_of(tree):
    yield tree
    for below in tree["verbs"]:
        yield from verbs_of(below)


TREE = json.loads(output(PROGRAM, "man", "--json"))
VERBS = list(verbs_of(TREE))
root = Path(tempfile.mkdtemp(prefix="rebound_completions_"))
scripts = {}
for shell in ("bash", "zsh", "fish"):
    scripts[shell] = root / f"rebound.{shell}"
    scripts[shell].write_text(output(PROGRAM, "completions", shell))


# ---- every flag of --help ------------------------------------------------------------------------

for verb in VERBS:
    help_text = output(PROGRAM, *verb["verb"].split(), "--help")
    flags = set(re.findall(r"^  (?:-[a-zA-Z],)?(--[a-z][a-z0-9-]*)", help_text, re.MULTILINE))
    check("--help" in flags, f"--help of {verb['verb']!r} is read", help_text)
    known = {name for flag in verb["flags"] for name in flag["names"]}
    check(flags <= known, f"man --json has the flags of {verb['verb']!r}", flags - known)
    for flag in flags:
        for shell, spelling in (("bash", flag), ("zsh", flag), ("fish", f"-l {flag[2:]}")):
            text = scripts[shell].read_text()
            check(re.search(re.escape(spelling) + r"(?![a-z0-9-])", text), f"{shell} has {verb['verb']} {flag}")
    for flag in verb["flags"]:
        for choice in flag["choices"]:
            for shell in scripts:
                check(choice in scripts[shell].read_text(), f"{shell} has {choice} of {verb['verb']} {flag['name']}")


# ---- the shells ----------------------------------------------------------------------------------

folder = root / "work"
(folder / "my runs").mkdir(parents=True)
(folder / "first.json").write_text("{}")

# What is typed, what must be offered, what must not.
CASES = [
    ("rebound ", {"audit", "show", "sae", "man"}, {"train", "--json"}),
    ("rebound sae tr", {"train"}, {"convert"}),
    ("rebound --threads 2 sae --quiet ", {"train", "eval", "convert"}, {"audit"}),
    ("rebound report --form", {"--format"}, {"--out"}),
    ("rebound report first.json --format ", {"terminal", "html", "csv"}, {"first.json"}),
    ("rebound audit re", {"refusal", "refusal-benign"}, {"ioi"}),
    ("rebound audit f", {"facts", "first.json"}, {"ioi"}),
    ("rebound audit --preset q", {"quick"}, {"full", "first.json"}),
    ("rebound audit --seed ", set(), {"first.json", "ioi"}),
    ("rebound show first.json --ro", {"--rows"}, {"--nanogcg"}),
    ("rebound doctor --devi", {"--device"}, {"--resume"}),
    ("rebound sae train --resume --ki", {"--kind"}, set()),  # a flag here, of audit it takes a value
    ("rebound completions ", {"bash", "zsh", "fish"}, {"first.json"}),
]


def missing(shell):
    if shutil.which(shell):
        return False
    print(f"skipped: {shell} is not installed")
    return True


def verify(shell, offers):
    for line, wanted, unwanted in CASES:
        offered = offers(line)
        check(wanted <= offered, f"{shell} offers {sorted(wanted)} for {line!r}", sorted(offered))
        check(not unwanted & offered, f"{shell} keeps {sorted(unwanted)} from {line!r}", sorted(offered))


def bash_offers(line):
    words = line.split(" ")
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rebound; printf "%s\\n" "${COMPREPLY[@]}"'
    # As bash cuts words: = stands alone.
    cut = [part for word in words for part in (re.split("(=)", word) if "=" in word else [word])]
    return set(output("bash", "--norc", "-c", script, "bash", str(scripts["bash"]), *cut, cwd=folder).splitlines()) - {""}


def fish_offers(line):
    script = f"source {scripts['fish']}; complete -C '{line}'"
    lines = output("fish", "--no-config", "-c", script, cwd=folder, env={**os.environ, "HOME": str(root)}).splitlines()
    return {each.split("\t")[0] for each in lines}


ZSH_START = """
PS1='' ; unsetopt zle_bracketed_paste prompt_cr prompt_sp 2>/dev/null
autoload -Uz compinit && compinit -u -D
source {script}
cd {folder}
zstyle ':completion:*' list-prompt ''
zstyle ':completion:*' menu no
LISTMAX=10000; setopt no_list_ambiguous
echo REA''DY
"""


class Stillness:
    """True once the shell has waited for keys, without a child, at four looks one after the other."""

    def __init__(self, pid):
        self.stat, self.children = Path(f"/proc/{pid}/stat"), Path(f"/proc/{pid}/task/{pid}/children")
        self.looks, self.before = 0, None

    def __call__(self):
        state, *rest = self.stat.read_text().rpartition(")")[2].split()
        worked = rest[10:12]  # user and system time
        is_waiting = state == "S" and not self.children.read_text() and worked == self.before
        self.looks, self.before = self.looks + 1 if is_waiting else 0, worked
        return self.looks >= 4


def zsh_offers(line):
    """Types the line and Tab into a real zsh and reads what appears: first words of lines, descriptions left out."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="200", LINES="200", HOME=str(root))
        os.execvp("zsh", ["zsh", "-f", "-i"])
    seen = b""

    def read_until(is_enough, seconds):
        nonlocal seen
        end = time.time() + seconds
        while time.time() < end and not is_enough():
            if select.select([terminal], [], [], 0.05)[0]:
                try:
                    seen += os.read(terminal, 65536)
                except OSError:
                    return

    os.write(terminal, ZSH_START.format(script=scripts["zsh"], folder=folder).encode())
    read_until(lambda: b"READY\r" in seen, 60)
    read_until(Stillness(pid), 60)
    seen = b""
    os.write(terminal, line.encode() + b"\t")
    read_until(Stillness(pid), 60)
    os.write(terminal, b"\x15exit\n")  # clears the line first
    read_until(lambda: False, 60)
    os.close(terminal)
    os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", seen.decode(errors="replace"))
    text = re.sub(r" -- [^\r\n]*", "", text)
    typed = set(line.split())
    return set(re.findall(r"[A-Za-z0-9_.-]+", text)) - typed


if not missing("bash"):
    output("bash", "-n", str(scripts["bash"]))
    verify("bash", bash_offers)
    check(bash_offers("rebound report --format=ht") == {"html"}, "bash completes behind =", bash_offers("rebound report --format=ht"))
    check("my runs" in bash_offers("rebound show my"), "bash completes folders with spaces", bash_offers("rebound show my"))
if not missing("fish"):
    output("fish", "--no-execute", str(scripts["fish"]))
    verify("fish", fish_offers)
    described = output("fish", "--no-config", "-c", f"source {scripts['fish']}; complete -C 'rebound show --asc'",
                       env={**os.environ, "HOME": str(root)})
    check("Bars and signs of ASCII alone" in described, "fish says what a flag does", described)
if not missing("zsh"):
    output("zsh", "-n", str(scripts["zsh"]))
    verify("zsh", zsh_offers)

shutil.rmtree(root)
print(f"completions: {len(VERBS)} verbs, {len(failures)} failures")
sys.exit(1 if failures else 0)
