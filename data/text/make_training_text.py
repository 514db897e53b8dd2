"""Builds the training text of the default SAE from the project's shared data folder.

    python data/text/make_training_text.py SHARED_DATA/text/train

    books_sample.txt.gz   the opening, the middle and the end of each of 90 public-domain books
    chat.jsonl.gz         9,668 instruction and response pairs, as they are
    tokenised.txt.gz      a part of both in the style of word-tokenised corpora (WikiText, PTB):
                          spaces around punctuation, " @-@ " for hyphens, <unk> for rare words,
                          " = headings = ".
                          Residual streams on such text differ; without it an SAE spends a third
                          more latents there.
    heldout.txt.gz        40 kB of modern prose that no training text holds (wikitext-2 test without
                          its marks): what a defence costs is measured on it

Everything is deterministic. Notices: data/NOTICES.md.
"""
import collections
import gzip
import json
import random
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOK_PIECE = 36_000      # characters from each of three places of a book
STYLED_BOOK_PIECE = 24_000
STYLED_CHATS = 6_000
KNOWN_WORDS = 30_000
LINES_A_HEADING = 8
MARK = "\n\f\n"


def write_gzip(name, text):
    with open(HERE / name, "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=9) as out:
            out.write(text.encode())


def read_books(folder):
    for shard in range(3):
        with gzip.open(folder / f"books_{shard}.txt.gz", "rt", encoding="utf-8") as file:
            yield from (book for book in file.read().split(MARK) if book.strip())


def piece_at(book, share, size):
    start = book.rfind("\n", 0, int(share * max(0, len(book) - size))) + 1
    return book[start:start + size].strip()


def in_tokenised_style(text, known):
    text = re.sub(r"(\w)-(\w)", r"\1 @-@ \2", text)
    text = re.sub(r"(\d),(\d{3})", r"\1 @,@ \2", text)
    text = re.sub(r"(\d)\.(\d)", r"\1 @.@ \2", text)
    text = re.sub(r"([,;:!?()\"\[\]])", r" \1 ", text)
    text = re.sub(r"\.(\s|$)", r" .\1", text)
    text = re.sub(r"(\w)'(s|re|ve|ll|d|m|t)\b", r"\1 '\2", text)
    lines = []
    for line in text.split("\n"):
        words = [w if w in known or not w.isalpha() else "<unk>" for w in line.split()]
        if words:
            lines.append(" " + " ".join(words) + " ")
    for at in range(0, len(lines), LINES_A_HEADING):
        mark = " = " if at == 0 else " = = "
        title = [w for w in lines[at].split() if w[0].isalpha()][:4]
        lines[at] = mark + " ".join(title) + mark[::-1] + "\n \n" + lines[at]
    return "\n".join(lines)


def held_out(path, size=40_000):
    rows = [json.loads(line) for line in open(path, encoding="utf-8")]
    texts = []
    for row in rows:
        if row["split"] == "test" and sum(map(len, texts)) <= size:
            texts.append(row["text"])
    return "\n\n".join(texts) + "\n"


def main(folder):
    books = list(read_books(folder))
    write_gzip("books_sample.txt.gz",
               MARK.join(piece_at(b, share, BOOK_PIECE) for b in books for share in (0.03, 0.45, 0.85)))
    shutil.copyfile(folder / "chat.jsonl.gz", HERE / "chat.jsonl.gz")
    write_gzip("heldout.txt.gz", held_out(folder.parent / "heldout" / "wikitext2_clean.jsonl"))

    with gzip.open(folder / "chat.jsonl.gz", "rt", encoding="utf-8") as file:
        chats = [json.loads(line) for line in file]
    counts = collections.Counter()
    for text in [b[:200_000] for b in books] + [c["assistant"] for c in chats]:
        counts.update(re.findall(r"[^\W\d_]+", text))
    known = {word for word, _ in counts.most_common(KNOWN_WORDS)}
    rng = random.Random(0)
    rng.shuffle(chats)
    chosen = [c["assistant"] for c in chats if len(c["assistant"]) > 200][:STYLED_CHATS]
    pieces = [piece_at(b, 0.65, STYLED_BOOK_PIECE) for b in books] + chosen
    rng.shuffle(pieces)
    write_gzip("tokenised.txt.gz", MARK.join(in_tokenised_style(p, known) for p in pieces))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
