#!/usr/bin/env python3
"""The published recovery algorithm in PyTorch, on the model, SAE and prompts that rebound gets.

Driven by bench/run_peer.sh; needs torch, transformers >= 5, gguf, safetensors.

    prepare --model GGUF --sae DIR --work DIR   writes prompts.jsonl and spec.json (a rebound spec)
    time    --work DIR [--out FILE]             seconds per prompt and step of both forms
    set     --work DIR                          the recovered set: every prompt, every step
    compare --work DIR RUN_DIR...               ratios, medians, spread, recovered sets

Two forms, both float32, one prompt at a time, with the same result:
  released  as the paper's code does it: weights carry gradients, the whole model runs from token 0
            at every step, all positions go through the head
  tuned     what an expert would write: frozen weights, the residual entering the hooked layer kept,
            only the last position through the head
Position 0 (an attention sink) is never clamped.
"""
import argparse
import json
import pathlib
import random
import sqlite3
import statistics
import time

STEPS, LR, CAP, RIDGE = 100, 0.1, 20.0, 1e-4
ROW = {"constraint": "encoder_published", "objective": "logit_diff", "threat_model": "after_clamp",
       "budget": CAP, "steps": STEPS, "lr": LR, "scope": "per_prompt"}
DATA = pathlib.Path(__file__).resolve().parents[2] / "data" / "ioi"


# ---------------------------------------------------------------- model, SAE, prompts

def load_model(path):
    import torch
    import transformers
    path = pathlib.Path(path)
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32).eval()


class Sae:
    """A pointwise SAE from a SAELens folder (jumprelu or standard)."""

    def __init__(self, folder):
        from safetensors.torch import load_file
        folder = pathlib.Path(folder)
        config = json.loads((folder / "cfg.json").read_text())
        assert config["architecture"] in ("jumprelu", "standard"), config["architecture"]
        assert config.get("normalize_activations", "none") == "none"
        weights = {k: v.float() for k, v in load_file(folder / "sae_weights.safetensors").items()}
        self.w_enc, self.w_dec = weights["W_enc"], weights["W_dec"]
        self.b_enc, self.b_dec = weights["b_enc"], weights["b_dec"]
        self.threshold = weights.get("threshold", self.b_enc * 0)
        self.input_shift = self.b_dec if config.get("apply_b_dec_to_input", True) else 0

    def encode(self, h, features=slice(None)):
        pre = (h - self.input_shift) @ self.w_enc[:, features] + self.b_enc[features]
        return pre.relu() * (pre > self.threshold[features])


def load_tokenizer(model_path):
    import tokenizers
    import transformers
    path = pathlib.Path(model_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    pre = tokenizers.pre_tokenizers
    tokenizer.backend_tokenizer.pre_tokenizer = pre.Sequence(
        [pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False, use_regex=True)])
    return lambda text: tokenizer(text, add_special_tokens=False).input_ids


def make_prompts(encode, count, seed):
    """BABA prompts whose two names are one token each."""
    read = lambda name: json.loads((DATA / f"{name}.json").read_text())
    names = [n for n in read("names") if len(encode(" " + n)) == 1]
    places, objects, templates = read("places"), read("objects"), read("templates_baba")
    rng, prompts = random.Random(seed), []
    while len(prompts) < count:
        subject, indirect = rng.sample(names, 2)
        text = (templates[len(prompts) % len(templates)].replace("{S}", subject)
                .replace("{IO}", indirect).replace("{PLACE}", rng.choice(places))
                .replace("{OBJECT}", rng.choice(objects)))
        prompts.append({"ids": encode(text), "correct_id": encode(" " + indirect)[0],
                        "wrong_id": encode(" " + subject)[0]})
    return prompts


# ---------------------------------------------------------------- runs

