#!/usr/bin/env python3
"""Writes tests/stats/golden/logistic_regression.json: scikit-learn's coefficients on three real tasks.

    python tools/golden/probe_logistic.py models/SmolLM2-135M-Instruct.Q4_1.gguf

Needs torch, transformers, gguf and scikit-learn. Features: mean over tokens of the residual stream
before layer 12, the 16 directions of largest variance, each scaled to variance 1, rounded to 3
decimals; 100 examples a task, half of each class. scikit-learn fits the rounded values, with
solvers run until they no longer move: lbfgs for L2, saga for L1 (neither penalises the intercept).
"""
import json
import pathlib
import sys
import warnings

import numpy as np
import sklearn
import torch
import transformers
from sklearn.linear_model import LogisticRegression

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/stats/golden/logistic_regression.json"
TASKS, PER_CLASS, DIRECTIONS, LAYER = ("person_is_male", "movie_sentiment", "is_question"), 50, 16, 12
L2_C, L1_C = (1.0, 0.05), (0.5, 0.1)


def examples(task):
    rows = [json.loads(line) for line in (ROOT / f"data/probes/{task}.jsonl").read_text().splitlines()]
    kept = []
    for label in (0, 1):
        kept += [r for r in rows if r["label"] == label and r["split"] == "train"][:PER_CLASS]
    return [r["text"] for r in kept], [r["label"] for r in kept]


def load(path):
    where = {"pretrained_model_name_or_path": path.resolve().parent, "gguf_file": path.resolve().name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).model
    model.layers, model.norm = model.layers[:LAYER], torch.nn.Identity()
    return tokenizer, model.eval()


def features(tokenizer, model, texts):
    pooled = []
    with torch.inference_mode():
        for text in texts:
            ids = [tokenizer.bos_token_id] + tokenizer(text, add_special_tokens=False)["input_ids"]
            resid = model(torch.tensor([ids]), use_cache=False).last_hidden_state[0, 1:]
            pooled.append(resid.double().mean(0).numpy())
    x = np.stack(pooled)
    x -= x.mean(0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    x = (u * s)[:, :DIRECTIONS]
    return np.round(x / x.std(0), 3)


def fit(x, y, penalty, c):
    if penalty == "l2":
        model = LogisticRegression(C=c, solver="lbfgs", tol=1e-12, max_iter=100_000)
    else:
        model = LogisticRegression(C=c, l1_ratio=1.0, solver="saga", tol=1e-13, max_iter=1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y)
    return {"penalty": penalty, "c": c, "weight": model.coef_[0].tolist(), "intercept": model.intercept_[0]}


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    tokenizer, model = load(pathlib.Path(sys.argv[1]))
    tasks = []
    for task in TASKS:
        texts, labels = examples(task)
        x, y = features(tokenizer, model, texts), np.array(labels)
        fits = [fit(x, y, "l2", c) for c in L2_C] + [fit(x, y, "l1", c) for c in L1_C]
        tasks.append({"task": task, "x": x.astype(np.float32).round(3).astype(float).round(3).tolist(),
                      "y": labels, "fits": fits})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(json.dumps(task, separators=(",", ":")) for task in tasks)
    OUT.write_text(f'{{"sklearn":"{sklearn.__version__}","tasks":[\n{body}\n]}}\n', encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
