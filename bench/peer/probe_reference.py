#!/usr/bin/env python3
"""The work of `rebound probe --task T` in PyTorch and scikit-learn, timed beside rebound's own run.

    probe_reference.py --model GGUF --sae DIR --data data/probes/T.jsonl --ours OUT/probe.json

activations  the layers below the SAE's site in float32, texts sorted by length, batches of 2048 tokens
pooling      max over the tokens that count: residual, codes, reconstruction, error
probes       dense L2 with 5-fold choice of C on three of them; k latents by class means and by an L1
             path (liblinear, as many steps as rebound took at most), refitted; AUROC, no intervals

--ours is what `rebound probe --out OUT` left. One JSON object is printed: seconds, tokens/s and
examples/s of both, their ratio, and the AUROCs of both.
"""
import argparse
import json
import pathlib
import time
import warnings

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import l1_min_c

KS, LAMBDAS, FOLDS, BATCH_TOKENS, PATH_STEPS, REFIT_C = (1, 2, 5, 10, 20, 50), (1, 10, 100, 1e3, 1e4), 5, 2048, 60, 1e3


class Seconds:
    """with seconds("pooling"): ... adds to seconds.spent["pooling"]."""
    def __init__(self):
        self.spent, self.name = {}, None

    def __call__(self, name):
        self.name = name
        return self

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *_):
        self.spent[self.name] = self.spent.get(self.name, 0) + time.perf_counter() - self.start


def load_model(path, layers):
    where = {"pretrained_model_name_or_path": path.resolve().parent, "gguf_file": path.resolve().name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32).model
    model.layers, model.norm = model.layers[:layers], torch.nn.Identity()
    return tokenizer, model.eval()


def activations(model, ids):
    order, kept, first = sorted(range(len(ids)), key=lambda i: -len(ids[i])), [None] * len(ids), 0
    while first < len(order):
        width = len(ids[order[first]])
        batch = order[first:first + max(1, BATCH_TOKENS // width)]
        padded = torch.tensor([ids[i] + [0] * (width - len(ids[i])) for i in batch])
        real = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in batch])
        resid = model(padded, attention_mask=real, use_cache=False).last_hidden_state
        for row, i in enumerate(batch):
            own = resid[row, :len(ids[i])]
            norm = own.norm(dim=-1)
            keep = norm <= 10 * norm.median()
            keep[0] = False
            kept[i] = own[keep]
        first += len(batch)
    return kept


def pool(kept, sae):
    out = {"dense": [], "code": [], "reconstruction": [], "error": []}
    for x in kept:
        pre = (x - sae["b_dec"] if sae["centre"] else x) @ sae["W_enc"] + sae["b_enc"]
        code = torch.relu(pre) * (pre > sae["threshold"])
        back = code @ sae["W_dec"] + sae["b_dec"]
        for name, value in (("dense", x), ("code", code), ("reconstruction", back), ("error", x - back)):
            out[name].append(value.amax(0))
    return {name: torch.stack(values).numpy() for name, values in out.items()}


def load_sae(folder):
    config = json.loads((folder / "cfg.json").read_text())
    sae = {name: value.float() for name, value in load_file(folder / "sae_weights.safetensors").items()}
    sae.setdefault("threshold", torch.zeros_like(sae["b_enc"]))
    sae["centre"] = config.get("apply_b_dec_to_input", True)
    hook = config.get("metadata", config)["hook_name"]
    return sae, int(hook.split(".")[1])


def dense(x, y, groups):
    def loss(c):
        total = 0
        for inside, outside in GroupKFold(FOLDS).split(x, y, groups):
            fit = LogisticRegression(C=c, max_iter=2000).fit(x[inside], y[inside])
            margin = fit.decision_function(x[outside]) * np.where(y[outside] == 1, 1, -1)
            total += np.logaddexp(0, -margin).sum()
        return total
    best = min((1 / value for value in LAMBDAS), key=loss)
    return LogisticRegression(C=best, max_iter=2000, tol=1e-7).fit(x, y)


def l1_order(x, y):
    model = LogisticRegression(solver="liblinear", l1_ratio=1.0, warm_start=True, intercept_scaling=100, max_iter=500)
    order = []
    for c in l1_min_c(x, y, loss="log") * np.logspace(0, 3, PATH_STEPS + 1)[1:]:
        weight = model.set_params(C=c).fit(x, y).coef_[0]
        fresh = [j for j in np.argsort(-abs(weight), kind="stable") if weight[j] and j not in order]
        order += fresh
        if np.count_nonzero(weight) >= max(KS):
            break
    return order


def probes(features, y, groups, is_train):
    areas = {}
    for name in ("dense", "reconstruction", "error"):
        scaler = StandardScaler().fit(features[name][is_train])
        x = scaler.transform(features[name])
        fit = dense(x[is_train], y[is_train], groups[is_train])
        areas[name] = roc_auc_score(y[~is_train], fit.decision_function(x[~is_train]))
    code, train = features["code"], features["code"][is_train]
    means = abs(train[y[is_train] == 1].mean(0) - train[y[is_train] == 0].mean(0))
    scaled = StandardScaler().fit_transform(train)
    orders = {"mean_difference": np.argsort(-means, kind="stable"), "l1": l1_order(scaled, y[is_train])}
    for selection, order in orders.items():
        for k in KS:
            columns = list(order[:k])
            x = StandardScaler().fit(train[:, columns]).transform(code[:, columns])
            fit = LogisticRegression(C=REFIT_C, max_iter=2000).fit(x[is_train], y[is_train])
            areas[f"sae {k} {selection}"] = roc_auc_score(y[~is_train], fit.decision_function(x[~is_train]))
    return areas


def compare(seconds, areas, tokens, texts, ours):
    mine = {}
    for row in ours["rows"]:
        if row["split"] == "test":
            mine[row["probe"] + (f" {row['k']} {row['selection']}" if row["k"] else "")] = row["auroc"]
    spent = ours["seconds"]
    return {
        "tokens": tokens, "texts": texts,
        "seconds": {"rebound": spent, "reference": seconds},
        "tokens_per_second": {"rebound": ours["tokens"] / spent["activations"], "reference": tokens / seconds["activations"]},
        "examples_per_second": {"rebound": texts / spent["probes"], "reference": texts / seconds["probes"]},
        "times_faster": {name: seconds[name] / spent[name] for name in seconds},
        "auroc_test": {name: {"rebound": mine.get(name), "reference": area} for name, area in areas.items()},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "sae", "data", "ours"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [json.loads(line) for line in args.data.read_text(encoding="utf-8").splitlines() if line]
    sae, layers = load_sae(args.sae)
    tokenizer, model = load_model(args.model, layers)
    ids = [[tokenizer.bos_token_id] + tokenizer(r["text"], add_special_tokens=False)["input_ids"] for r in rows]
    y, groups = np.array([r["label"] for r in rows]), np.array([r["group"] for r in rows])
    is_train = np.array([r["split"] == "train" for r in rows])
    seconds = Seconds()
    with torch.inference_mode():
        with seconds("activations"):
            kept = activations(model, ids)
        with seconds("pooling"):
            features = pool(kept, sae)
    with seconds("probes"):
        areas = probes(features, y, groups, is_train)
    result = compare(seconds.spent, areas, sum(map(len, ids)), len(rows), json.loads(args.ours.read_text()))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
