#!/usr/bin/env python3
"""Goldens of the model layer, made with Hugging Face `transformers` (float32, eager attention).

    python3 tools/golden/make_model_golden.py --gguf models/SmolLM2-135M-Instruct.Q4_1.gguf

needs torch, transformers >= 5, gguf, safetensors (made with transformers 5.23, torch 2.15).
It writes below tests/model/golden/:

smollm2.json - the default model, dequantised to float32
  model_sha256   of the GGUF file
  probe_ids      [200] token ids at which every prompt's logits are stored
  prompts        20 x {text, ids, top_ids [50], top_logits [50], probe_logits [200], mean, std}
                 logits of the last position; mean and (population) std over the whole vocabulary
  sites          2 x {ids, values: {site name: {shape, norm, at}}}; names as in model/site.h.
                 `norm` is the L2 norm of the whole tensor; at[i] is the element at flat (row-major)
                 index i * numel // n for i < n, n = min(32, numel).
tiny_llama_tied/, tiny_llama_untied/ - random Hugging Face folders, sharded safetensors + index
  golden.json    prompts: [{ids, logits [vocab]}] (last position); generate: {ids, new_ids [16],
                 min_margin} greedy, min_margin = smallest gap between the two best logits
                 The tied one has config.json as transformers 5 writes it (rope_parameters), the
                 untied one as transformers 4 did (rope_theta) and head_dim != d_model / n_heads.
"""
import argparse
import hashlib
import json
import pathlib
import shutil

import tokenizers
import torch
import transformers
from transformers.models.llama import modeling_llama

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "model" / "golden"
VALUES_PER_SITE = 32
FOX = "The quick brown fox jumps over the lazy dog. "
PROMPTS = [
    "The capital of France is",
    "When Mary and John went to the store, John gave a drink to",
    "Then, Robert and Emma had a long argument at the station. Afterwards Emma said to",
    "In 1984 there were 12345 people and 67.89% of them",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nWhat is 2+2?"
    "<|im_end|>\n<|im_start|>assistant\n",
    "Once upon a time",
    "a",
    "   leading spaces and\ttabs\n\n\nand newlines",
    "Ünïcödé, 日本語のテキスト, русский текст, emoji 🙂🙃",
    "E = mc^2; \\int_0^1 x^2 dx =",
    "1 2 3 4 5 6 7 8 9 10 11",
    "To be, or not to be, that is the",
    "SELECT name, COUNT(*) FROM users WHERE age > 21 GROUP BY",
    "Dear Sir or Madam,\n\nI am writing to",
    "The opposite of hot is cold. The opposite of tall is",
    "<html><body><h1>Title</h1><p>",
    "!!!???...---***",
    FOX * 24,
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age "
    "of foolishness, it was the epoch of belief, it was the epoch of",
]
SITE_PROMPTS = [0, 1]


def rounded(values):
    return [float(f"{v:.8g}") for v in values]


def load_tokenizer(gguf):
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The conversion from GGUF drops the first half of the `smollm` pre-tokenizer: digits one by one.
    pre = tokenizers.pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)])
    return tokenizer


def last_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1].float()


