"""Builds heldout.txt.gz, the text on which the losses of a scaling curve are measured.

    python assets/scaling/make_heldout.py SHARED_DATA/text/heldout/books_heldout.txt.gz

Three pieces of each of five public-domain books, none of them in data/text/books_sample.txt.gz:
Northanger Abbey, The Island of Doctor Moreau, Letters Written in Sweden, Norway, and Denmark, The
Road, The Sign of the Four. Deterministic.
"""
import gzip
import sys
from pathlib import Path

MARK = "\n\f\n"
PIECE = 4_600  # characters
PLACES = (0.2, 0.5, 0.8)


def piece_at(book, share):
    start = book.rfind("\n", 0, int(share * (len(book) - PIECE))) + 1
    return book[start:start + PIECE].strip()


def main(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        books = [book for book in file.read().split(MARK) if book.strip()]
    text = MARK.join(piece_at(book, share) for book in books for share in PLACES)
    with open(Path(__file__).resolve().parent / "heldout.txt.gz", "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=9) as out:
            out.write(text.encode())
    print(f"{len(books)} books, {len(text.encode())} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
