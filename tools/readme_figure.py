#!/usr/bin/env python3
"""Draws the figure of the README out of a finished run's report.html, with headless Chromium.

    tools/readme_figure.py RUN/report.html docs/figures/recovery_versus_drift.svg
"""
import os
import re
import subprocess
import sys
import tempfile


def main(report, target):
    with tempfile.TemporaryDirectory() as profile:
        page = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
             "--window-size=1100,2600", "--virtual-time-budget=5000", "--dump-dom", report],
            check=True, capture_output=True, text=True).stdout
    svg = re.search(r"<svg.*?</svg>", page, re.DOTALL)
    if not svg:
        sys.exit(f"{report}: no figure in it")
    text = svg.group(0)
    if "xmlns=" not in text:
        text = text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    head, rest = text.split(">", 1)
    background = '<rect width="100%" height="100%" fill="white"/>'
    with open(target, "w", encoding="utf-8") as out:
        out.write(f"{head}>{background}{rest}\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main("file://" + os.path.abspath(sys.argv[1]), sys.argv[2])
