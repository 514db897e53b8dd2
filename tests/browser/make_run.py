#!/usr/bin/env python3
"""Writes a run folder of any size with plausible figures, for tests of the report page.

    make_run.py FOLDER [--examples N] [--answers] [--hostile]

What `rebound report` reads (docs/summary.md): spec.json, summary.json, run.sqlite. Half of the
examples are valid flips. Texts hold the word SECRET, so that a test can look for it. --hostile puts
markup into every name. Same arguments, same folder.
"""
import argparse
import json
import pathlib
import random
import sqlite3
import struct

SCHEMA = """
PRAGMA user_version = 1;
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE examples(prompt INTEGER PRIMARY KEY, id TEXT, text TEXT, ids TEXT, correct TEXT, wrong TEXT,
                      base_score REAL, defended_score REAL, is_valid INTEGER, split TEXT, extra TEXT);
CREATE TABLE results(row TEXT, prompt INTEGER, variant TEXT, batch INTEGER, recovered INTEGER, score REAL,
                     recheck_score REAL, steps INTEGER, seconds REAL, termination TEXT, figures TEXT);
CREATE TABLE batches(row TEXT, batch INTEGER);
CREATE TABLE artefacts(name TEXT PRIMARY KEY, blob BLOB);
CREATE TABLE trace(prompt INTEGER, row TEXT, step INTEGER, objective REAL, drift_pre REAL, norm REAL);
"""
EVIL = "</script><img src=x onerror=alert(1)>\"'&"


def attack_rows(answers):
    if answers:
        return [("forward_projection", "answer", "per_prompt", 40), ("none", "answer", "per_prompt", 40)]
    exact = [("encoder_decoder", "logit_diff", "per_prompt", 20), ("encoder", "logit_diff", "per_prompt", 20),
             ("encoder_decoder", "match_base", "per_prompt", 20)]
    free = [("penalty", "logit_diff", "per_prompt", 20), ("none", "logit_diff", "per_prompt", 20)]
    return exact + free + [("encoder_decoder", "minimal_budget", "per_prompt", 20)]


def summary_row(name, constraint, objective, scope, budget, hits, n, drift, control=None, target=None):
    rate = hits / max(n, 1)
    row = {"name": name, "objective": objective, "constraint": constraint, "threat_model": "after_clamp", "scope": scope,
           "control": control, "target": target, "budget": budget, "n_valid": n, "recovered": hits, "rate": rate,
           "ci_low": max(0.0, rate - 0.06), "ci_high": min(1.0, rate + 0.06), "drift_pre_rel": drift, "norm_mean": budget * 0.9,
           "seconds_per_prompt": 0.5, "rechecked_float32": n, "disagreements_float32": 0}
    for key in ("drift_pre_l2", "drift_post_l2", "drift_post_rel", "reactivated_fraction", "zero_reactivation",
                "norm_rel_mean", "kl_to_base"):
        row[key] = None if objective == "minimal_budget" else 0.1
    return row


