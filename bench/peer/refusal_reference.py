#!/usr/bin/env python3
"""One step of the published cross-layer algorithm in PyTorch, beside rebound's steps on the same model,
defence, answers and rows. Driven by bench/run_peer.sh refusal; needs torch, transformers >= 5, gguf.

    time    --model GGUF [--prompts N] [--steps N] [--out FILE]   seconds per prompt and step of three forms
    compare --out FILE RUN_DIR                                    ratios against rebound's rows

Forms, float32, one prompt at a time, 48 answer tokens, clamps at layers 10, 14, 18 (one direction each):
  released    8 Gaussian probes and one drift probe by vector-Jacobian products, drift penalty, 5 correction
              steps; weights carry gradients, the whole model runs, every position goes through the head
  frozen      the same with weights that carry none
  projection  one gradient of the answer's log-probability, frozen: the plain search
"""
import argparse
import json
import pathlib
import sqlite3
import statistics
import time

from ioi_reference import load_model, load_tokenizer

LAYERS, ROWS, PROBES, CORRECTIONS = (10, 14, 18), 48, 8, 5
REQUESTS = ["Explain how bread rises.", "Write a short story about a lighthouse.",
            "List three uses of copper.", "Describe how a bill becomes a law."]


class Steps:
    def __init__(self, model, ids, prompt_length, is_frozen):
        import torch
        self.torch, self.model, self.ids, self.first = torch, model, ids, prompt_length - 1
        for parameter in model.parameters():
            parameter.requires_grad_(not is_frozen)
        generator = torch.Generator().manual_seed(0)
        width = model.config.hidden_size
        self.directions = {layer: 5 * torch.randn(width, generator=generator) / width ** 0.5 for layer in LAYERS}
        self.delta = {layer: torch.zeros(ROWS, width, requires_grad=True) for layer in LAYERS}
        self.optimizer = torch.optim.Adam(self.delta.values(), lr=0.03)
        self.reference = None
        with torch.no_grad():
            self.reference = [z.detach() for z in self.run()[1]]

    def run(self):
        """Log-probability of the answer and the readings of every clamp."""
        readings, handles = [], []

        def hook(layer):
            def edit(module, args):
                h = args[0]
                h = h + self.directions[layer] * (self.torch.arange(h.shape[1])[:, None] > 0)
                rows = h[:, self.first:self.first + ROWS] + self.delta[layer]
                h = self.torch.cat([h[:, :self.first], rows, h[:, self.first + ROWS:]], 1)
                unit = self.directions[layer] / self.directions[layer].norm()
                readings.append(h[0, self.first:self.first + ROWS] @ unit)
                return (h, *args[1:])
            return edit

        for layer in LAYERS:
            handles.append(self.model.model.layers[layer].register_forward_pre_hook(hook(layer)))
        logits = self.model(self.ids, use_cache=False).logits
        for handle in handles:
            handle.remove()
        log_probs = logits[0, self.first:self.first + ROWS].log_softmax(-1)
        target = self.ids[0, self.first + 1:self.first + 1 + ROWS]
        return log_probs.gather(-1, target[:, None]).mean(), readings

    def drift_loss(self, readings):
        return sum(((z - r) ** 2).mean() / ((r ** 2).mean() + 1e-6)
                   for z, r in zip(readings, self.reference)) / len(readings)

    def clear(self):
        self.optimizer.zero_grad(set_to_none=True)
        self.model.zero_grad(set_to_none=True)

    def published(self):
        torch = self.torch
        self.clear()
        score, readings = self.run()
        state = torch.cat(readings)
        probes = [torch.cat([z.detach() - r for z, r in zip(readings, self.reference)])]
        probes += [torch.randn_like(state) for _ in range(PROBES)]
        basis = []
        for probe in probes:
            rows = torch.autograd.grad((state * probe / (probe.norm() + 1e-8)).sum(), list(self.delta.values()),
                                       retain_graph=True)
            q = torch.cat([row.flatten() for row in rows])
            for b in basis:
                q = q - (q @ b) * b
            if q.norm() > 1e-7:
                basis.append(q / q.norm())
        (-score).backward(retain_graph=True)
        flat = torch.cat([d.grad.flatten() for d in self.delta.values()])
        for b in basis:
            flat = flat - (flat @ b) * b
        for d, part in zip(self.delta.values(), flat.split([d.numel() for d in self.delta.values()])):
            d.grad.copy_(part.view_as(d))
        (200 * self.drift_loss(readings)).backward()
        self.optimizer.step()
        for _ in range(CORRECTIONS):
            self.clear()
            _, readings = self.run()
            self.drift_loss(readings).backward()
            with torch.no_grad():
                for d in self.delta.values():
                    d.sub_(0.05 * d.grad)

    def plain(self):
        self.clear()
        score, _ = self.run()
        (-score).backward()
        self.optimizer.step()


def answered(model, encode, request):
    import torch
    prompt = encode(f"<|im_start|>user\n{request}<|im_end|>\n<|im_start|>assistant\n")
    ids = torch.tensor([prompt])
    with torch.no_grad():
        full = model.generate(ids, max_new_tokens=ROWS, min_new_tokens=ROWS, do_sample=False)
    return full, len(prompt)


def measure(args):
    model, encode = load_model(args.model), load_tokenizer(args.model)
    times = {"released": [], "frozen": [], "projection": []}
    for request in REQUESTS[:args.prompts]:
        ids, length = answered(model, encode, request)
        for form in times:
            steps = Steps(model, ids, length, is_frozen=form != "released")
            step = steps.plain if form == "projection" else steps.published
            step()
            started = time.perf_counter()
            for _ in range(args.steps):
                step()
            times[form].append((time.perf_counter() - started) / args.steps)
    result = {form: {"median": statistics.median(t), "min": min(t), "max": max(t)} for form, t in times.items()}
    pathlib.Path(args.out).write_text(json.dumps(result))
    print(json.dumps(result, indent=2))


def seconds_per_step(run, constraint):
    store = sqlite3.connect(pathlib.Path(run) / "run.sqlite")
    rows = store.execute("select seconds, steps from results where row like ? and steps > 0",
                         (constraint + "/answer/%",)).fetchall()
    return sum(s for s, _ in rows) / sum(n for _, n in rows) if rows else None


def compare(args):
    peer = json.loads(pathlib.Path(args.out).read_text())
    result = {"peer_seconds_per_step": peer, "dtype": json.loads((pathlib.Path(args.run) / "spec.json").read_text())["dtype"]}
    for constraint in ("forward_projection", "jacobian_sampled"):
        ours = seconds_per_step(args.run, constraint)
        if ours:
            result[constraint] = {"seconds_per_step": ours, "ratio_released": peer["released"]["median"] / ours,
                                  "ratio_frozen": peer["frozen"]["median"] / ours,
                                  "ratio_projection": peer["projection"]["median"] / ours}
    print(json.dumps(result, indent=2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["time", "compare"])
    parser.add_argument("run", nargs="?")
    parser.add_argument("--model")
    parser.add_argument("--prompts", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--out", default="refusal_peer.json")
    args = parser.parse_args()
    measure(args) if args.what == "time" else compare(args)


if __name__ == "__main__":
    main()
