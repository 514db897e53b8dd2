#!/usr/bin/env python3
"""Five steps of the published recovery algorithm, in NumPy float64 alone: the second road to the
numbers of the `recover` layer. No autograd (central differences), no code shared with rebound.

    python3 tools/golden/recovery_numpy.py        # needs numpy; reads tests/model/golden/

Model: tests/model/golden/tiny_llama_tied. SAE: random JumpReLU of d_sae 64 at
blocks.1.hook_resid_pre, written as a SAELens folder to tests/recover/golden/tiny_sae/.
Clamp: `features` are set to `value` where they are active (feature activation > 0) at
`clamp_positions`, error-preserving: h_def = h + (z_edited - z) W_dec. One delta row is added to the
clamped residual at `position`, zeros at the start. Each step:

  objective_i = logit[correct] - logit[wrong]                measured before update i
  drift       = ||.|| of the change of the features' pre- and post-activations, before update i
  g           = -d objective / d delta
  encoder_published: g <- g - A (A^T A + ridge I)^-1 A^T g   A = W_enc[:, features]
  Adam (lr, betas, eps, bias correction);  if ||delta|| > cap: delta *= cap / (||delta|| + 1e-8)
  norm_i      = ||delta||                                    after update and cap

tests/recover/golden/published_five_steps.json:
  {model, sae, site, ids, correct_id, wrong_id, features, edit: {kind, value, when},
   clamp_positions, position, lr, betas, eps, cap, ridge, steps, base_objective,
   defended_objective, h_def [d_model] at `position`,
   rows: {none | encoder_published:
          {objective [5], drift_pre [5], drift_post [5], norm [5], delta [d_model], final_objective}}}
"""
import json
import pathlib

import numpy as np

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests"
MODEL = GOLDEN / "model/golden/tiny_llama_tied"
OUT = GOLDEN / "recover/golden"
LAYER, IDS = 1, [1, 17, 99, 3, 64, 2, 127]
D_SAE, N_FEATURES, VALUE = 64, 4, -5.0
STEPS, LR, BETAS, EPS, CAP, RIDGE = 5, 0.1, (0.9, 0.999), 1e-8, 1.5, 1e-4


def read_safetensors(path):
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(raw[end + t["data_offsets"][0]:end + t["data_offsets"][1]], "<f4")
            .reshape(t["shape"]).astype(np.float64) for name, t in header.items()}


def write_safetensors(path, tensors):
    header, offset = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape),
                        "data_offsets": [offset, offset + 4 * value.size]}
        offset += 4 * value.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text +
                     b"".join(v.astype("<f4").tobytes() for v in tensors.values()))


