"""The classes that make_sae_formats.py writes and runs, each taken from its own package.

A package's __init__ imports its training code and all that needs; `part` imports only the module
that defines the class. What a module imports for training alone is replaced by an empty stand-in.
"""
import importlib
import importlib.machinery
import os
import pathlib
import sys
import types

import torch

CPU = torch.device("cpu")
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # read when sparsify is imported


def part(name, hollow=()):
    """Module `name` without the __init__ of the packages above it; `hollow` modules are empty."""
    packages = name.split(".")[:-1]
    for i in range(len(packages)):
        package = ".".join(packages[:i + 1])
        if package in sys.modules:
            continue
        path = sys.modules[".".join(packages[:i])].__path__ if i else None
        spec = importlib.machinery.PathFinder.find_spec(package, path)
        module = types.ModuleType(package)
        module.__path__ = list(spec.submodule_search_locations)
        sys.modules[package] = module
    for other, names in hollow:
        if other not in sys.modules:
            module = types.ModuleType(other)
            module.__path__ = []
            for attribute, value in names.items():
                setattr(module, attribute, value)
            sys.modules[other] = module
    return importlib.import_module(name)


# --- sae_lens --------------------------------------------------------------------------------


def sae_lens_sae(architecture, **options):
    from sae_lens.registry import get_sae_class
    sae_class, config_class = get_sae_class(architecture)
    return sae_class(config_class(dtype="float32", device="cpu", **options))


def sae_lens_training_batchtopk(d_in, d_sae, k):
    from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
    return BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(
        d_in=d_in, d_sae=d_sae, k=k, dtype="float32", device="cpu",
        rescale_acts_by_decoder_norm=True))


def sae_lens_from_disk(folder):
    from sae_lens import SAE
    return SAE.load_from_disk(folder)


def via_sae_lens(loader_name, root, repo, folder, **overrides):
    """What SAELens makes of local files, through its loader for a Hugging Face repository.

    `root` stands for the repository."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders

    def local(repo_id, filename, subfolder=None, **_):
        path = pathlib.Path(root) / (subfolder or "") / filename
        if not path.exists():  # files of a case lie in a folder named after the repository
            path = pathlib.Path(root) / repo / (subfolder or "") / filename
        return str(path)

    loaders.hf_hub_download = local
    cfg, state, _ = loaders.NAMED_PRETRAINED_SAE_LOADERS[loader_name](
        repo, folder, device="cpu", force_download=False, cfg_overrides=overrides)
    cfg = loaders.handle_config_defaulting({**cfg, "dtype": "float32", "device": "cpu", **overrides})
    config = SAE.get_sae_config_class_for_architecture(cfg["architecture"]).from_dict(cfg)
    sae = SAE.get_sae_class_for_architecture(config.architecture())(config)
    sae.process_state_dict_for_loading(state)
    sae.load_state_dict({key: value.float() for key, value in state.items()})
    return sae.requires_grad_(False)


# --- dictionary_learning ---------------------------------------------------------------------


def dictionary(name, d, n, k):
    base = part("dictionary_learning.dictionary")
    if hasattr(base, name):
        return getattr(base, name)(d, n)
    hollow = [("dictionary_learning.config", {"DEBUG": False})]
    modules = {"AutoEncoderTopK": "top_k", "BatchTopKSAE": "batch_top_k",
               "MatryoshkaBatchTopKSAE": "matryoshka_batch_top_k"}
    module = part("dictionary_learning.trainers." + modules[name], hollow)
    extra = {"group_sizes": [n // 3, n - n // 3]} if name.startswith("Matryoshka") else {}
    return getattr(module, name)(d, n, k, **extra)


# --- sparsify --------------------------------------------------------------------------------


def sparse_coder(d_in, **options):
    module = part("sparsify.sparse_coder")
    config = part("sparsify.config")
    return module.SparseCoder(d_in, config.SparseCoderConfig(**options))


# --- circuit-tracer --------------------------------------------------------------------------


def tracer(name):
    hollow = [("circuit_tracer.utils", {"get_default_device": lambda: CPU})]
    return part("circuit_tracer.transcoder." + name, hollow)


def single_layer_transcoder(d, n, activation, skip):
    functions = tracer("activation_functions")
    function = {"relu": lambda: torch.nn.functional.relu, "topk": lambda: functions.TopK(3),
                "jump_relu": lambda: functions.JumpReLU(torch.zeros(n), 0.1)}[activation]()
    return tracer("single_layer_transcoder").SingleLayerTranscoder(
        d, n, function, 4, skip_connection=skip, device=CPU, dtype=torch.float32)


def cross_layer_transcoder(layers, n, d):
    return tracer("cross_layer_transcoder").CrossLayerTranscoder(
        layers, n, d, activation_function="jump_relu", lazy_decoder=False, device=CPU,
        dtype=torch.float32)


def gemma_scope_transcoder(path):
    return tracer("single_layer_transcoder").load_gemma_scope_transcoder(str(path), 0, device=CPU)


def gemma_scope_2_transcoder(path):
    return tracer("single_layer_transcoder").load_gemma_scope_2_transcoder(str(path), 0, device=CPU)


def gemma_scope_2_clt(paths):
    """Its loader stops before the last key (circuit-tracer 0.5.0), so one more is named."""
    paths = {**paths, len(paths): None}
    return tracer("cross_layer_transcoder").load_gemma_scope_2_clt(
        {key: str(path) for key, path in paths.items()}, device=CPU, dtype=torch.float32)


# --- llamascopium, e2e_sae -------------------------------------------------------------------


def llamascopium_sae(**options):
    hollow = [("llamascopium.backend", {}),
              ("llamascopium.backend.language_model", {"LanguageModelConfig": object})]
    module = part("llamascopium.models.sae", hollow)
    return module.SparseAutoEncoder(module.SAEConfig(device="cpu", dtype=torch.float32, **options))


def e2e_sae(d, n):
    return part("e2e_sae.models.sparsifiers").SAE(d, n)
