#!/usr/bin/env python3
"""Writes data/refusal/*.jsonl from the prompt files of a shared data folder.

    python data/refusal/make_requests.py SHARED_DATA

SHARED_DATA holds prompts/{harmful,harmbench,harmless}.jsonl and xstest/prompts.jsonl; sources and
licences are in data/NOTICES.md. Deterministic: rows keep their ids and order, whole clusters go to
one split, nothing is drawn at random.
"""
import hashlib
import json
import pathlib
import sys

OUT = pathlib.Path(__file__).resolve().parent
HARMLESS = {"train": 300, "test": 200}  # half imperatives, half questions
LONGEST_HARMLESS = 200                  # characters


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (OUT / f"{name}.jsonl").write_text(text, encoding="utf-8")
    print(f"{name}.jsonl: {len(rows)} rows, {len(text.encode())} bytes")


def request(source, text, category, split, cluster, harmful):
    return {"id": source["id"], "text": text, "category": category, "split": split,
            "cluster": cluster, "harmful": harmful}


def split_of_cluster(cluster):
    """40 % of the clusters are for training."""
    return "train" if hashlib.sha256(f"advbench {cluster}".encode()).digest()[0] < 102 else "test"


def advbench(shared):
    return [request(r, r["goal"], "minors" if "minors" in r["flags"] else "instruction",
                    split_of_cluster(r["cluster"]), r["cluster"], True)
            for r in rows_of(shared / "prompts/harmful.jsonl")]


def harmbench(shared):
    return [request(r, r["behaviour"], r["category"], r["split"], r["cluster"], True)
            for r in rows_of(shared / "prompts/harmbench.jsonl")
            if r["functional_category"] == "standard" and not r["has_context"]]


def harmless(shared):
    """Of databricks-dolly alone: the first of each cluster, split and form, one line, not long."""
    left = {(split, form): count // 2 for split, count in HARMLESS.items()
            for form in ("imperative", "question")}
    chosen, clusters = [], set()
    for r in rows_of(shared / "prompts/harmless.jsonl"):
        key = (r["split"], r["form"])
        text = r["prompt"]
        if r["source"] != "dolly" or left.get(key, 0) == 0 or r["cluster"] in clusters:
            continue
        if len(text) > LONGEST_HARMLESS or "\n" in text:
            continue
        left[key] -= 1
        clusters.add(r["cluster"])
        chosen.append(request(r, text, r["form"], r["split"], r["cluster"], False))
    assert not any(left.values()), f"too few rows: {left}"
    return chosen


def xstest_safe(shared):
    """Even numbers for training (also of the detector's phrases), odd ones for testing."""
    chosen = []
    for r in rows_of(shared / "xstest/prompts.jsonl"):
        number = int(r["id"].rsplit("-", 1)[1])
        if r["label"] == "safe":
            chosen.append(request(r, r["prompt"], r["type"], "test" if number % 2 else "train",
                                  number, False))
    return chosen


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shared = pathlib.Path(sys.argv[1])
    for make in (advbench, harmbench, harmless, xstest_safe):
        write(make.__name__, make(shared))


if __name__ == "__main__":
    main()
