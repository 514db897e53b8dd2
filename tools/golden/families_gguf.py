"""The tiny models of make_families.py as GGUF files, with the names, layouts and keys that llama.cpp's
convert_hf_to_gguf.py gives to their families:

- Q and K of llama and smollm3 have the two rotary halves of each head interleaved
- GPT-NeoX's q, k, v are stacked instead of interleaved by head; GPT-2's matrices are transposed
- Gemma's gains hold their 1
- Llama 3.1's rope scaling is the tensor rope_freqs.weight (divisors of the frequencies); longrope's are
  rope_factors_short.weight and rope_factors_long.weight
- yarn's attention factor is held beside 0.1 ln(factor) + 1; its `truncate` is not stored
- a model that also sees images is its text model
- the pattern of windows, Gemma 3's local rope base and SmolLM3's layers without rope are not stored
"""
import math
import re

import gguf
import numpy
import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "smollm3": "smollm3",
                 "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "phi3": "phi3", "olmo2": "olmo2",
                 "stablelm": "stablelm", "gpt2": "gpt2", "gpt_neox": "gptneox"}
OUTER = {"embed_tokens": "token_embd", "wte": "token_embd", "embed_in": "token_embd", "wpe": "position_embd",
         "norm": "output_norm", "ln_f": "output_norm", "final_layer_norm": "output_norm",
         "lm_head": "output", "embed_out": "output"}
INNER = {"input_layernorm": "attn_norm", "ln_1": "attn_norm", "ln_2": "ffn_norm",
         "post_attention_layernorm": "ffn_norm", "pre_feedforward_layernorm": "ffn_norm",
         "post_feedforward_layernorm": "post_ffw_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
         "self_attn.qkv_proj": "attn_qkv", "attn.c_attn": "attn_qkv", "attention.query_key_value": "attn_qkv",
         "attn.c_proj": "attn_output", "attention.dense": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
         "mlp.gate_up_proj": "ffn_up", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
         "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down"}


def gguf_name(name, config):
    stem, kind = name.rsplit(".", 1)
    block = re.search(r"\.(?:layers|h)\.(\d+)\.(.*)$", stem)
    if not block:
        return f"{OUTER[stem.rsplit('.', 1)[-1]]}.{kind}"
    inner = INNER[block.group(2)]
    if block.group(2) == "post_attention_layernorm" and config.model_type in ("gemma2", "gemma3_text", "olmo2"):
        inner = "post_attention_norm"
    return f"blk.{block.group(1)}.{inner}.{kind}"


def interleaved(x, n_heads):
    return x.reshape(n_heads, 2, x.shape[0] // n_heads // 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)


def converted(name, x, config):
    n_heads = config.num_attention_heads
    if config.model_type in ("llama", "mistral", "smollm3") and re.search(r"\.[qk]_proj\.", name):
        return interleaved(x, n_heads if ".q_proj." in name else config.num_key_value_heads)
    if "query_key_value" in name:
        return x.reshape(n_heads, 3, -1, *x.shape[1:]).transpose(0, 1).reshape(x.shape)
    if config.model_type == "gpt2" and re.search(r"\.(c_attn|c_proj|c_fc)\.weight", name):
        return x.T
    if "gemma" in config.model_type and name.endswith("norm.weight"):
        return x + 1
    return x


def llama3_divisors(config):
    rope = config.rope_parameters
    dim = config.head_dim
    frequency = rope["rope_theta"] ** -(torch.arange(0, dim, 2).double() / dim)
    low, high, original = (rope[k] for k in ("low_freq_factor", "high_freq_factor", "original_max_position_embeddings"))
    wavelength = 2 * torch.pi / frequency
    share = (original / wavelength - low) / (high - low)
    smooth = 1 / ((1 - share) / rope["factor"] + share)
    return torch.where(wavelength < original / high, torch.ones_like(frequency),
                       torch.where(wavelength > original / low, torch.full_like(frequency, rope["factor"]), smooth))


def attention_factor(config, kind):
    return ROPE_INIT_FUNCTIONS[kind](config, device="cpu")[1]


def add_yarn(writer, config, rope):
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if "mscale" in rope:
        writer.add_rope_scaling_attn_factors(attention_factor(config, "yarn") / (0.1 * math.log(rope["factor"]) + 1))
    if "beta_fast" in rope:
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])


def add_keys(writer, config):
    get = lambda *names: next((v for v in (getattr(config, n, None) for n in names) if v is not None), None)
    head_dim = get("head_dim") or config.hidden_size // config.num_attention_heads
    rope = get("rope_parameters") or {}
    rope = rope.get("full_attention", rope)
    writer.add_name("tiny")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(get("intermediate_size", "n_inner"))
    writer.add_head_count(config.num_attention_heads)
    if get("num_key_value_heads"):
        writer.add_head_count_kv(config.num_key_value_heads)
    if get("rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        writer.add_layer_norm_eps(get("layer_norm_eps", "layer_norm_epsilon"))
    if rope:
        writer.add_rope_freq_base(rope["rope_theta"])
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    if rope.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if rope.get("rope_type") == "yarn":
        add_yarn(writer, config, rope)
    if rope.get("rope_type") == "longrope":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_rope_scaling_attn_factors(attention_factor(config, "longrope"))
    if get("head_dim"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if config.model_type in ("gemma2", "gemma3_text", "phi3", "mistral"):
        writer.add_sliding_window(config.sliding_window or 0)
    if config.model_type == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if get("use_parallel_residual") is not None:
        writer.add_parallel_residual(config.use_parallel_residual)


def write_gguf(model, path):
    config = model.config.get_text_config()
    writer = gguf.GGUFWriter(path, ARCHITECTURES[config.model_type])
    add_keys(writer, config)
    for name, x in model.named_parameters():  # a tied head is not among them
        if "vision_tower" in name or "multi_modal_projector" in name:
            continue
        x = converted(name, x.data, config).contiguous()
        if x.ndim == 1:
            writer.add_tensor(gguf_name(name, config), x.float().numpy())
        else:
            half = (x.float().numpy().view(numpy.uint32) >> 16).astype(numpy.uint16)  # exact: bfloat16 numbers
            writer.add_tensor(gguf_name(name, config), half.view(numpy.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config).float().numpy())
    for kind in ("short", "long") if rope.get("rope_type") == "longrope" else ():
        writer.add_tensor(f"rope_factors_{kind}.weight", numpy.array(rope[f"{kind}_factor"], numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
