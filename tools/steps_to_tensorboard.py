#!/usr/bin/env python3
"""Turns the steps of a traced run into TensorBoard event files, which W&B reads, too.

    rebound audit ioi --trace --out runs/first
    rebound report runs/first --format jsonl --table steps --out steps.jsonl
    steps_to_tensorboard.py steps.jsonl logs/        # then: tensorboard --logdir logs
                                                     # or:   wandb sync logs

One log folder a row of the audit, scalars objective, drift_pre and norm: their mean over the prompts
that have the step, and with --prompts each prompt's own. Needs tensorboardX (pip install tensorboardX).
"""
import argparse
import collections
import json
import pathlib
import sys

FIGURES = ("objective", "drift_pre", "norm")


def read_steps(path):
    """{row: {step: {prompt: {figure: value}}}} of the lines of `rebound report --table steps`."""
    rows = collections.defaultdict(lambda: collections.defaultdict(dict))
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                step = json.loads(line)
                figures = {name: step[name] for name in FIGURES if step[name] is not None}
                rows[step["row"]][step["step"]][step["prompt"]] = figures
            except (ValueError, KeyError, TypeError):
                sys.exit(f"{path}:{number}: got {line.strip()[:80]!r}, expected a line of --table steps --format jsonl")
    return rows


def means(prompts):
    values = {name: [figures[name] for figures in prompts.values() if name in figures] for name in FIGURES}
    return {name: sum(of) / len(of) for name, of in values.items() if of}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", help="JSON lines of --table steps")
    parser.add_argument("logs", help="folder for the event files")
    parser.add_argument("--prompts", action="store_true", help="each prompt's own scalars, too")
    options = parser.parse_args()
    rows = read_steps(options.steps)
    if not rows:
        sys.exit(f"{options.steps}: got no steps, expected those of a run made with rebound audit --trace")
    from tensorboardX import SummaryWriter

    for row, steps in rows.items():
        with SummaryWriter(str(pathlib.Path(options.logs) / row.replace("/", "."))) as writer:
            for step, prompts in sorted(steps.items()):
                for name, value in means(prompts).items():
                    writer.add_scalar(name, value, step)
                if options.prompts:
                    for prompt, figures in sorted(prompts.items()):
                        for name, value in figures.items():
                            writer.add_scalar(f"prompt_{prompt}/{name}", value, step)


if __name__ == "__main__":
    main()
