"""rebound man: every page has the flags of --help, and groff and mandoc have nothing to say.

    man_pages_test.py PROGRAM

Checkers that are not installed are named and left out.
"""
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = str(Path(sys.argv[1]).resolve())
failures = []


def check(is_right, name, got=""):
    if not is_right:
        failures.append(name)
        print(f"FAILED: {name}: {got}", file=sys.stderr)


def output(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout


def verbs_of(tree):
    yield tree
    for below in tree["verbs"]:
        yield from verbs_of(below)


def plain(roff):
    return re.sub(r"\\f[BIR]", "", roff).replace("\\-", "-").replace("\\(aq", "'").replace("\\&", "").replace("\\e", "\\")


root = Path(tempfile.mkdtemp(prefix="rebound_man_"))
output(PROGRAM, "man", "--quiet", "--dir", str(root / "man1"))
verbs = list(verbs_of(json.loads(output(PROGRAM, "man", "--json"))))
pages = {verb["verb"]: root / "man1" / ("-".join(["rebound", *verb["verb"].split()]) + ".1") for verb in verbs}
check(set(pages.values()) == set((root / "man1").iterdir()), "one page a verb", list((root / "man1").iterdir()))

for verb in verbs:
    text = pages[verb["verb"]].read_text()
    check(text == output(PROGRAM, "man", *verb["verb"].split()), f"man {verb['verb']} prints the page of --dir")
    check("\n\n" not in text, f"no blank line in the page of {verb['verb']!r}")
    sections = re.findall(r'^\.SH "?([^"\n]*)', text, re.MULTILINE)
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"):
        check(section in sections, f"{verb['verb']!r} has {section}", sections)
    help_text, page = output(PROGRAM, *verb["verb"].split(), "--help"), plain(text)
    for flag in re.findall(r"^  (?:-[a-zA-Z],)?(--[a-z][a-z0-9-]*)", help_text, re.MULTILINE):
        check(flag in page, f"the page of {verb['verb']!r} has {flag}")
    for flag in verb["flags"]:
        check(flag["description"].rstrip(".") in page, f"the page of {verb['verb']!r} says what {flag['name']} is")

for name, command in {"groff": ["groff", "-man", "-Tutf8", "-ww", "-z"], "mandoc": ["mandoc", "-Tlint", "-W", "warning"]}.items():
    if not shutil.which(name):
        print(f"skipped: {name} is not installed")
        continue
    for verb, page in pages.items():
        done = subprocess.run([*command, str(page)], capture_output=True, text=True, timeout=60)
        said = "".join(line for line in (done.stdout + done.stderr).splitlines(True) if "missing date" not in line)
        check(not said, f"{name} about the page of {verb!r}", said)

shutil.rmtree(root)
print(f"man_pages: {len(pages)} pages, {len(failures)} failures")
sys.exit(1 if failures else 0)
