#!/usr/bin/env python3
"""Writes data/probes/**/*.jsonl from the probe and prompt files of a shared data folder.

    python data/probes/make_probes.py SHARED_DATA

SHARED_DATA holds probes/, prompts/{harmless,oasst_eval}.jsonl and xstest/prompts.jsonl; sources and
licences are in data/NOTICES.md. Deterministic: rows keep their ids; which ones stay follows from a
hash of task and id, equally many of each class; whole groups stay in their split.
"""
import hashlib
import json
import pathlib
import sys

OUT = pathlib.Path(__file__).resolve().parent
TASKS = ("person_is_male person_is_politician person_is_american place_in_us us_place_pacific_time "
         "title_is_book athlete_is_basketball movie_sentiment justice_reasonable commonsense_true "
         "qualitative_choice truthful_answer subjective product_pro_or_con is_question "
         "language_is_romance").split()
CLASS_TASKS = "wikitext_topic_6 athlete_sport_3".split()  # several classes, copied whole
PER_CLASS = {"train": 200, "test": 100}
LONGEST_PROMPT = 200  # characters
HARMLESS = {"train": 150, "test": 144}
OTHER_HARMLESS = 200


def rows_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write(name, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (OUT / f"{name}.jsonl").write_text(text, encoding="utf-8")
    print(f"{name}.jsonl: {len(rows)} rows, {len(text.encode())} bytes")


def drawn(task, rows, count):
    """`count` rows by hash of their ids, in their order."""
    def key(row):
        return hashlib.sha256(f"{task} {row['id']}".encode()).digest()
    kept = {row["id"] for row in sorted(rows, key=key)[:count]}
    return [row for row in rows if row["id"] in kept]


def probe_task(shared, task):
    rows, chosen = rows_of(shared / f"probes/{task}.jsonl"), []
    for split, count in PER_CLASS.items():
        for label in (0, 1):
            chosen += drawn(task, [r for r in rows if (r["split"], r["label"]) == (split, label)], count)
    return [{**row, "group": str(row["group"])} for row in chosen]


def request(row, text, source, split, group):
    return {"id": row["id"], "text": text, "label": 0, "source": source, "split": split, "group": group}


def is_plain(text):
    return len(text) <= LONGEST_PROMPT and "\n" not in text and text.isascii()


def harmless_imperatives(shared):
    """Dolly imperatives that data/refusal/harmless.jsonl does not have."""
    taken = {r["id"] for r in rows_of(OUT.parent / "refusal/harmless.jsonl")}
    clusters = {r["cluster"] for r in rows_of(OUT.parent / "refusal/harmless.jsonl")}
    left, chosen = dict(HARMLESS), []
    for r in rows_of(shared / "prompts/harmless.jsonl"):
        split = "train" if r["split"] == "train" else "test"
        if (r["source"], r["form"]) != ("dolly", "imperative") or not left[split]:
            continue
        if r["id"] in taken or r["cluster"] in clusters or not is_plain(r["prompt"]):
            continue
        left[split] -= 1
        clusters.add(r["cluster"])
        chosen.append(request(r, r["prompt"], "dolly", split, f"dolly-{r['cluster']}"))
    return chosen


def harmless_other(shared):
    """Requests from people of two other collections, without those that a word list marks."""
    self_instruct = [request(r, r["prompt"], "self-instruct", "ood", f"self-instruct-{r['cluster']}")
                     for r in rows_of(shared / "prompts/harmless.jsonl")
                     if r["source"] == "self-instruct" and is_plain(r["prompt"])]
    people = [request(r, r["prompt"], "oasst", "ood", r["id"])
              for r in rows_of(shared / "prompts/oasst_eval.jsonl")
              if not r["sensitive"] and is_plain(r["prompt"])]
    return self_instruct + drawn("harmless_other", people, OTHER_HARMLESS - len(self_instruct))


def xstest_unsafe(shared):
    return [{**request(r, r["prompt"], "xstest", "hard", r["id"]), "label": 1}
            for r in rows_of(shared / "xstest/prompts.jsonl") if r["label"] == "unsafe"]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    shared = pathlib.Path(sys.argv[1])
    for task in TASKS:
        write(task, probe_task(shared, task))
    (OUT / "classes").mkdir(exist_ok=True)
    for task in CLASS_TASKS:
        write(f"classes/{task}", rows_of(shared / f"probes/{task}.jsonl"))
    folder = OUT / "harmful_intent"
    folder.mkdir(exist_ok=True)
    for make in (harmless_imperatives, harmless_other, xstest_unsafe):
        write(f"harmful_intent/{make.__name__}", make(shared))


if __name__ == "__main__":
    main()