class SiteRecorder:
    """Records every activation site of one forward pass under its TransformerLens name."""

    def __init__(self, model):
        self.model, self.values, self.handles, self.layer = model, {}, [], 0
        self.eps = model.config.rms_norm_eps
        self.d_head = model.config.head_dim

    def keep(self, name, value):
        self.values[name] = value.detach().contiguous()

    def normalized(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def on_input(self, module, body):
        self.handles.append(module.register_forward_pre_hook(lambda _, args: body(args[0])))

    def on_output(self, module, body):
        first = lambda out: out[0] if isinstance(out, tuple) else out
        self.handles.append(module.register_forward_hook(lambda _, args, out: body(first(out))))

    def heads(self, x):
        return x.view(*x.shape[:-1], -1, self.d_head)

    def hook_block(self, i, layer):
        at, keep = f"blocks.{i}.", self.keep
        named = lambda name, form=lambda x: x: lambda x: keep(at + name, form(x))
        attn, mlp = layer.self_attn, layer.mlp
        self.on_input(layer.input_layernorm, named("hook_resid_pre"))
        self.on_input(layer.input_layernorm, named("ln1.hook_normalized", self.normalized))
        self.on_output(attn.q_proj, named("attn.hook_q", self.heads))
        self.on_output(attn.k_proj, named("attn.hook_k", self.heads))
        self.on_output(attn.v_proj, named("attn.hook_v", self.heads))
        self.handles.append(attn.register_forward_hook(
            lambda _, args, out: keep(at + "attn.hook_pattern", out[1])))
        self.on_input(attn.o_proj, named("attn.hook_z", self.heads))
        self.on_output(attn, named("hook_attn_out"))
        self.on_input(layer.post_attention_layernorm, named("hook_resid_mid"))
        self.on_input(layer.post_attention_layernorm, named("ln2.hook_normalized", self.normalized))
        self.on_output(mlp.gate_proj, named("mlp.hook_pre"))
        self.on_output(mlp.up_proj, named("mlp.hook_pre_linear"))
        self.on_input(mlp.down_proj, named("mlp.hook_post"))
        self.on_output(mlp, named("hook_mlp_out"))
        self.on_output(layer, named("hook_resid_post"))

    def record_rotation(self, rotate):
        def recording(q, k, *args, **kwargs):
            q_out, k_out = rotate(q, k, *args, **kwargs)
            # [batch, heads, pos, d_head] -> [batch, pos, heads, d_head]
            self.keep(f"blocks.{self.layer}.attn.hook_rot_q", q_out.transpose(1, 2))
            self.keep(f"blocks.{self.layer}.attn.hook_rot_k", k_out.transpose(1, 2))
            self.layer += 1
            return q_out, k_out
        return recording

    def run(self, ids):
        base = self.model.model
        self.on_output(base.embed_tokens, lambda x: self.keep("hook_embed", x))
        for i, layer in enumerate(base.layers):
            self.hook_block(i, layer)
        self.on_input(base.norm, lambda x: self.keep("ln_final.hook_normalized", self.normalized(x)))
        rotate = modeling_llama.apply_rotary_pos_emb
        modeling_llama.apply_rotary_pos_emb = self.record_rotation(rotate)
        try:
            last_logits(self.model, ids)
        finally:
            modeling_llama.apply_rotary_pos_emb = rotate
            for handle in self.handles:
                handle.remove()
        expected = 17 * len(base.layers) + 2
        assert len(self.values) == expected, (len(self.values), expected)
        return self.values


def compact(value):
    flat = value.flatten()
    n = min(VALUES_PER_SITE, flat.numel())
    index = [i * flat.numel() // n for i in range(n)]
    return {"shape": list(value.shape), "norm": rounded([flat.double().norm().item()])[0],
            "at": rounded(flat[index].tolist())}


def prompt_golden(model, text, ids, probe_ids):
    logits = last_logits(model, ids)
    top = logits.topk(50)
    return {"text": text, "ids": ids, "top_ids": top.indices.tolist(),
            "top_logits": rounded(top.values.tolist()),
            "probe_logits": rounded(logits[probe_ids].tolist()),
            "mean": rounded([logits.double().mean().item()])[0],
            "std": rounded([logits.double().std(unbiased=False).item()])[0]}


def make_smollm2(gguf):
    tokenizer = load_tokenizer(gguf)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(1)
    probe_ids = torch.randperm(model.config.vocab_size, generator=generator)[:200].tolist()
    ids = [tokenizer(text, add_special_tokens=False).input_ids for text in PROMPTS]
    golden = {
        "made_by": "tools/golden/make_model_golden.py",
        "model_sha256": hashlib.sha256(gguf.read_bytes()).hexdigest(),
        "probe_ids": probe_ids,
        "prompts": [prompt_golden(model, t, i, probe_ids) for t, i in zip(PROMPTS, ids)],
        "sites": [{"ids": ids[p], "values": {name: compact(value) for name, value
                                             in SiteRecorder(model).run(ids[p]).items()}}
                  for p in SITE_PROMPTS],
    }
    (ROOT / "smollm2.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


def tiny_config(tied):
    return transformers.LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8 if tied else 12,
        max_position_embeddings=64, rms_norm_eps=1e-5 if tied else 1e-6, tie_word_embeddings=tied,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0 if tied else 500000.0},
        initializer_range=0.25, bos_token_id=1, eos_token_id=2)


def old_style(config_path):
    """Rewrites config.json as transformers 4 wrote it."""
    config = json.loads(config_path.read_text())
    config["rope_theta"] = config.pop("rope_parameters")["rope_theta"]
    config["rope_scaling"] = None
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.46.0"
    config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def greedy(model, ids, count):
    new_ids, margin = [], float("inf")
    for _ in range(count):
        best = last_logits(model, ids + new_ids).topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        new_ids.append(best.indices[0].item())
    return {"ids": ids, "new_ids": new_ids, "min_margin": margin}


def make_tiny(tied):
    folder = ROOT / ("tiny_llama_tied" if tied else "tiny_llama_untied")
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(7 if tied else 8)
    model = transformers.LlamaForCausalLM(tiny_config(tied)).eval()
    model.set_attn_implementation("eager")
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data.uniform_(0.5, 1.5)
    model.save_pretrained(folder, max_shard_size="60KB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    if not tied:
        old_style(folder / "config.json")
    model = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    prompts = [[5], [1, 17, 99, 3, 64, 2, 127], [(11 * i + 3) % 128 for i in range(40)]]
    golden = {"made_by": "tools/golden/make_model_golden.py",
              "prompts": [{"ids": ids, "logits": rounded(last_logits(model, ids).tolist())}
                          for ids in prompts],
              "generate": greedy(model, prompts[1], 16)}
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gguf", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    ROOT.mkdir(parents=True, exist_ok=True)
    make_tiny(tied=True)
    make_tiny(tied=False)
    make_smollm2(arguments.gguf.resolve())


if __name__ == "__main__":
    main()