class Peer:
    def __init__(self, spec):
        import torch
        self.torch, self.spec = torch, spec
        self.model, self.sae = load_model(spec["model"]), Sae(spec["sae"])
        self.layer = int(spec["hook"].split(".")[1])
        defence = spec.get("defence", {"features": []})
        self.features = torch.tensor(defence["features"], dtype=torch.long)
        self.value = defence.get("edit", {}).get("value", 0.0)
        a = self.sae.w_enc[:, self.features]
        gram = a.T @ a + RIDGE * torch.eye(a.shape[1])
        self.off_span = lambda g: g - a @ torch.linalg.solve(gram, a.T @ g)

    def clamp(self, h):  # [1, pos, d_model]
        z = self.sae.encode(h, self.features)
        change = self.torch.where(z > 0, self.value - z, self.torch.zeros_like(z))
        change[:, 0] = 0
        return h + change @ self.sae.w_dec[self.features]

    def whole(self, ids, edit=None):
        """Logits [vocab] of the last position; `edit` maps the residual at the hook."""
        handle = None
        if edit:
            def hook(module, args, kwargs):
                if args:
                    return (edit(args[0]), *args[1:]), kwargs
                return args, {**kwargs, "hidden_states": edit(kwargs["hidden_states"])}
            handle = self.model.model.layers[self.layer].register_forward_pre_hook(
                hook, with_kwargs=True)
        try:
            return self.model(self.torch.tensor([ids]), use_cache=False).logits[0, -1]
        finally:
            if handle:
                handle.remove()

    def residual(self, ids):
        kept = []
        with self.torch.no_grad():
            self.whole(ids, lambda h: kept.append(h) or h)
        return kept[0]

    def upper(self, resid):
        """Logits [vocab] of the last position from the residual at the hook."""
        base = self.model.model
        position = self.torch.arange(resid.shape[1])[None]
        rotary = base.rotary_emb(resid, position)
        for layer in base.layers[self.layer:]:
            out = layer(resid, attention_mask=None, position_ids=position,
                        position_embeddings=rotary)
            resid = out[0] if isinstance(out, tuple) else out
        return self.model.lm_head(base.norm(resid[:, -1]))[0]

    def objective_of(self, prompt, form):
        """delta [d_model] -> logit difference, as `form` computes it."""
        gap = lambda logits: logits[prompt["correct_id"]] - logits[prompt["wrong_id"]]
        place = lambda h, delta: self.torch.cat([h[:, :-1], h[:, -1:] + delta], 1)
        self.model.requires_grad_(form == "released")
        if form == "released":
            return lambda delta: gap(self.whole(
                prompt["ids"], lambda h: place(self.clamp(h), delta)))
        defended = self.clamp(self.residual(prompt["ids"]))
        return lambda delta: gap(self.upper(place(defended, delta)))

    def recover(self, prompt, form, steps):
        """(final logit difference, seconds per step); preparation is not timed."""
        torch = self.torch
        objective = self.objective_of(prompt, form)
        delta = torch.zeros(self.sae.w_enc.shape[0], requires_grad=True)
        adam = torch.optim.Adam([delta], lr=LR)
        start = time.perf_counter()
        for _ in range(steps):
            adam.zero_grad()
            (-objective(delta)).backward()
            delta.grad = self.off_span(delta.grad)
            adam.step()
            with torch.no_grad():
                norm = delta.norm()
                if norm > CAP:
                    delta.mul_(CAP / (norm + 1e-8))
        seconds = (time.perf_counter() - start) / steps
        self.model.zero_grad(set_to_none=True)
        with torch.no_grad():
            return objective(delta).item(), seconds

    def valid_flips(self, prompts):
        gap = lambda logits, p: (logits[p["correct_id"]] - logits[p["wrong_id"]]).item()
        with self.torch.no_grad():
            return [i for i, p in enumerate(prompts) if gap(self.whole(p["ids"]), p) > 0
                    and gap(self.whole(p["ids"], self.clamp), p) <= 0]

    def attribution(self, prompts):
        """Sum over prompts and positions > 0 of activation x gradient of the logit difference."""
        torch, total = self.torch, 0
        self.model.requires_grad_(False)
        for p in prompts:
            h = self.residual(p["ids"]).requires_grad_()
            logits = self.upper(h)
            (logits[p["correct_id"]] - logits[p["wrong_id"]]).backward()
            with torch.no_grad():
                z = self.sae.encode(h[0, 1:])
                total = total + (z * (h.grad[0, 1:] @ self.sae.w_dec.T)).sum(0)
        return total


# ---------------------------------------------------------------- verbs

