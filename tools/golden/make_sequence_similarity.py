#!/usr/bin/env python3
"""Writes tests/behaviour/golden/sequence_similarity.json: figures of pairs of texts, from Python.

    python tools/golden/make_sequence_similarity.py

Needs nothing beyond Python's own library. Each pair has the ratio of difflib.SequenceMatcher(None, a, b)
on the first 2000 code points and the Jaccard index of the tokens; of `a` alone the ratio of distinct
tokens, the share of its most frequent character, and whether it opens with a negation or a repetition
(definitions: the released evaluation of arXiv 2606.18322, written anew). A text is stored as parts
[string, times], so that long repetitive ones stay short.
"""
import difflib
import json
import pathlib
import random
import re

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/behaviour/golden/sequence_similarity.json"
WORDS = ("river stone bread lamp garden window cloud seven yellow quiet measure the a of and to in is it was "
         "caf\u00e9 na\u00efve \u00fcber \u4e2d\u6587 \U0001f600 don't x1 42").split()


def prose(seed, words):
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(words)) + "."


def edited(text, seed, edits):
    rng, letters = random.Random(seed), list(text)
    for _ in range(edits):
        at = rng.randrange(len(letters))
        if rng.random() < 0.5:
            letters[at:at + rng.randrange(1, 6)] = []
        else:
            letters[at:at] = rng.choice(WORDS)
    return "".join(letters)


def one(text):
    return [[text, 1]]


def fixed_pairs():
    yield from ((one(a), one(b)) for a, b in [
        ("", ""), ("", "a"), ("a", ""), ("a", "a"), ("abcd", "bcde"), ("abxcd", "abcd"),
        ("private Thread", "private volatile Thread"), ("tide", "diet"), ("diet", "tide"),
        ("qabxcd", "abycdf"), ("Caf\u00e9 au lait", "Cafe\u0301 au lait"), ("\u4e2d\u6587\u5b57", "\u4e2d\u5b57\u6587"),
        ("\U0001f600\U0001f601\U0001f602", "\U0001f601\U0001f602\U0001f600"), (" \t\n\u00a0 ", "\u2003\n"),
        ("No. Never. None.", "not at all"), ("**Never** again", "never mind"), ("** no", "Nobody knows"),
        ("Nothing rhymes", "Notable"), ("no one knows", "no\u00e9"), ("no\u2019s", "nor"), ("Neither", "neither_"),
        ("la la la la song", "la la la song"), ("It is neither this nor that nor those nor them", "x"),
        ("say no and no, no: no", "yes"), ("DON'T don\u2019t \u212aelvin \u0130x", "don't kelvin ix"),
    ])


def long_pairs():
    # Around the length of 200 where autojunk begins, and texts made of popular characters only.
    for n in (199, 200, 201):
        yield [["ab", n // 2], ["c", n % 2]], [["ba", n // 2], ["c", n % 2]]
    yield [["a", 1500]], [["a", 1500]]
    yield [["a", 250], ["Z", 1], ["b", 250]], [["b", 100], ["Z", 1], ["a", 400]]
    yield [["the same words again. ", 110]], [["again the same words. ", 110]]
    yield [["no ", 900]], one(prose(3, 60))
    yield [["x", 2500], ["tail", 1]], [["x", 1999], ["tail", 1]]
    for seed, (words, edits) in enumerate([(12, 3), (30, 8), (34, 10), (60, 12), (120, 30), (300, 60), (380, 5)]):
        text = prose(seed, words)
        yield one(text), one(edited(text, seed + 100, edits))
    for seed, (left, right) in enumerate([(20, 25), (80, 35), (35, 80), (200, 220), (10, 300), (300, 10)]):
        yield one(prose(seed + 50, left)), one(prose(seed + 70, right))


def expanded(parts):
    return "".join(text * times for text, times in parts)


def tokens(text):
    return re.findall(r"[A-Za-z0-9_']+", text.lower())


def unique_ratio(text):
    found = tokens(text)
    return len(set(found)) / len(found) if found else 0.0


def character_ratio(text):
    visible = [c for c in text if not c.isspace()]
    return max(map(visible.count, set(visible))) / len(visible) if visible else 0.0


def opens_badly(text):
    opening = " ".join(text.lower().split())[:240].strip()
    if re.match(r"(\*+\s*)?(neither|nor|no|none|not|never|nobody)\b", opening):
        return True
    words = re.findall(r"[a-z']+", opening)
    runs = any(len(set(words[i:i + 4])) == 1 for i in range(len(words) - 3))
    return runs or words.count("nor") >= 3 or words.count("no") >= 4


def figures(a_parts, b_parts):
    a, b = expanded(a_parts), expanded(b_parts)
    left, right = set(tokens(a)), set(tokens(b))
    return {
        "a": a_parts, "b": b_parts,
        "ratio": difflib.SequenceMatcher(None, a[:2000], b[:2000]).ratio() if a or b else None,
        "jaccard": len(left & right) / len(left | right) if left or right else None,
        "unique_token_ratio": unique_ratio(a), "max_character_ratio": character_ratio(a),
        "negative_or_degenerate_opening": opens_badly(a),
    }


def main():
    pairs = [*fixed_pairs(), *long_pairs()]
    rows = [figures(a, b) for a, b in pairs] + [figures(b, a) for a, b in pairs if a != b]
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n", encoding="utf-8")
    print(f"{OUT.name}: {len(rows)} pairs, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
