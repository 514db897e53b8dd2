"""Tiny SAEs made and run by the sae_lens package, for tests/sae.

    python tools/golden/make_sae_golden.py          # writes tests/sae/golden/<case>/
    python tools/golden/make_sae_golden.py --check FOLDER
        loads FOLDER (written by `save_sae`) with sae_lens and prints its codes' sum

Each case is a SAELens v6 folder with golden.safetensors beside it: x, f (encode), out (decode).
Made with sae_lens 6.54.12, torch 2.15; seed 0.
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from sae_lens import SAE
from sae_lens.saes.gated_sae import GatedSAE, GatedSAEConfig
from sae_lens.saes.jumprelu_sae import JumpReLUSAE, JumpReLUSAEConfig
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.saes.topk_sae import TopKSAE, TopKSAEConfig

D_IN, D_SAE, TOKENS = 12, 30, 9
HERE = Path(__file__).resolve().parents[2] / "tests" / "sae" / "golden"
SCALING_FACTOR = 0.37

CASES = {
    "standard": (StandardSAE, StandardSAEConfig, {}),
    "standard_no_b_dec": (StandardSAE, StandardSAEConfig, {"apply_b_dec_to_input": False}),
    "standard_constant_norm": (StandardSAE, StandardSAEConfig,
                               {"normalize_activations": "constant_norm_rescale"}),
    "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig, {}),
    "jumprelu_layer_norm": (JumpReLUSAE, JumpReLUSAEConfig, {"normalize_activations": "layer_norm"}),
    "jumprelu_average": (JumpReLUSAE, JumpReLUSAEConfig,
                         {"normalize_activations": "expected_average_only_in"}),
    "topk": (TopKSAE, TopKSAEConfig, {"k": 4}),
    "topk_rescale": (TopKSAE, TopKSAEConfig, {"k": 4, "rescale_acts_by_decoder_norm": True}),
    "gated": (GatedSAE, GatedSAEConfig, {}),
}


def make(name):
    sae_class, config_class, options = CASES[name]
    config = config_class(d_in=D_IN, d_sae=D_SAE, dtype="float32", device="cpu", **options)
    config.metadata.hook_name = "blocks.2.hook_resid_pre"
    config.metadata.model_name = "tiny"
    sae = sae_class(config)
    with torch.no_grad():
        for key, parameter in sae.named_parameters():
            scale = 0.6 if parameter.dim() == 2 else 0.3
            parameter.copy_(torch.randn_like(parameter) * scale)
            if key == "threshold":
                parameter.abs_()
    folder = HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    sae.save_model(folder)
    if name == "jumprelu_average":
        (folder / "activation_scaler.json").write_text(
            json.dumps({"scaling_factor": SCALING_FACTOR}) + "\n")
        sae.fold_activation_norm_scaling_factor(SCALING_FACTOR)
    x = torch.randn(TOKENS, D_IN) * 3
    with torch.no_grad():
        codes = sae.encode(x)
        out = sae.decode(codes)
    save_file({"x": x, "f": codes.contiguous(), "out": out.contiguous()},
              folder / "golden.safetensors")


def check(folder):
    sae = SAE.load_from_disk(folder)
    x = torch.linspace(-3, 3, 2 * sae.cfg.d_in).reshape(2, -1).to(sae.W_enc.dtype)
    with torch.no_grad():
        codes = sae.encode(x)
        out = sae.decode(codes)
    print(json.dumps({"class": type(sae).__name__, "d_sae": sae.cfg.d_sae,
                      "hook_name": sae.cfg.metadata.hook_name,
                      "codes_sum": codes.float().sum().item(), "out_sum": out.float().sum().item()}))


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check(sys.argv[2])
    else:
        torch.manual_seed(0)
        for case in CASES:
            make(case)
