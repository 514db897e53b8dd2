"""Makes capitals.jsonl and relations.jsonl from the two source files.

    python3 data/facts/make_facts.py SOURCE_FOLDER

SOURCE_FOLDER holds capitals.jsonl (written for this project: country, capital) and known_facts.jsonl
(the "known 1000" file of ROME, MIT: prompt to complete, attribute, Wikidata relation). One fact a line:
{"id", "relation", "subject", "prompt", "answer"}. Facts about capitals (P36) are left out of relations.jsonl,
which is what must be kept.
"""
import json
import pathlib
import sys

WITH_ARTICLE = {
    "Bahamas", "Central African Republic", "Comoros", "Czech Republic", "Democratic Republic of the Congo",
    "Dominican Republic", "Gambia", "Maldives", "Marshall Islands", "Netherlands", "Philippines",
    "Republic of the Congo", "Solomon Islands", "United Arab Emirates", "United Kingdom", "United States",
}


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def write(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def main():
    source, here = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
    capitals = []
    for row in read(source / "capitals.jsonl"):
        country = row["country"]
        article = "the " if country in WITH_ARTICLE else ""
        capitals.append({"id": row["id"], "relation": "capital", "subject": country,
                         "prompt": f"The capital of {article}{country} is", "answer": row["capital"]})
    relations = [{"id": row["id"], "relation": row["relation_id"], "subject": row["subject"],
                  "prompt": row["prompt"], "answer": row["attribute"]}
                 for row in read(source / "known_facts.jsonl") if row["relation_id"] != "P36"]
    write(here / "capitals.jsonl", capitals)
    write(here / "relations.jsonl", relations)
    print(len(capitals), "capitals,", len(relations), "other facts")


main()
