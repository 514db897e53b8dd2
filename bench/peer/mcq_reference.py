#!/usr/bin/env python3
"""Letter answers in all 24 orders, one order at a time, in PyTorch: what rebound's one run a question replaces.

    mcq_reference.py --model GGUF --questions FILE [--n 4] [--dump FILE]

Needs torch, transformers >= 5, gguf. Prompts, letters and tie rule are those of behaviour/multiple_choice.h; float32.
Prints one JSON line: wall and CPU seconds a question, and the share of orders right. --dump writes the picks of every
question (JSON, [question][order]) to compare with rebound's.
"""
import argparse
import itertools
import json
import pathlib
import time

LETTERS = "ABCD"


def letters_prompt(question, order):
    lines = [f"Question: {question['question']}"]
    lines += [f"{LETTERS[i]}. {question['choices'][choice]}" for i, choice in enumerate(order)]
    return "\n".join(lines + ["Answer:"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--dump")
    args = parser.parse_args()

    import torch
    import transformers
    path = pathlib.Path(args.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    ids = [[tokenizer.encode(text, add_special_tokens=False) for text in (letter, " " + letter)] for letter in LETTERS]
    tokens = [[one[0] for one in pair if len(one) == 1] for pair in ids]
    questions = [json.loads(line) for line in open(args.questions, encoding="utf-8") if line.strip()][:args.n]

    picks, right = [], 0
    wall, cpu = time.perf_counter(), time.process_time()
    with torch.no_grad():
        for question in questions:
            row = []
            for order in itertools.permutations(range(4)):
                prompt = tokenizer(letters_prompt(question, order), return_tensors="pt").input_ids
                logits = model(prompt).logits[0, -1]
                scores = [max(logits[token].item() for token in letter) for letter in tokens]
                row.append(order[scores.index(max(scores))])
            picks.append(row)
            right += sum(pick == question["answer"] for pick in row)
    n = len(questions)
    print(json.dumps({"questions": n, "wall_seconds": (time.perf_counter() - wall) / n,
                      "cpu_seconds": (time.process_time() - cpu) / n, "right": right / (24 * n),
                      "threads": torch.get_num_threads()}))
    if args.dump:
        pathlib.Path(args.dump).write_text(json.dumps(picks), encoding="utf-8")


main()