class Run:
    def __init__(self, options):
        self.options, self.random = options, random.Random(7)
        self.mark = EVIL if options.hostile else ""
        self.flips = [i for i in range(options.examples) if i % 2 == 0]
        self.results, self.rows, self.trace = [], [], []

    def example(self, i):
        extra = {"cluster": i % 50}
        if self.options.answers:
            flip = "refused" if i % 2 == 0 else "none"
            extra = {"flip": flip, "category": "instruction", "base": {"verdict": "on_topic"}, "defended": {"verdict": "refused"}}
        text = "" if self.options.answers else f"SECRET prompt number {i}{self.mark} says what comes next to"
        base, defended = round(self.random.uniform(0.5, 8), 6), round(self.random.uniform(-4, -0.01), 6)
        return (i, f"item-{i:04d}{self.mark}", text, json.dumps([11, 12, 13, 900 + i]), " SECRETright", " SECRETwrong", base,
                defended if i % 2 == 0 else base, int(i % 2 == 0), "test", json.dumps(extra))

    def figures(self, objective, exact):
        if objective == "minimal_budget":
            gap = round(self.random.uniform(0.1, 4), 5)
            found = self.random.random() > 0.05
            return found, {"gap": gap, "minimal_budget": round(gap * self.random.uniform(1, 3), 5) if found else None}
        drift = self.random.uniform(1e-7, 6e-7) if exact else self.random.uniform(0.05, 0.3)
        figures = {"drift_pre_rel": drift, "drift_pre_linf": drift * 20, "drift_pre_l2": drift * 30, "drift_post_rel": drift,
                   "kl_to_base": self.random.uniform(0.1, 3), "norm": 20.0, "norm_rel": 0.18, "constraint_violation": drift / 10}
        if self.options.answers:
            figures |= {"verdict": "on_topic", "answer": {"opening": "other", "characters": 300, "sha256": "00"}}
        return self.random.random() > 0.2, figures

    def add_row(self, constraint, objective, scope, budget, control=None, target=None, variants=("",)):
        name = f"{control + '/' if control else ''}{constraint}/{objective}/{scope}@{budget}"
        if target:
            name += "/" + target
        name += self.mark
        exact = constraint not in ("none", "penalty")
        hits = 0
        for prompt in self.flips:
            for variant in variants:
                won, figures = self.figures(objective, exact)
                won = won and (control != "random" or self.random.random() < 0.1)
                hits += won
                score = self.random.uniform(0.1, 30) if won else self.random.uniform(-3, -0.1)
                self.results.append((name, prompt, variant, 0, int(won), score, None if control else score, 40, 0.5,
                                     "goal" if won else "max_steps", json.dumps(figures)))
        drift = None if objective == "minimal_budget" else 3e-7 if exact else 0.12 if constraint == "penalty" else 0.27
        self.rows.append(summary_row(name, constraint, objective, scope, budget, hits, len(self.flips) * len(variants), drift,
                                     control, target))
        return name

    def summary(self, headline):
        counts = lambda hits: {"recovered": hits, "n": len(self.flips)}
        n = len(self.flips)
        parts = [{"name": name, "replay": counts(int(n * a)), "knock_out": counts(int(n * b)), "norm_matched_replay": counts(int(n * c)),
                  "shapley_share": s} for name, a, b, c, s in (("clamped features", 0, 1, 0.03, 0.0), ("other features", 0.3, 0.7, 0.2, 0.46),
                                                              ("outside the dictionary", 0.7, 0.3, 0.5, 0.54))]
        return {"behaviour": "made" + self.mark, "model": "made-model" + self.mark, "sae": "blocks.12.hook_resid_pre" + self.mark,
                "defence": {"site": "blocks.12.hook_resid_pre", "n_features": 64}, "n_prompts": self.options.examples, "n_valid": n,
                "verdict": "non-specific",
                "verdict_text": f"With the defence on, {headline} brings the behaviour back on most valid flips, above random directions "
                                "of the same norm by 0.71 [0.68, 0.74]. Per nat of gap, injecting another answer costs 0.98 [0.93, 1.04] "
                                "times what recovery costs.",
                "rows": self.rows, "headline": {"row": headline, "above_random": {"value": 0.71, "ci_low": 0.68, "ci_high": 0.74},
                                                "specificity_per_nat": {"value": 0.98, "ci_low": 0.93, "ci_high": 1.04}},
                "controls": {"utility": {"ce_base": 3.607, "ce_defended": 3.811, "kl_to_base": 0.215, "top1_agreement": 0.76,
                                         "text": "data/text/heldout.txt.gz"}},
                "attribution": {"main_route": "outside the dictionary", "parts": parts, "random_same_norm": counts(n // 20)},
                "environment": {"rebound": "0.1.0 (abc1234)", "seed": 0, "threads": 2, "model_sha256": "0" * 64}}

    def write(self):
        folder = pathlib.Path(self.options.folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = [self.add_row(*row) for row in attack_rows(self.options.answers)]
        draws = tuple(f"draw {d}" for d in range(4))
        self.add_row(*attack_rows(self.options.answers)[0][:4], control="random", variants=draws)
        if not self.options.answers:
            self.add_row("encoder_decoder", "minimal_budget", "per_prompt", 20, control="inject", target="unrelated",
                         variants=("0: SECRETtarget", "1: SECRETother"))
            for budget in (2, 5, 10):
                self.add_row("encoder_decoder", "logit_diff", "shared", budget)
        traced = [(prompt, names[0], step, 4 - 0.1 * step, 1e-7 * step, 0.5 * step) for prompt in self.flips[:20] for step in range(40)]
        # [batch, 3 positions, 2]: norms 5, 1 and 0 at each prompt
        values = [3.0, 4.0, 1.0, 0.0, 0.0, 0.0] * len(self.flips)
        delta = struct.pack("<3q", len(self.flips), 3, 2) + struct.pack(f"<{len(values)}f", *values)
        store = folder / "run.sqlite"
        store.unlink(missing_ok=True)
        with sqlite3.connect(store) as database:
            database.executescript(SCHEMA)
            database.executemany("INSERT INTO examples VALUES (?,?,?,?,?,?,?,?,?,?,?)", map(self.example, range(self.options.examples)))
            database.executemany("INSERT INTO results VALUES (?,?,?,?,?,?,?,?,?,?,?)", self.results)
            database.execute("INSERT INTO batches SELECT DISTINCT row, batch FROM results")
            database.executemany("INSERT INTO trace VALUES (?,?,?,?,?,?)", traced)
            if not self.options.answers:
                database.execute("INSERT INTO artefacts VALUES (?,?)", (f"delta/{names[0]}/0", delta))
        database.close()
        (folder / "spec.json").write_text(json.dumps({"seed": 0, "model": "/SECRETfolder/model.gguf", "perturb": {"positions": "answer"}}))
        (folder / "summary.json").write_text(json.dumps(self.summary(names[0])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--answers", action="store_true")
    parser.add_argument("--hostile", action="store_true")
    Run(parser.parse_args()).write()


if __name__ == "__main__":
    main()
