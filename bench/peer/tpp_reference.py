#!/usr/bin/env python3
"""The figures of `rebound tpp` once more, in plain PyTorch and scikit-learn, beside rebound's own.

    tpp_reference.py --model GGUF --sae DIR --data data/probes/classes/T.jsonl --ours OUT/tpp.json

--ours is what `rebound tpp --task T --texts N --l2 L --out OUT` left. The texts that stand against a class are
drawn by rebound's generator, written out here. One JSON object is printed: the largest difference of the effects
of ablated features (relative to the class's largest effect), of TPP and of accuracies, whether the same
features are ablated, and the seconds of both halves. Exit code 1 where a difference exceeds 1e-4.
"""
import argparse
import collections
import json
import pathlib
import sys
import time
import warnings

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from probe_reference import activations, load_model, load_sae

MASK, GOLDEN, REST_STREAM, TRAIN, TEST = (1 << 64) - 1, 0x9e3779b97f4a7c15, 43, 0, 1
CONTEXT, TOLERANCE = 128, 1e-4


def mix(z):
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9 & MASK
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb & MASK
    return z ^ (z >> 31)


class Rng:
    """base/rng.h"""
    def __init__(self, keys):
        self.state = 0
        for key in keys:
            self.state = mix((self.state + GOLDEN + mix((key + GOLDEN) & MASK)) & MASK)

    def below(self, bound):
        limit = MASK - MASK % bound
        while True:
            self.state = (self.state + GOLDEN) & MASK
            draw = mix(self.state)
            if draw < limit:
                return draw % bound

    def shuffle(self, items):
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]


def read_texts(path, most):
    """The rows that `rebound tpp` keeps: no leaks, no copies, the first `most` of each class in each split."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    train_groups = {row["group"] for row in rows if row["split"] == "train"}
    seen, taken, kept = set(), collections.Counter(), []
    for row in rows:
        if (row["split"] == "test" and row["group"] in train_groups) or row["text"] in seen:
            continue
        seen.add(row["text"])
        taken[row["label"], row["split"]] += 1
        if not most or taken[row["label"], row["split"]] <= most:
            kept.append(row)
    return kept


def against_rest(rows, labels, which, split, seed):
    def places(label):
        name = "train" if split == TRAIN else "test"
        return [i for i, row in enumerate(rows) if row["label"] == label and row["split"] == name]

    own, others = places(labels[which]), len(labels) - 1
    share, rest = -(-len(own) // others), []
    rng = Rng([seed, REST_STREAM, which, split])
    for other in range(len(labels)):
        if other != which:
            one = places(labels[other])
            rng.shuffle(one)
            rest += one[:share]
    rng.shuffle(rest)
    rest = rest[:len(own)]
    return np.array(own + rest), np.array([1] * len(own) + [0] * len(rest))


def fit(x, y, penalty):
    scaler = StandardScaler().fit(x)
    found = LogisticRegression(C=1 / penalty, max_iter=5000, tol=1e-9).fit(scaler.transform(x), y)
    weight = found.coef_[0] / scaler.scale_
    return weight, found.intercept_[0] - weight @ scaler.mean_


def codes_of(x, sae):
    pre = (x - sae["b_dec"] if sae["centre"] else x) @ sae["W_enc"] + sae["b_enc"]
    return torch.relu(pre) * (pre > sae["threshold"])


def accuracy(probe, x, texts):
    weight, intercept = probe
    places, y = texts
    return float((((x[places] @ weight + intercept) > 0) == (y == 1)).mean())


def measure(resid, code, sae, rows, ours):
    labels = sorted({row["label"] for row in rows})
    decoder = sae["W_dec"].double().numpy()
    probes, tests, effects = [], [], []
    names = {row["label"]: row.get("label_name", str(row["label"])) for row in rows}
    for which, label in enumerate(labels):
        places, y = against_rest(rows, labels, which, TRAIN, 0)
        probes.append(fit(resid[places], y, ours["lambda"][names[label]]))
        tests.append(against_rest(rows, labels, which, TEST, 0))
        difference = code[places][y == 1].mean(0) - code[places][y == 0].mean(0)
        effects.append(np.maximum(difference, 0) * (decoder @ probes[-1][0]))
    found = {}
    for which, label in enumerate(labels):
        order = [j for j in np.argsort(-effects[which], kind="stable") if effects[which][j] != 0]
        for n in {row["n"] for row in ours["rows"]}:
            chosen = order[:n]
            ablated = resid - code[:, chosen] @ decoder[chosen]
            drops = [accuracy(p, resid, t) - accuracy(p, ablated, t) for p, t in zip(probes, tests)]
            others = [drop for i, drop in enumerate(drops) if i != which]
            found[names[label], n] = {"features": [int(j) for j in chosen], "effects": effects[which][chosen],
                                      "tpp": drops[which] - sum(others) / len(others),
                                      "accuracy": accuracy(probes[which], resid, tests[which])}
    return found


def compare(found, ours):
    worst = {"effects": 0.0, "tpp": 0.0, "accuracy": 0.0}
    same = total = 0
    for row in ours["rows"]:
        mine = found[row["class"], row["n"]]
        by_feature = dict(zip(mine["features"], mine["effects"]))
        scale = max(abs(mine["effects"]).max(), 1e-30)
        for feature, effect in zip(row["features"], row["effects"]):
            total += 1
            if feature in by_feature:
                same += 1
                worst["effects"] = max(worst["effects"], abs(by_feature[feature] - effect) / scale)
        for key in ("tpp", "accuracy"):
            worst[key] = max(worst[key], abs(mine[key] - row[key]))
    return worst, same, total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "sae", "data", "ours"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    ours = json.loads(args.ours.read_text(encoding="utf-8"))
    most = max(count for texts in ours["texts"].values() for count in texts.values())
    rows = read_texts(args.data, most)
    sae, layers = load_sae(args.sae)
    tokenizer, model = load_model(args.model, layers)
    ids = []
    for row in rows:
        text = [tokenizer.bos_token_id] + tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        ids.append(text if len(text) <= CONTEXT else text[:1] + text[1 - CONTEXT:])
    seconds, start = {}, time.perf_counter()
    with torch.inference_mode():
        kept = activations(model, ids)
        seconds["activations"], start = time.perf_counter() - start, time.perf_counter()
        resid = torch.stack([x.double().mean(0) for x in kept]).numpy()
        code = torch.stack([codes_of(x, sae).double().mean(0) for x in kept]).numpy()
    worst, same, total = compare(measure(resid, code, sae, rows, ours), ours)
    seconds["tpp"] = time.perf_counter() - start
    print(json.dumps({"task": ours["task"], "texts": len(rows), "largest_difference": worst,
                      "same_features": [same, total], "seconds": seconds}, indent=1))
    sys.exit(int(max(worst.values()) > TOLERANCE))


if __name__ == "__main__":
    main()
