#!/usr/bin/env python3
"""Goldens for tests/io from the Python packages `gguf` and `numpy`.

    python tools/golden/make_gguf_golden.py            # needs: pip install gguf numpy

Writes into tests/io/golden/:
  dequantize.json  per ggml type: block count, SHA-256 of the float32 bytes that gguf.dequantize
                   makes, and some values as hexadecimal bits; the same for float32 -> float16
                   and bfloat16
  python.gguf      a tiny file with every metadata type and some tensors, by gguf.GGUFWriter

The raw bytes are not stored. Byte i is state_i >> 56 of the generator
    state_0 = type id (ggml);  state_(i+1) = state_i * 6364136223846793005 + 1442695040888963407
(mod 2^64; state_0 itself is not used), and then every 16-bit float of a block whose exponent is
all ones (infinity, NaN) gets bit 14 flipped: scales are extreme, also subnormal, but finite.
tests/io/golden_blocks.h says the same in C++.
"""

import hashlib
import json
import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/io/golden"
BLOCKS = 300
# Byte positions of the 16-bit floats in a block.
HALVES = {
    T.F16: [0], T.BF16: [0], T.Q8_0: [0], T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0],
    T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
}


def generated_bytes(seed, count):
    state, out = seed, bytearray()
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(state >> 56)
    return out


def make_finite(data, positions, stride, exponent_mask):
    for start in range(0, len(data), stride):
        for position in positions:
            high = start + position + 1
            bits = data[high] << 8 | data[high - 1]
            if bits & exponent_mask == exponent_mask:
                data[high] ^= 0x40


def blocks_of(kind):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    data = generated_bytes(int(kind), BLOCKS * size)
    make_finite(data, HALVES[kind], size, 0x7F80 if kind == T.BF16 else 0x7C00)
    return np.frombuffer(bytes(data), np.uint8)


def summary(values):
    bits = values.view(np.uint32 if values.dtype == np.float32 else np.uint16)
    samples = np.linspace(0, bits.size - 1, 6).astype(int)
    return {
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "samples": {str(i): f"{bits[i]:08x}" for i in samples},
    }


def dequantized():
    table = {}
    for kind in HALVES:
        values = gguf.dequantize(blocks_of(kind), kind).astype(np.float32).ravel()
        table[kind.name] = {"ggml_id": int(kind), "blocks": BLOCKS} | summary(values)
    return table


def rounded():
    """float32 -> 16 bits, over random floats whose exponents cover the range of float16."""
    data = np.frombuffer(bytes(generated_bytes(99, 40_000)), np.uint32)
    exponent = 100 + (data >> 23) % 45  # 2^-27 .. 2^17
    floats = ((data & 0x807FFFFF) | (exponent << 23).astype(np.uint32)).view(np.float32)
    with np.errstate(over="ignore"):
        halves = floats.astype(np.float16)
    bfloats = gguf.quantize(floats, T.BF16).view(np.uint16)
    return {"count": int(floats.size), "F16": summary(halves), "BF16": summary(bfloats)}


def write_tiny_file(path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("t.u8", 200)
    writer.add_int8("t.i8", -100)
    writer.add_uint16("t.u16", 60000)
    writer.add_int16("t.i16", -30000)
    writer.add_uint32("t.u32", 4000000000)
    writer.add_int32("t.i32", -2000000000)
    writer.add_uint64("t.u64", 2**63 + 5)
    writer.add_int64("t.i64", -(2**62))
    writer.add_float32("t.f32", 0.5)
    writer.add_float64("t.f64", 1e300)
    writer.add_bool("t.bool", True)
    writer.add_string("t.string", "naïve")
    writer.add_array("t.strings", ["a", "", "Ġb"])
    writer.add_array("t.integers", [3, -1, 7])
    writer.add_array("t.floats", [0.25, -2.0])
    writer.add_array("t.bools", [True, False])
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    writer.add_tensor("matrix", matrix)
    writer.add_tensor("half", matrix.astype(np.float16) / 4)
    block = (np.arange(64, dtype=np.float32).reshape(2, 32) - 20) / 8
    for kind in (T.Q4_1, T.Q8_0):
        name = kind.name.lower()
        writer.add_tensor(name, gguf.quantize(block, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    reader = gguf.GGUFReader(path)
    return {t.name: gguf.dequantize(t.data, t.tensor_type).ravel().tolist() for t in reader.tensors}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    golden = {
        "made_by": "tools/golden/make_gguf_golden.py",
        "dequantized": dequantized(),
        "rounded": rounded(),
        "python.gguf": write_tiny_file(OUT / "python.gguf"),
    }
    (OUT / "dequantize.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
