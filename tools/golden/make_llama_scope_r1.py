#!/usr/bin/env python3
"""Llama Scope R1 with decoder rows of norm 0.3 to 3, by the formulas of OpenMOSS's own encoder.

    python tools/golden/make_llama_scope_r1.py   # writes tests/sae/golden/formats/llama_scope_r1_norms

Standard library only. SAELens's loader compares the threshold without the decoder norms, so it cannot
make this case. Formulas: OpenMOSS/Language-Model-SAEs 44c9ddde, src/lm_saes/sae.py, encode and
standardize_parameters_of_dataset_norm; sparsity_include_decoder_norm is True unless the file says otherwise:

    p = s_in x W_enc + b_enc,  z = p where p |d_j| > e^log_jumprelu_threshold,  x_hat = (z W_dec + b_dec) / s_out
    s = sqrt(d_model) / dataset_average_activation_norm
"""
import json
import math
import pathlib
import random
import struct

D, F, TOKENS = 8, 12, 7
NORM_IN, NORM_OUT = 5.0, 7.0
HOOK_IN, HOOK_OUT = "blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out"
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/sae/golden/formats"


def rounded(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def gaussians(rng, scale, rows, columns):
    return [[rounded(rng.gauss(0, scale)) for _ in range(columns)] for _ in range(rows)]


def times(a, b):
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]


def save(path, tensors):
    header, data = {}, b""
    for name, rows in tensors.items():
        is_matrix = isinstance(rows[0], list)
        flat = [value for row in rows for value in row] if is_matrix else rows
        shape = [len(rows), len(rows[0])] if is_matrix else [len(rows)]
        packed = struct.pack(f"<{len(flat)}f", *flat)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def case(name, hook_out):
    rng = random.Random(36)
    W_enc, W_dec = gaussians(rng, 0.6, D, F), gaussians(rng, 0.6, F, D)
    for j, row in enumerate(W_dec):
        wanted = 0.3 * 10 ** (j / (F - 1))
        scale = wanted / math.hypot(*row)
        W_dec[j] = [rounded(value * scale) for value in row]
    b_enc, b_dec = gaussians(rng, 0.3, 1, F)[0], gaussians(rng, 0.3, 1, D)[0]
    log_threshold = [rounded(rng.gauss(-0.5, 0.3)) for _ in range(F)]
    folder = OUT / name / "800M-Slimpajama/L3R"
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "sae_weights.safetensors",
         {"encoder.weight": list(map(list, zip(*W_enc))), "encoder.bias": b_enc,
          "decoder.weight": list(map(list, zip(*W_dec))), "decoder.bias": b_dec,
          "log_jumprelu_threshold": log_threshold})
    (folder / "config.json").write_text(json.dumps(
        {"d_model": D, "expansion_factor": F / D, "hook_point_in": HOOK_IN, "hook_point_out": hook_out,
         "act_fn": "jumprelu", "norm_activation": "dataset-wise",
         "dataset_average_activation_norm": {"in": NORM_IN, "out": NORM_OUT}}))

    s_in = math.sqrt(D) / NORM_IN
    s_out = s_in if hook_out == HOOK_IN else math.sqrt(D) / NORM_OUT
    x = gaussians(rng, 4, TOKENS, D)
    p = [[s_in * value + b for value, b in zip(row, b_enc)] for row in times(x, W_enc)]
    norms = [math.hypot(*row) for row in W_dec]
    limits = [math.exp(value) for value in log_threshold]
    z = [[value if value * norm > limit else 0.0 for value, norm, limit in zip(row, norms, limits)]
         for row in p]
    without = [[value if value > limit else 0.0 for value, limit in zip(row, limits)] for row in p]
    assert z != without and sum(value != 0 for row in z for value in row) > TOKENS
    x_hat = [[(value + b) / s_out for value, b in zip(row, b_dec)] for row in times(z, W_dec)]
    save(OUT / name / "golden.safetensors", {"x": x, "z": z, "x_hat": x_hat})
    expected = {"path": "800M-Slimpajama/L3R", "format": "llama_scope_r1", "architecture": "jumprelu",
                "hook": HOOK_IN, "hf_module": None, "folds": ["threshold", "scale"]}
    (OUT / name / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def main():
    case("llama_scope_r1_norms", HOOK_IN)
    case("llama_scope_r1_transcoder", HOOK_OUT)


if __name__ == "__main__":
    main()
