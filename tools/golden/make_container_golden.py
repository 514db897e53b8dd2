#!/usr/bin/env python3
"""Tiny files by NumPy and torch for tests/io: python.npz, python_deflated.npz, python.pt.

    python tools/golden/make_container_golden.py     # needs: pip install torch numpy
"""

import collections
import pathlib

import numpy
import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/io/golden"


def main():
    values = numpy.arange(6, dtype=numpy.float32).reshape(2, 3) / 4
    arrays = {"f4": values, "f2": values.astype("f2"), "f8": values.astype("f8"),
              "i8": numpy.array([-5, 2**40]), "bool": numpy.array([True, False]),
              "scalar": numpy.float32(2.5), "fortran": numpy.asfortranarray(values),
              "fortran_row": numpy.asfortranarray(values[0])}
    numpy.savez(OUT / "python.npz", **arrays)
    numpy.savez_compressed(OUT / "python_deflated.npz", **arrays)

    base = torch.from_numpy(values.copy())
    state = collections.OrderedDict(f4=base, f2=base.half(), bf16=base.bfloat16(), f8=base.double(),
                                    i8=torch.tensor([-5, 2**40]), scalar=torch.tensor(2.5),
                                    transposed=base.T, row=base[1], parameter=torch.nn.Parameter(base))
    state._metadata = {"": {"version": 1}}
    torch.save({"ae": state, "step": 7, "norm_factor": 0.25, "done": True, "name": "tiny",
                "nothing": None, "list": [1, (2, 3)]}, OUT / "python.pt")


if __name__ == "__main__":
    main()
