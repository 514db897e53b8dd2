#!/usr/bin/env python3
"""A tiny file by the reference writer for tests/io: tests/io/golden/python.safetensors.

    python tools/golden/make_safetensors_golden.py     # needs: pip install safetensors torch
"""

import pathlib

import torch
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/io/golden"


def main():
    values = torch.arange(6, dtype=torch.float32).reshape(2, 3) / 4
    tensors = {"f32": values, "f16": values.half(), "bf16": values.bfloat16()}
    tensors |= {"f64": values.double(), "i64": torch.tensor([-5, 2**40])}
    tensors |= {"u8": torch.tensor([0, 255], dtype=torch.uint8), "bool": torch.tensor([True, False])}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    save_file(tensors, OUT / "python.safetensors", metadata={"format": "pt", "who": "naïve"})


if __name__ == "__main__":
    main()
