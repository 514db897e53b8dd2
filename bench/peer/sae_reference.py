#!/usr/bin/env python3
"""Tokens per second of SAE work in PyTorch, to hold beside `rebound sae train`'s own figures.

    sae_reference.py --model GGUF --text FILE.txt [--d-sae 8192] [--seconds 20]

harvest  the first 12 layers in bfloat16 on batches of 16 contexts of 128 tokens, sinks dropped
train    TopK-32 SAE, batches of 4096 tokens, bfloat16 products, Adam, unit decoder rows
"""
import argparse
import json
import os
import pathlib
import time

import torch
import transformers

LAYERS, CONTEXT, BATCH_CONTEXTS, BATCH_TOKENS, K = 12, 128, 16, 4096, 32


def rate(work, seconds):
    """Tokens a second of work() -> tokens, after one call that does not count."""
    work()
    tokens, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        tokens += work()
    return tokens / (time.perf_counter() - start)


def make_harvest(path, text):
    where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    per_batch = BATCH_CONTEXTS * CONTEXT
    batches = [torch.tensor(ids[i:i + per_batch]).view(BATCH_CONTEXTS, CONTEXT)
               for i in range(0, len(ids) - per_batch + 1, per_batch)]
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16).model
    model.layers, model.norm = model.layers[:LAYERS], torch.nn.Identity()
    model.eval()
    turn = 0

    def harvest():
        nonlocal turn
        turn += 1
        with torch.inference_mode():
            h = model(batches[turn % len(batches)], use_cache=False).last_hidden_state.float()
            norm = h.norm(dim=-1)
            keep = norm < 10 * norm.median()
            keep[:, 0] = False
            return len(h[keep])
    return harvest


def make_training(d_sae, d_in=576):
    torch.manual_seed(0)
    x = torch.randn(BATCH_TOKENS, d_in)
    w_enc = torch.nn.Parameter(torch.randn(d_in, d_sae) / d_in ** 0.5)
    w_dec = torch.nn.Parameter(torch.nn.functional.normalize(torch.randn(d_sae, d_in), dim=1))
    b_enc, b_dec = torch.nn.Parameter(torch.zeros(d_sae)), torch.nn.Parameter(torch.zeros(d_in))
    adam = torch.optim.Adam([w_enc, w_dec, b_enc, b_dec], lr=1e-3)

    def step():
        centred = x - b_dec
        pre = (centred.bfloat16() @ w_enc.bfloat16()).float() + b_enc
        values, index = pre.topk(K, dim=1)
        code = torch.zeros_like(pre).scatter(1, index, values.relu())
        out = (code.bfloat16() @ w_dec.bfloat16()).float()
        loss = (out - centred).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            w_dec.copy_(torch.nn.functional.normalize(w_dec, dim=1))
        return BATCH_TOKENS
    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--d-sae", type=int, default=8192)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    text = args.text.read_text(encoding="utf-8")[:400_000]
    print(json.dumps({"torch": torch.__version__, "threads": torch.get_num_threads(),
                      "harvest_tokens_per_second": rate(make_harvest(args.model, text), args.seconds),
                      "train_tokens_per_second": rate(make_training(args.d_sae), args.seconds)}))


if __name__ == "__main__":
    main()
