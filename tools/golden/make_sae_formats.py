#!/usr/bin/env python3
"""One tiny SAE per published format for tests/sae, written and run by the format's own library.

    python tools/golden/make_sae_formats.py       # writes tests/sae/golden/formats/<case>/

Needs sae-lens, torch, numpy, and the sources of dictionary-learning, eai-sparsify, circuit-tracer,
llamascopium and e2e-sae on the path (pip install --no-deps is enough: only the modules that define
the classes are imported, not what the packages need for training), with natsort and simple-parsing.

Each case holds the SAE under its published names, golden.safetensors (x; z and x_hat by the
library) and expected.json (what `rebound sae inspect` must say, path and options for reading).
Llama Scope is computed by hand after OpenMOSS' order of folds; what has no package of its own
(Gemma Scope, Goodfire, DeepSeek-R1, connor_rob, Qwen Scope) goes through SAELens' or circuit-tracer's
loader with local files. Made with sae_lens 6.54.12, dictionary_learning 0.1.0, eai-sparsify 1.3.3,
circuit-tracer 0.5.0, llamascopium 2.0.0b34, e2e-sae 2.1.1; seed 0.
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import make_llama_scope_r1
import sae_format_libraries as lib

D, F, TOKENS, K = 8, 12, 7, 3
OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/sae/golden/formats"


def randomise(module):
    with torch.no_grad():
        for key, value in module.named_parameters():
            value.copy_(torch.randn_like(value) * (0.6 if value.dim() >= 2 else 0.3))
            if key.endswith("threshold"):
                value.abs_()
    return module


def tensors(**shapes):
    return {key: torch.randn(shape) * (0.6 if len(shape) >= 2 else 0.3)
            for key, shape in shapes.items()}


def plain_tensors(threshold=True):
    out = tensors(W_enc=(D, F), b_enc=(F,), W_dec=(F, D), b_dec=(D,))
    if threshold:
        out["threshold"] = torch.rand(F) * 0.5
    return out


def finish(case, x, z, x_hat, path, **expected):
    folder = OUT / case
    save_file({"x": x.contiguous(), "z": z.detach().float().contiguous(),
               "x_hat": x_hat.detach().float().contiguous()}, folder / "golden.safetensors")
    (folder / "expected.json").write_text(json.dumps({"path": path, **expected}, indent=1) + "\n")
    assert (z != 0).sum() > TOKENS, case


def new_folder(case, path):
    folder = OUT / case / path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def inputs(scale=1.0):
    return torch.randn(TOKENS, D) * scale


# --- SAELens ---------------------------------------------------------------------------------

HOOK = "blocks.2.hook_resid_pre"


def sae_lens_case(case, architecture, expected, **options):
    sae = lib.sae_lens_sae(architecture, d_in=D, d_sae=F, **options)
    for key, value in dict(hook_name=HOOK, model_name="gpt2-small").items():
        sae.cfg.metadata[key] = value
    if "transcoder" in architecture:
        sae.cfg.metadata["hook_name_out"] = "blocks.2.hook_mlp_out"
    randomise(sae)
    folder = new_folder(case, "sae")
    sae.save_model(folder)
    x = inputs(2)
    if options.get("normalize_activations") == "expected_average_only_in":
        (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.37}\n')
        sae.fold_activation_norm_scaling_factor(0.37)
    with torch.no_grad():
        finish(case, x, sae.encode(x), sae(x), "sae", format="saelens", architecture=architecture,
               hook=HOOK, hf_module="transformer.h.2.input", folds=expected)


def sae_lens_batchtopk():
    training = randomise(lib.sae_lens_training_batchtopk(d_in=D, d_sae=F, k=K))
    training.topk_threshold.fill_(0.4)
    folder = new_folder("saelens_batchtopk_checkpoint", "sae")
    training.save_model(folder)
    scratch = OUT / "scratch"
    training.save_inference_model(scratch)
    sae = lib.sae_lens_from_disk(scratch)
    shutil.rmtree(scratch)
    x = inputs(2)
    with torch.no_grad():
        finish("saelens_batchtopk_checkpoint", x, sae.encode(x), sae(x), "sae", format="saelens",
               architecture="batchtopk", hook=None, hf_module=None,
               folds=["threshold", "decoder_norm"])


def sae_lens_cases():
    for architecture in ("transcoder", "skip_transcoder", "jumprelu_transcoder",
                         "jumprelu_skip_transcoder"):
        sae_lens_case("saelens_" + architecture, architecture,
                      ["skip"] if "skip" in architecture else [], d_out=5,
                      apply_b_dec_to_input=False)
    sae_lens_case("saelens_abstopk", "abstopk", [], k=K)
    sae_lens_case("saelens_topk_rescale_average", "topk", ["scale", "decoder_norm"], k=K,
                  rescale_acts_by_decoder_norm=True,
                  normalize_activations="expected_average_only_in")
    sae_lens_batchtopk()


# --- Gemma Scope -----------------------------------------------------------------------------


def gemma_scope(case, kind, expected, embedding=False):
    repo = f"gemma-scope-2b-pt-{kind}"
    inside = "embedding/width_4k/average_l0_6" if embedding else "layer_12/width_16k/average_l0_82"
    folder = new_folder(case, f"{repo}/{inside}")
    weights = plain_tensors()
    np.savez(folder / "params.npz", **{key: value.numpy() for key, value in weights.items()})
    x = inputs(2)
    path = f"{repo}/{inside}"
    if kind == "transcoders":
        plt = lib.gemma_scope_transcoder(folder / "params.npz")
        z, x_hat = plt.encode(x), plt(x)
    else:
        sae = lib.via_sae_lens("gemma_2", OUT / case / repo, f"google/{repo}", inside,
                               d_in=D, d_sae=F)
        z, x_hat = sae.encode(x), sae(x)
    finish(case, x, z, x_hat, path, format="gemma_scope", architecture="jumprelu", **expected)


def gemma_scope_2(case, hook_in, hook_out, skip, expected, transposed=False):
    folder = new_folder(case, "sae")
    weights = {key.lower(): value for key, value in plain_tensors().items()}
    if skip:
        weights["affine_skip_connection"] = torch.randn(D, D) * 0.5
    save_file(weights, folder / "params.safetensors")
    config = {"architecture": "jump_relu", "model_name": "gemma-v3-270m-pt", "hf_hook_point_in": hook_in,
              "width": F, "l0": 3, "affine_connection": skip}
    if hook_out:
        config["hf_hook_point_out"] = hook_out
    (folder / "config.json").write_text(json.dumps(config))
    x = inputs(2)
    plt = lib.gemma_scope_2_transcoder(folder / "params.safetensors")
    z, x_hat = plt.encode(x), plt(x)
    if transposed:
        affine = weights["affine_skip_connection"]
        x_hat = x_hat - x @ affine + x @ affine.T
        expected = {**expected, "options": {"transposed_skip": True}}
    finish(case, x, z, x_hat, "sae", format="gemma_scope_2", architecture="jump_relu",
           hf_module=hook_in, **expected)


def gemma_scope_2_clt(layers=3, layer=1):
    case = "gemma_scope_2_clt"
    folder = new_folder(case, "clt/width_12")
    paths = {}
    for i in range(layers):
        weights = {key.lower(): value for key, value in plain_tensors().items() if key != "W_dec"}
        weights["w_dec"] = torch.randn(F, layers, D) * 0.5
        weights["affine_skip_connection"] = torch.randn(D, D) * 0.5
        paths[i] = folder / f"params_layer_{i}.safetensors"
        save_file(weights, paths[i])
    clt = lib.gemma_scope_2_clt(paths)
    x = inputs(2)
    z, x_hat = clt_goldens(clt, x, layer)
    finish(case, x, z, torch.cat([x_hat[:, :D] + clt.compute_skip(layer, x), x_hat[:, D:]], dim=1),
           f"clt/width_12/params_layer_{layer}.safetensors", format="gemma_scope_2",
           architecture="jumprelu", hook=None, hf_module=None, folds=["cross_layer", "skip"])
    for i in paths:
        if i != layer:
            paths[i].unlink()


def clt_goldens(clt, x, layer):
    """Codes of one layer, and what they write to every later layer; b_dec of the own layer only."""
    z = clt.encode_layer(x, layer)
    writes = torch.einsum("bf,ftd->btd", z, clt._get_decoder_vectors(layer))
    writes[:, 0] += clt.b_dec[layer]
    return z, writes.flatten(1)


def gemma_scope_cases():
    gemma_scope("gemma_scope_res", "res", dict(hook="blocks.12.hook_resid_post",
                                               hf_module="model.layers.12.output", folds=["site"]))
    gemma_scope("gemma_scope_embedding", "res",
                dict(hook="hook_embed", hf_module="model.layers.0.input", folds=["embedding"]),
                embedding=True)
    gemma_scope("gemma_scope_transcoder", "transcoders",
                dict(hook="blocks.12.ln2.hook_normalized", folds=["site"],
                     hf_module="model.layers.12.pre_feedforward_layernorm before its gain"))
    gemma_scope_2("gemma_scope_2_res", "model.layers.5.output", None, False,
                  dict(hook="blocks.5.hook_resid_post", folds=["input_bias"]))
    layer = "model.layers.5."
    for name, transposed in (("gemma_scope_2_affine", False), ("gemma_scope_2_transposed", True)):
        gemma_scope_2(name, layer + "pre_feedforward_layernorm.output",
                      layer + "post_feedforward_layernorm.output", True,
                      dict(hook="blocks.5.mlp.hook_in", folds=["skip_orientation", "gain", "skip"]),
                      transposed)
    gemma_scope_2_clt()


# --- dictionary_learning ---------------------------------------------------------------------

DICTIONARIES = {
    "AutoEncoder": ["decoder_norm"],
    "AutoEncoderNew": [],
    "GatedAutoEncoder": ["gate"],
    "JumpReluAutoEncoder": [],
    "AutoEncoderTopK": [],
    "BatchTopKSAE": ["threshold"],
    "MatryoshkaBatchTopKSAE": ["threshold"],
}


def dictionary_learning(name, folds, backup=False):
    case = "dictionary_learning_" + name + ("_backup" if backup else "")
    folder = new_folder(case, "trainer_0")
    model = randomise(lib.dictionary(name, D, F, K))
    if hasattr(model, "k"):
        model.threshold.fill_(0.4)
    config = {"trainer": {"dict_class": name, "activation_dim": D, "dict_size": F, "layer": 3,
                          "k": K, "lm_name": "EleutherAI/pythia-70m-deduped",
                          "submodule_name": "resid_post_layer_3"}, "buffer": {"ctx_len": 128}}
    (folder / "config.json").write_text(json.dumps(config))
    if backup:
        torch.save({"step": 5, "ae": model.state_dict(), "optimizer": {"state": {}, "param_groups": []},
                    "config": config["trainer"], "norm_factor": 2.5}, folder / "ae.pt")
        model.scale_biases(2.5)
    else:
        torch.save(model.state_dict(), folder / "ae.pt")
    if name == "AutoEncoder":
        model.normalize_decoder()  # as its from_pretrained does
    x = inputs(2)
    with torch.no_grad():
        finish(case, x, model.encode(x), model.decode(model.encode(x)), "trainer_0",
               format="dictionary_learning", architecture=name, hook="blocks.3.hook_resid_post",
               hf_module="gpt_neox.layers.3.output", folds=folds + ["site"])


# --- sparsify --------------------------------------------------------------------------------


def sparsify(case, module, hook, hf_module, folds, **options):
    run = new_folder(case, "run")
    (run / "config.json").write_text(json.dumps({"model": "HuggingFaceTB/SmolLM2-135M"}))
    sae = randomise(lib.sparse_coder(D, num_latents=F, k=K, **options))
    sae.save_to_disk(run / module)
    x = inputs(2)
    with torch.no_grad():
        top = sae.encode(x)
        z = torch.zeros(TOKENS, F).scatter(1, top.top_indices, top.top_acts)
        finish(case, x, z, sae(x).sae_out, f"run/{module}", format="sparsify",
               architecture=options.get("activation", "topk"), hook=hook, hf_module=hf_module,
               folds=folds)


def sparsify_cases():
    sparsify("sparsify_topk", "layers.10", "blocks.10.hook_resid_post", "model.layers.10.output",
             ["site"])
    sparsify("sparsify_groupmax", "layers.10.mlp", "blocks.10.hook_mlp_out",
             "model.layers.10.mlp.output", ["site"], activation="groupmax")
    sparsify("sparsify_transcode_skip", "layers.10.mlp", "blocks.10.mlp.hook_in",
             "model.layers.10.mlp.input", ["skip"], transcode=True, skip_connection=True)
    sparsify("sparsify_skip", "embed_tokens", "hook_embed", "model.embed_tokens.output", ["skip"],
             skip_connection=True)


# --- OpenMOSS --------------------------------------------------------------------------------


def linear_pair():
    return tensors(**{"encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F),
                      "decoder.bias": (D,)})


def llama_scope():
    folder = new_folder("llama_scope", "Llama3_1-8B-Base-L3R-8x")
    (folder / "checkpoints").mkdir(exist_ok=True)
    weights = linear_pair()
    save_file(weights, folder / "checkpoints/final.safetensors")
    hook, theta = "blocks.3.hook_resid_post", 0.35
    norm_in, norm_out = 5.0, 7.0
    (folder / "hyperparams.json").write_text(json.dumps(
        {"hook_point_in": hook, "hook_point_out": hook, "d_model": D, "d_sae": F, "act_fn": "jumprelu",
         "top_k": 50, "jump_relu_threshold": theta, "norm_activation": "dataset-wise",
         "dataset_average_activation_norm": {"in": norm_in, "out": norm_out},
         "sparsity_include_decoder_norm": True, "use_decoder_bias": True,
         "apply_decoder_bias_to_pre_encoder": False, "use_glu_encoder": False}))
    s_in, s_out = D**0.5 / norm_in, D**0.5 / norm_out
    W_dec = weights["decoder.weight"].T * (s_in / s_out)
    norm = W_dec.norm(dim=1)
    x = inputs(2)
    p = (x @ weights["encoder.weight"].T + weights["encoder.bias"] / s_in) * norm
    z = torch.relu(p) * (p > theta)
    x_hat = z @ (W_dec / norm[:, None]) + weights["decoder.bias"] / s_out
    finish("llama_scope", x, z, x_hat, "Llama3_1-8B-Base-L3R-8x", format="llama_scope",
           architecture="jumprelu", hook=hook, hf_module=None, folds=["scale", "decoder_norm", "threshold"])


def llama_scope_r1():
    case, inside = "llama_scope_r1", "800M-Slimpajama/L3R"
    folder = new_folder(case, inside)
    save_file({**linear_pair(), "log_jumprelu_threshold": torch.randn(F) * 0.3 - 1},
              folder / "sae_weights.safetensors")
    hook = "blocks.3.hook_resid_post"
    (folder / "config.json").write_text(json.dumps(
        {"d_model": D, "expansion_factor": F / D, "hook_point_in": hook, "hook_point_out": hook,
         "act_fn": "jumprelu", "norm_activation": "dataset-wise",
         "sparsity_include_decoder_norm": False}))  # SAELens reads every file as if it said so
    sae = lib.via_sae_lens("llama_scope_r1_distill", OUT / case, "fnlp/Llama-Scope-R1-Distill",
                           inside, d_sae=F)
    sae.fold_activation_norm_scaling_factor(0.8)
    x = inputs(2)
    finish(case, x, sae.encode(x), sae(x), inside, format="llama_scope_r1", architecture="jumprelu",
           hook=hook, hf_module=None, folds=["threshold", "scale"],
           options={"norm_scaling_factor": 0.8})


def llamascopium(case, act_fn, folds, torch_file=False, hook_out=None, **options):
    folder = new_folder(case, "sae")
    hook = "blocks.3.hook_resid_post"
    hook_out = hook_out or hook
    sae = randomise(lib.llamascopium_sae(hook_point_in=hook, hook_point_out=hook_out, d_model=D,
                                         expansion_factor=F / D, act_fn=act_fn, top_k=K, **options))
    sae.set_dataset_average_activation_norm({hook: 5.0, hook_out: 7.0})
    sae.cfg.save_hyperparameters(folder)
    sae.save_checkpoint(folder / ("sae_weights.pt" if torch_file else "sae_weights.safetensors"))
    x = inputs(2)
    with torch.no_grad():
        norms = {key: D**0.5 / value for key, value in sae.dataset_average_activation_norm.items()}
        z = sae.encode(x * norms[hook])
        x_hat = sae.decode(z) / norms[hook_out]
        if act_fn == "topk" and sae.cfg.sparsity_include_decoder_norm:
            z = z * sae.decoder_norm()
    finish(case, x, z, x_hat, "sae", format="llamascopium", architecture=act_fn, hook=hook,
           hf_module=None, folds=folds)


def openmoss_cases():
    llama_scope()
    llama_scope_r1()
    llamascopium("llamascopium_jumprelu", "jumprelu", ["threshold", "scale"])
    llamascopium("llamascopium_topk", "topk", ["decoder_norm", "scale"], torch_file=True)
    llamascopium("llamascopium_transcoder", "relu", ["scale"], hook_out="blocks.3.hook_mlp_out",
                 sparsity_include_decoder_norm=False)


# --- circuit-tracer --------------------------------------------------------------------------

TRACER_CONFIG = """model_name: "Qwen/Qwen3-0.6B"
model_kind: %s
feature_input_hook: mlp.hook_in
feature_output_hook: hook_mlp_out
scan: tiny
"""


def circuit_tracer(case, activation, folds, skip=False, extra=""):
    folder = new_folder(case, "set")
    (folder / "config.yaml").write_text(TRACER_CONFIG % "transcoder_set" + extra)
    plt = randomise(lib.single_layer_transcoder(D, F, activation, skip))
    plt.to_safetensors(folder / "layer_4.safetensors")
    x = inputs(2)
    names = {"relu": "relu", "jump_relu": "jump_relu", "topk": "topk"}
    finish(case, x, plt.encode(x), plt(x), "set/layer_4.safetensors", format="circuit_tracer",
           architecture=names[activation], hook="blocks.4.mlp.hook_in",
           hf_module="model.layers.4.mlp.input", folds=folds + ["position"])


def circuit_tracer_clt(layers=3, layer=1):
    folder = new_folder("circuit_tracer_clt", "clt")
    (folder / "config.yaml").write_text(TRACER_CONFIG % "cross_layer_transcoder")
    clt = randomise(lib.cross_layer_transcoder(layers, F, D))
    clt.to_safetensors(folder)
    x = inputs(2)
    z, x_hat = clt_goldens(clt, x, layer)
    finish("circuit_tracer_clt", x, z, x_hat, f"clt/W_enc_{layer}.safetensors",
           format="circuit_tracer_clt", architecture="cross_layer_transcoder",
           hook=f"blocks.{layer}.mlp.hook_in", hf_module=f"model.layers.{layer}.mlp.input",
           folds=["cross_layer", "position"])


def circuit_tracer_cases():
    circuit_tracer("circuit_tracer_relu", "relu", [])
    circuit_tracer("circuit_tracer_jumprelu_skip", "jump_relu", ["skip"], skip=True)
    circuit_tracer("circuit_tracer_topk", "topk", ["topk"], extra=f"activation: topk\nk: {K}\n")
    circuit_tracer_clt()


# --- single files ----------------------------------------------------------------------------


def torch_file(case, loader, repo, name, weights, expected, **overrides):
    folder = new_folder(case, repo)
    torch.save(weights, folder / name)
    if loader == "connor_rob_hook_z":
        (folder / (name[:-3] + "_cfg.json")).write_text(json.dumps(
            {"act_size": D, "dict_size": F, "act_name": expected["hook"]}))
    sae = lib.via_sae_lens(loader, folder, repo, name, d_in=D, d_sae=F, dtype="float32", **overrides)
    sae.turn_off_forward_pass_hook_z_reshaping()
    x = inputs(2)
    finish(case, x, sae.encode(x), sae(x), repo, **expected)


def e2e_sae():
    folder = new_folder("e2e_sae", "sae")
    saes = {position: randomise(lib.e2e_sae(D, F))
            for position in ("blocks-2-hook_resid_pre", "blocks-6-hook_resid_pre")}
    torch.save({f"{position}.{key}": value for position, sae in saes.items()
                for key, value in sae.state_dict().items()}, folder / "samples_400000.pt")
    (folder / "final_config.yaml").write_text("tlens_model_name: gpt2-small\nseed: 0\n")
    x = inputs(2)
    x_hat, z = saes["blocks-6-hook_resid_pre"](x)
    finish("e2e_sae", x, z, x_hat, "sae", format="e2e_sae", architecture="standard",
           hook="blocks.6.hook_resid_pre", hf_module="transformer.h.6.input", folds=["decoder_norm"],
           options={"hook": "blocks.6.hook_resid_pre"})


def torch_file_cases():
    two = linear_pair()
    torch_file("goodfire", "goodfire", "Goodfire/Llama-3.1-8B-Instruct-SAE-l19",
               "Llama-3.1-8B-Instruct-SAE-l19.pth",
               {key.replace("coder.", "coder_linear."): value for key, value in two.items()},
               dict(format="goodfire", architecture="standard", hook="blocks.19.hook_resid_post",
                    hf_module=None, folds=["site"]))
    torch_file("deepseek_r1", "deepseek_r1", "qresearch/DeepSeek-R1-Distill-Llama-8B-SAE-l19",
               "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt", linear_pair(),
               dict(format="deepseek_r1", architecture="standard", hook="blocks.19.hook_resid_post",
                    hf_module=None, folds=["site"]))
    torch_file("connor_rob", "connor_rob_hook_z", "ckkissane/attn-saes-gpt2-small-all-layers",
               "gpt2-small_L5_Hcat_z_v0.pt", plain_tensors(threshold=False),
               dict(format="connor_rob", architecture="standard", hook="blocks.5.attn.hook_z",
                    hf_module=None, folds=["reshape"]))
    weights = plain_tensors(threshold=False)
    torch_file("qwen_scope", "qwen_scope", "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_3", "layer3.sae.pt",
               {key: value.T.contiguous() for key, value in weights.items()},
               dict(format="qwen_scope", architecture="topk", hook="blocks.3.hook_resid_post",
                    hf_module="model.layers.3.output", folds=["topk", "site"]))
    e2e_sae()


def main():
    torch.manual_seed(0)
    if OUT.exists():
        shutil.rmtree(OUT)
    sae_lens_cases()
    gemma_scope_cases()
    for name, folds in DICTIONARIES.items():
        dictionary_learning(name, folds)
    dictionary_learning("BatchTopKSAE", ["threshold", "bias_scale"], backup=True)
    sparsify_cases()
    openmoss_cases()
    circuit_tracer_cases()
    torch_file_cases()
    make_llama_scope_r1.main()
    size = sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file())
    print(len(list(OUT.iterdir())), "cases,", size, "bytes")


if __name__ == "__main__":
    main()
