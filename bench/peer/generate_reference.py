#!/usr/bin/env python3
"""Tokens a second of `transformers` on the prompts of bench/model/generate_bench.cpp.

    generate_reference.py --model GGUF [--new 48] [--repeats 3]

For float32 and bfloat16, batch 1 and 32: greedy generation with a key/value cache, EOS ignored, left padding (the
prompts' run included; new tokens count), and harvest: the last hidden state of contexts of 128 tokens. `load` is the
time of from_pretrained. The best of the repeats counts. Prints one JSON line a row.
"""
import argparse
import json
import pathlib
import time

import torch
import transformers


def prompts(n):
    return [[100 + i * 7 + j * 13 for j in range(30 + i * 7 % 20)] for i in range(n)]


def left_padded(rows):
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask}


def best(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--new", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    path = pathlib.Path(args.model).resolve()
    for dtype in (torch.float32, torch.bfloat16):
        start = time.perf_counter()
        model = transformers.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=dtype).eval()
        name = str(dtype).removeprefix("torch.")
        print(json.dumps({"work": "load", "dtype": name, "seconds": round(time.perf_counter() - start, 3)}), flush=True)
        for batch in (1, 32):
            inputs = left_padded(prompts(batch))
            contexts = torch.tensor([[100 + (i * 128 + j) * 7919 % 40000 for j in range(128)] for i in range(batch)])
            with torch.inference_mode():
                seconds = best(lambda: model.generate(**inputs, do_sample=False, max_new_tokens=args.new,
                                                      min_new_tokens=args.new, pad_token_id=0), args.repeats)
                harvest = best(lambda: model.model(contexts, use_cache=False).last_hidden_state, args.repeats)
            print(json.dumps({"work": "generate", "dtype": name, "batch": batch,
                              "tokens_per_second": round(batch * args.new / seconds, 1)}), flush=True)
            print(json.dumps({"work": "harvest", "dtype": name, "batch": batch,
                              "tokens_per_second": round(batch * 128 / harvest, 1)}), flush=True)


if __name__ == "__main__":
    main()