class TinyLlama:
    """A Llama forward pass for one prompt; residuals are [pos, d_model]."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {}
        for shard in sorted(folder.glob("*.safetensors")):
            self.weights.update(read_safetensors(shard))

    def weight(self, layer, name):
        return self.weights[f"model.layers.{layer}.{name}.weight"]

    def norm(self, x, gain):
        return gain * x / np.sqrt((x * x).mean(-1, keepdims=True) + self.config["rms_norm_eps"])

    def rotate(self, x):  # [pos, heads, d_head]
        half = x.shape[-1] // 2
        theta = self.config["rope_parameters"]["rope_theta"]
        angle = np.outer(np.arange(len(x)), theta ** (-np.arange(half) / half))[:, None, :]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle),
                               b * np.cos(angle) + a * np.sin(angle)], -1)

    def attention(self, layer, x):
        d_head, n = self.config["head_dim"], len(x)
        q, k, v = ((x @ self.weight(layer, f"self_attn.{name}_proj").T).reshape(n, -1, d_head)
                   for name in "qkv")
        q, k = self.rotate(q), self.rotate(k)
        group = q.shape[1] // k.shape[1]
        k, v = np.repeat(k, group, 1), np.repeat(v, group, 1)
        scores = np.einsum("qhe,khe->hqk", q, k) / np.sqrt(d_head)
        scores = np.where(np.tril(np.ones((n, n), bool)), scores, -np.inf)
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        z = np.einsum("hqk,khe->qhe", pattern, v).reshape(n, -1)
        return z @ self.weight(layer, "self_attn.o_proj").T

    def mlp(self, layer, x):
        gate = x @ self.weight(layer, "mlp.gate_proj").T
        up = x @ self.weight(layer, "mlp.up_proj").T
        return (gate / (1 + np.exp(-gate)) * up) @ self.weight(layer, "mlp.down_proj").T

    def embed(self, ids):
        return self.weights["model.embed_tokens.weight"][ids]

    def run(self, resid, first, stop):
        for i in range(first, stop):
            resid = resid + self.attention(i, self.norm(resid, self.weight(i, "input_layernorm")))
            resid = resid + self.mlp(i, self.norm(resid, self.weight(i, "post_attention_layernorm")))
        return resid

    def logits_from(self, resid, layer):
        """Last-position logits from the residual entering `layer`."""
        last = self.run(resid, layer, self.config["num_hidden_layers"])[-1]
        return self.norm(last, self.weights["model.norm.weight"]) @ self.weights[
            "model.embed_tokens.weight"].T


class Sae:
    def __init__(self, weights):
        self.w_enc, self.b_enc, self.w_dec, self.b_dec, self.threshold = (
            weights[k] for k in ("W_enc", "b_enc", "W_dec", "b_dec", "threshold"))

    def pre(self, h):
        return (h - self.b_dec) @ self.w_enc + self.b_enc

    def encode(self, h):
        pre = self.pre(h)
        return np.maximum(pre, 0) * (pre > self.threshold)


def random_sae(h):
    """Weights (rounded to float32) whose firing on `h` [pos, d_model] is neither all nor nothing."""
    rng = np.random.default_rng(3)
    d = h.shape[1]
    w_dec = rng.normal(size=(D_SAE, d))
    w_dec /= np.linalg.norm(w_dec, axis=1, keepdims=True)
    w_enc = w_dec.T + 0.3 * rng.normal(size=(d, D_SAE)) / np.sqrt(d)
    weights = {"W_enc": w_enc, "b_enc": 0.1 * rng.normal(size=D_SAE), "W_dec": w_dec,
               "b_dec": 0.1 * rng.normal(size=d), "threshold": rng.uniform(0.2, 0.6, D_SAE)}
    return {k: v.astype(np.float32).astype(np.float64) for k, v in weights.items()}


def write_sae(folder, weights):
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "sae_weights.safetensors", weights)
    config = {"architecture": "jumprelu", "d_in": weights["W_enc"].shape[0], "d_sae": D_SAE,
              "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
              "normalize_activations": "none", "reshape_activations": "none",
              "metadata": {"sae_lens_version": "6.0.0", "model_name": "tiny_llama_tied",
                           "hook_name": f"blocks.{LAYER}.hook_resid_pre", "prepend_bos": False}}
    (folder / "cfg.json").write_text(json.dumps(config, indent=1) + "\n")


def clamp(sae, h, features, positions):
    z = sae.encode(h)
    edited = z.copy()
    for p in positions:
        for f in features:
            if z[p, f] > 0:
                edited[p, f] = VALUE
    return h + (edited - z) @ sae.w_dec


def choose_features(sae, h):
    """Two features that are on at the answer position, one on elsewhere only, one never on."""
    on = sae.encode(h) > 0
    here = np.flatnonzero(on[-1])[:2]
    elsewhere = np.flatnonzero(~on[-1] & on[1:-1].any(0))[:1]
    never = np.flatnonzero(~on[1:].any(0))[:1]
    features = [int(f) for f in (*here, *elsewhere, *never)]
    assert len(features) == N_FEATURES, features
    return features


def central_difference(f, x, step=1e-6):
    gradient = np.empty_like(x)
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = step
        gradient[i] = (f(x + e) - f(x - e)) / (2 * step)
    return gradient


def recover(objective, drifts, encoder, is_projected):
    d = encoder.shape[0]
    delta, m, v = np.zeros(d), np.zeros(d), np.zeros(d)
    row = {"objective": [], "drift_pre": [], "drift_post": [], "norm": []}
    gram = encoder.T @ encoder + RIDGE * np.eye(encoder.shape[1])
    for t in range(1, STEPS + 1):
        row["objective"].append(objective(delta))
        for name, drift in zip(("drift_pre", "drift_post"), drifts(delta)):
            row[name].append(drift)
        g = -central_difference(objective, delta)
        if is_projected:
            g = g - encoder @ np.linalg.solve(gram, encoder.T @ g)
        m = BETAS[0] * m + (1 - BETAS[0]) * g
        v = BETAS[1] * v + (1 - BETAS[1]) * g * g
        m_hat, v_hat = m / (1 - BETAS[0] ** t), v / (1 - BETAS[1] ** t)
        delta = delta - LR * m_hat / (np.sqrt(v_hat) + EPS)
        norm = np.linalg.norm(delta)
        if norm > CAP:
            delta = delta * CAP / (norm + 1e-8)
        row["norm"].append(float(np.linalg.norm(delta)))
    row["delta"] = delta.tolist()
    row["final_objective"] = objective(delta)
    return row


def main():
    model = TinyLlama(MODEL)
    check = json.loads((MODEL / "golden.json").read_text())["prompts"][1]
    assert check["ids"] == IDS
    logits = model.logits_from(model.embed(IDS), 0)
    assert np.abs(logits - check["logits"]).max() < 1e-4, "this model differs from transformers"

    h = model.run(model.embed(IDS), 0, LAYER)
    weights = random_sae(h)
    write_sae(OUT / "tiny_sae", weights)
    sae = Sae(weights)
    features, positions = choose_features(sae, h), list(range(1, len(IDS)))
    h_def = clamp(sae, h, features, positions)
    defended = model.logits_from(h_def, LAYER)
    correct, wrong = int(logits.argmax()), int(defended.argmax())
    assert correct != wrong, "the clamp does not flip this prompt"

    def objective(delta):
        moved = h_def.copy()
        moved[-1] += delta
        out = model.logits_from(moved, LAYER)
        return float(out[correct] - out[wrong])

    def drifts(delta):
        pre = sae.pre(h_def[-1] + delta)[features] - sae.pre(h_def[-1])[features]
        post = sae.encode(h_def[-1] + delta)[features] - sae.encode(h_def[-1])[features]
        return float(np.linalg.norm(pre)), float(np.linalg.norm(post))

    encoder = sae.w_enc[:, features]
    golden = {
        "made_by": "tools/golden/recovery_numpy.py", "model": "tests/model/golden/tiny_llama_tied",
        "sae": "tests/recover/golden/tiny_sae", "site": f"blocks.{LAYER}.hook_resid_pre",
        "ids": IDS, "correct_id": correct, "wrong_id": wrong, "features": features,
        "edit": {"kind": "set", "value": VALUE, "when": "active_only"},
        "clamp_positions": positions, "position": len(IDS) - 1, "lr": LR, "betas": BETAS,
        "eps": EPS, "cap": CAP, "ridge": RIDGE, "steps": STEPS,
        "base_objective": float(logits[correct] - logits[wrong]),
        "defended_objective": objective(np.zeros(h.shape[1])), "h_def": h_def[-1].tolist(),
        "rows": {"none": recover(objective, drifts, encoder, False),
                 "encoder_published": recover(objective, drifts, encoder, True)},
    }
    (OUT / "published_five_steps.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
