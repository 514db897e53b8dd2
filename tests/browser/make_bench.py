#!/usr/bin/env python3
"""Writes a tiny random Llama with a tokenizer and a chat template, and two SAEs of it, for tests of the explorer.

    make_bench.py FOLDER          FOLDER/model  FOLDER/sae-1  FOLDER/sae-2

Nothing but Python is needed. One token a printable character. Same program, same files.
"""
import array
import json
import pathlib
import random
import struct
import sys

D_MODEL, D_MLP, D_HEAD, N_HEADS, N_KV, N_LAYERS, VOCAB, D_SAE = 24, 40, 6, 4, 2, 4, 100, 48


def normals(rng, shape, scale, mean=0.0):
    count = 1
    for size in shape:
        count *= size
    return shape, array.array("f", (rng.gauss(mean, scale) for _ in range(count)))


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, (shape, values) in tensors.items():
        size = 4 * len(values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, values in tensors.values():
            file.write(values.tobytes())


def model_tensors(rng):
    q, kv, d = N_HEADS * D_HEAD, N_KV * D_HEAD, D_MODEL
    tensors = {"model.embed_tokens.weight": normals(rng, (VOCAB, d), 1.0),
               "model.norm.weight": normals(rng, (d,), 0.1, 1.0), "lm_head.weight": normals(rng, (VOCAB, d), 1.0)}
    for i in range(N_LAYERS):
        layer = f"model.layers.{i}."
        for name, shape in (("self_attn.q_proj", (q, d)), ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)),
                            ("self_attn.o_proj", (d, q)), ("mlp.gate_proj", (D_MLP, d)), ("mlp.up_proj", (D_MLP, d)),
                            ("mlp.down_proj", (d, D_MLP))):
            tensors[f"{layer}{name}.weight"] = normals(rng, shape, 0.3)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{layer}{name}.weight"] = normals(rng, (d,), 0.1, 1.0)
    return tensors


def write_model(folder, rng):
    folder.mkdir(parents=True)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": D_MODEL, "head_dim": D_HEAD,
              "intermediate_size": D_MLP, "num_hidden_layers": N_LAYERS, "num_attention_heads": N_HEADS,
              "num_key_value_heads": N_KV, "vocab_size": VOCAB, "max_position_embeddings": 256, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", model_tensors(rng))
    characters = ["Ġ" if c == " " else c for c in map(chr, range(32, 127))]
    end = len(characters)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
                 "post_processor": None, "decoder": byte_level,
                 "added_tokens": [{"id": end, "content": "<|end|>", "single_word": False, "lstrip": False,
                                   "rstrip": False, "normalized": False, "special": True}],
                 "model": {"type": "BPE", "vocab": {c: i for i, c in enumerate(characters)}, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    template = ("{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
                "{% if add_generation_prompt %}[assistant] {% endif %}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|end|>", "chat_template": template}))


def write_sae(folder, rng, site):
    folder.mkdir(parents=True)
    config = {"d_in": D_MODEL, "d_sae": D_SAE, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
              "normalize_activations": "none", "reshape_activations": "none", "architecture": "standard",
              "metadata": {"hook_name": site, "model_name": "tiny"}}
    (folder / "cfg.json").write_text(json.dumps(config))
    write_safetensors(folder / "sae_weights.safetensors", {
        "W_enc": normals(rng, (D_MODEL, D_SAE), 0.3), "b_enc": normals(rng, (D_SAE,), 0.1),
        "W_dec": normals(rng, (D_SAE, D_MODEL), 0.3), "b_dec": normals(rng, (D_MODEL,), 0.01)})


def main():
    folder = pathlib.Path(sys.argv[1])
    rng = random.Random(7)
    write_model(folder / "model", rng)
    write_sae(folder / "sae-1", rng, "blocks.1.hook_resid_pre")
    write_sae(folder / "sae-2", rng, "blocks.3.hook_resid_pre")


if __name__ == "__main__":
    main()