def prepare(arguments):
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    encode = load_tokenizer(arguments.model)
    train = make_prompts(encode, 32, seed=1)
    prompts = make_prompts(encode, arguments.prompts, seed=2)
    (work / "prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))
    spec = {"model": str(arguments.model.resolve()), "sae": str(arguments.sae.resolve()),
            "hook": arguments.hook}
    scores = Peer(spec).attribution(train)
    best = scores.topk(arguments.features)
    features = sorted(f for f, s in zip(best.indices.tolist(), best.values.tolist()) if s > 0)
    spec |= {"behaviour": {"kind": "ioi", "prompts": str((work / "prompts.jsonl").resolve())},
             "defence": {"features": features, "positions": "all",
                         "edit": {"kind": "set", "value": arguments.value, "when": "active_only"}},
             "perturb": {"positions": "answer"}, "rows": [ROW], "batch": 64, "seed": 0}
    (work / "spec.json").write_text(json.dumps(spec, indent=1) + "\n")
    print(f"prepared {len(prompts)} prompts, {len(features)} features in {work}")


def read_work(work):
    spec = json.loads((work / "spec.json").read_text())
    prompts = [json.loads(line) for line in (work / "prompts.jsonl").read_text().splitlines()]
    return spec, prompts


def time_forms(arguments):
    spec, prompts = read_work(arguments.work)
    peer, result = Peer(spec), {}
    for form, count, steps in (("released", 2, 5), ("tuned", 4, 10)):
        peer.recover(prompts[0], form, 1)  # warm
        result[form] = [peer.recover(p, form, steps)[1] for p in prompts[:count]]
    with open(arguments.work / "times.jsonl", "a") as out:
        out.write(json.dumps(result) + "\n")
    print({form: round(statistics.median(times), 4) for form, times in result.items()})


def recovered_set(arguments):
    spec, prompts = read_work(arguments.work)
    peer = Peer(spec)
    valid = peer.valid_flips(prompts)
    recovered = [i for i in valid if peer.recover(prompts[i], "tuned", STEPS)[0] > 0]
    (arguments.work / "set.json").write_text(json.dumps({"valid": valid, "recovered": recovered}))
    print(f"{len(recovered)} of {len(valid)} valid flips recovered")


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "n": len(values)}


def rebound_figures(run):
    """(seconds per prompt and step, recovered prompts, all prompts attacked) of a run folder."""
    summary = json.loads((run / "summary.json").read_text())
    row = next(r for r in summary["rows"] if r["constraint"] == ROW["constraint"]
               and not r.get("control"))
    with sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True) as store:
        results = store.execute("select prompt, recovered from results where row = ?",
                                (row["name"],)).fetchall()
    return (row["seconds_per_prompt"] / STEPS, sorted(p for p, ok in results if ok),
            sorted(p for p, _ in results))


def compare(arguments):
    lines = [json.loads(line) for line in (arguments.work / "times.jsonl").read_text().splitlines()]
    figures = [rebound_figures(run) for run in arguments.runs]
    seconds = {form: spread([statistics.median(line[form]) for line in lines])
               for form in ("released", "tuned")}
    seconds["rebound"] = spread([f[0] for f in figures])
    ours = seconds["rebound"]["median"]
    result = {"ratio_released": seconds["released"]["median"] / ours,
              "ratio_tuned": seconds["tuned"]["median"] / ours,
              "seconds_per_prompt_step": seconds, "recovered_rebound": len(figures[0][1]),
              "n_valid_rebound": len(figures[0][2])}
    if (arguments.work / "set.json").exists():
        peer = json.loads((arguments.work / "set.json").read_text())
        result |= {"recovered_peer": len(peer["recovered"]), "n_valid_peer": len(peer["valid"]),
                   "recovered_sets_equal": peer["recovered"] == figures[0][1]}
    print(json.dumps(result, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)

    def verb(name, body):
        sub = verbs.add_parser(name)
        sub.add_argument("--work", type=pathlib.Path, required=True)
        sub.set_defaults(body=body)
        return sub

    p = verb("prepare", prepare)
    p.add_argument("--model", type=pathlib.Path, required=True)
    p.add_argument("--sae", type=pathlib.Path, required=True)
    p.add_argument("--hook", default="blocks.12.hook_resid_pre")
    p.add_argument("--prompts", type=int, default=64)
    p.add_argument("--features", type=int, default=64)
    p.add_argument("--value", type=float, default=-5.0)
    verb("time", time_forms)
    verb("set", recovered_set)
    verb("compare", compare).add_argument("runs", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    arguments.body(arguments)


if __name__ == "__main__":
    main()
