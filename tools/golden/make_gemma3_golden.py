#!/usr/bin/env python3
"""Goldens of two real models, made with Hugging Face `transformers` (float32, eager attention).

    python3 tools/golden/make_gemma3_golden.py --gemma models/gemma-3-270m-q4_k_m.gguf \\
        --smollm2 models/SmolLM2-135M-Instruct.Q4_1.gguf --text data/probes/classes/wikitext_topic_6.jsonl

needs torch, transformers >= 5, gguf, safetensors, sentencepiece. It writes below tests/model/golden/:

gemma3.json - Gemma 3 270M, dequantised to float32
  model_sha256   of the GGUF file
  prompts        20 x {text, ids, top_ids [20], top_logits [20], mean, std}, of the last position
  sites          {ids, values: {site name: {shape, norm, at}}} of one prompt longer than the window of
                 the local layers would be cut to (512): see make_families.py for `norm` and `at`
wikitext2.json - perplexity of both on the first 8 x 256 tokens of sentences of wikitext-2
  {name: {model_sha256, windows [8][256], nll}}: nll is the mean of -log p of tokens 1..255 of each window
"""
import argparse
import hashlib
import json
import pathlib
import sys

import torch
import transformers

import make_families
from make_families import SiteRecorder, compact, rounded
from make_gemma_text_golden import build
from make_model_golden import PROMPTS, load_tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "model" / "golden"
BOS = 2


def load(path):
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()


def last_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].float()


def prompt_golden(model, text, ids):
    logits = last_logits(model, ids)
    top = logits.topk(20)
    return {"text": text, "ids": ids, "top_ids": top.indices.tolist(), "top_logits": rounded(top.values.tolist()),
            "mean": rounded([logits.double().mean().item()])[0],
            "std": rounded([logits.double().std(unbiased=False).item()])[0]}


def perplexity_golden(model, path, encode, text, bos):
    stream, windows = [], []
    for line in text.read_text().splitlines():
        stream += encode(json.loads(line)["text"] + "\n")
        if len(stream) >= 8 * 256:
            break
    width = 256 - len(bos)
    windows = [bos + stream[i * width:(i + 1) * width] for i in range(8)]
    nll = []
    with torch.no_grad():
        for ids in windows:
            log_p = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
            nll.append(-log_p[:-1].gather(1, torch.tensor(ids[1:]).unsqueeze(1)).mean().item())
    return {"model_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "windows": windows,
            "nll": sum(nll) / len(nll)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for flag in ("--gemma", "--smollm2", "--text"):
        parser.add_argument(flag, type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    make_families.VALUES_PER_SITE = 8

    gemma_path = arguments.gemma.resolve()
    processor, _, _, _ = build(str(gemma_path))
    gemma = load(gemma_path)
    ids = [[BOS] + processor.encode(text) for text in PROMPTS]
    site_ids = ([BOS] + processor.encode(PROMPTS[19] * 20))[:560]
    golden = {"made_by": "tools/golden/make_gemma3_golden.py",
              "model_sha256": hashlib.sha256(gemma_path.read_bytes()).hexdigest(),
              "prompts": [prompt_golden(gemma, t, i) for t, i in zip(PROMPTS, ids)],
              "sites": {"ids": site_ids, "values": {
                  name: compact(value) for name, value in SiteRecorder(gemma).run(site_ids).items()}}}
    (ROOT / "gemma3.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")

    perplexity = {"made_by": "tools/golden/make_gemma3_golden.py",
                  "gemma3": perplexity_golden(gemma, gemma_path, processor.encode, arguments.text, [BOS])}
    del gemma
    smollm2_path = arguments.smollm2.resolve()
    tokenizer = load_tokenizer(smollm2_path)
    perplexity["smollm2"] = perplexity_golden(
        load(smollm2_path), smollm2_path, lambda text: tokenizer(text, add_special_tokens=False).input_ids,
        arguments.text, [])
    (ROOT / "wikitext2.json").write_text(json.dumps(perplexity, separators=(",", ":")) + "\n")
    print({name: perplexity[name]["nll"] for name in ("gemma3", "smollm2")}, file=sys.stderr)


if __name__ == "__main__":
    main()
