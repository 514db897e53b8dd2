"""rebound audit on bad input: exit code, one line on stderr, nothing left half-written; and a run
killed in the middle resumes to the summary of an uninterrupted one.

    audit_cli_test.py PROGRAM

Models and SAEs are tiny and written here.
"""
import json
import math
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = str(Path(sys.argv[1]).resolve())
ITSELF = str(Path(PROGRAM).with_name("rebound"))  # a signal to rebound_session would not reach the run
WIDTH, LAYERS, WORDS = 16, 2, 32
SITE = "blocks.1.hook_resid_pre"
FLAGS, DATA, NUMERIC, FILES = 2, 3, 4, 5

root = Path(tempfile.mkdtemp(prefix="rebound_audit_cli_"))
failures = []


def check(is_right, name, got):
    if not is_right:
        failures.append(name)
        print(f"FAILED: {name}: {got}", file=sys.stderr)


# ---- tiny files ----------------------------------------------------------------------------------


def write_safetensors(path, tensors):
    """tensors: {name: (shape, floats)}, stored as float32."""
    header, body = {}, b""
    for name, (shape, values) in tensors.items():
        assert len(values) == math.prod(shape), name
        data = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_model(folder):
    """A Llama with random weights; its tokenizer splits at spaces and knows w0..w31."""
    folder.mkdir()
    draw = random.Random(5)
    noise = lambda *shape: (list(shape), [draw.gauss(0, 0.3) for _ in range(math.prod(shape))])
    ones = ([WIDTH], [1.0] * WIDTH)
    tensors = {"model.embed_tokens.weight": noise(WORDS, WIDTH), "model.norm.weight": ones,
               "lm_head.weight": noise(WORDS, WIDTH)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name in ("q", "k", "v", "o"):
            tensors[f"{at}self_attn.{name}_proj.weight"] = noise(WIDTH, WIDTH)
        for name in ("gate", "up", "down"):
            tensors[f"{at}mlp.{name}_proj.weight"] = noise(WIDTH, WIDTH)
        tensors[at + "input_layernorm.weight"] = tensors[at + "post_attention_layernorm.weight"] = ones
    write_safetensors(folder / "model.safetensors", tensors)
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": WIDTH,
              "intermediate_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
              "num_key_value_heads": 2, "vocab_size": WORDS, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                 "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
                 "model": {"type": "WordLevel", "vocab": {f"w{i}": i for i in range(WORDS)}, "unk_token": "w0"}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def write_sae(folder, width=WIDTH, hook=SITE, poison=None):
    """Latents +x_i and -x_i: exact, two to a coordinate."""
    folder.mkdir()
    eye = [[float(i == j) for j in range(width)] for i in range(width)]
    rows = eye + [[-x for x in row] for row in eye]
    decoder = [x for row in rows for x in row]
    encoder = [rows[s][i] for i in range(width) for s in range(2 * width)]
    if poison is not None:
        encoder[7] = poison
    write_safetensors(folder / "sae_weights.safetensors",
                      {"W_enc": ([width, 2 * width], encoder), "b_enc": ([2 * width], [0.0] * 2 * width),
                       "W_dec": ([2 * width, width], decoder), "b_dec": ([width], [0.0] * width)})
    cfg = {"architecture": "standard", "d_in": width, "d_sae": 2 * width, "dtype": "float32", "device": "cpu",
           "apply_b_dec_to_input": False, "normalize_activations": "none", "metadata": {"hook_name": hook}}
    (folder / "cfg.json").write_text(json.dumps(cfg))


def write_prompts(path):
    """Every prompt twice, with the two answers swapped: one of them is shown by the model."""
    draw = random.Random(3)
    lines = []
    for _ in range(12):
        ids = [draw.randrange(WORDS) for _ in range(6)]
        right, wrong = draw.sample(range(WORDS), 2)
        for a, b in ((right, wrong), (wrong, right)):
            lines.append(json.dumps({"ids": ids, "correct_id": a, "wrong_id": b}))
    path.write_text("\n".join(lines) + "\n")
    return lines


write_model(root / "model")
write_sae(root / "sae")
PROMPTS = write_prompts(root / "prompts.jsonl")
SPEC = {"model": str(root / "model"), "sae": str(root / "sae"), "hook": SITE,
        "behaviour": {"kind": "ioi", "prompts": str(root / "prompts.jsonl")},
        "defence": {"features": [0, 1, 16, 17], "edit": {"kind": "set", "value": -3, "when": "active_only"},
                    "positions": "all"},
        "perturb": {"positions": "answer"},
        "rows": [{"constraint": "encoder", "objective": "logit_diff", "threat_model": "after_clamp", "budget": 2,
                  "steps": 5, "lr": 0.1, "scope": "per_prompt"}],
        "controls": False, "batch": 8, "seed": 1}


# ---- running -------------------------------------------------------------------------------------

runs = 0


def spec_file(changes):
    """SPEC with top-level keys replaced; {} values for dictionaries are merged one level deep."""
    spec = json.loads(json.dumps(SPEC))
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(spec.get(key), dict):
            spec[key].update(value)
        else:
            spec[key] = value
    path = root / f"spec{runs}.json"
    path.write_text(json.dumps(spec))
    return str(path)


def environment():
    # What rebound would choose and start itself again for.
    chosen = {"OMP_WAIT_POLICY": "PASSIVE"}
    if "avx512f" in Path("/proc/cpuinfo").read_text():
        chosen["OPENBLAS_CORETYPE"] = "SkylakeX"
    return {**chosen, **os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"), "HOME": str(root)}


def run(*words):
    global runs
    runs += 1
    return subprocess.run([PROGRAM, *words, "--quiet"], capture_output=True, text=True, env=environment(), cwd=root,
                          timeout=120)


def left_in(folder):
    return sorted(os.listdir(folder)) if folder.exists() else None


def expect_refusal(name, code, words, *args, out=None):
    """Exit code `code` and one line that holds `words`; the run folder is as it was."""
    before = left_in(out) if out else None
    done = run(*args)
    lines = done.stderr.splitlines()
    check(done.returncode == code, name, f"exit code {done.returncode}, expected {code}: {done.stderr[:300]}")
    check(len(lines) == 1 and lines[0].startswith("rebound: "), name, f"stderr is not one line: {done.stderr[:600]!r}")
    check(words in done.stderr, name, f"{words!r} is not in {done.stderr[:300]!r}")
    check(done.stdout == "", name, f"stdout: {done.stdout[:200]!r}")
    if out:
        check(left_in(out) == before, name, f"left behind: {left_in(out)}")


def expect_bad_spec(name, code, words, **changes):
    out = root / f"out{runs}"
    expect_refusal(name, code, words, "audit", spec_file(changes), "--out", str(out), out=out)


# ---- the table -----------------------------------------------------------------------------------


def good_input():
    out = root / "good"
    done = run("audit", spec_file({}), "--out", str(out), "--json")
    check(done.returncode == 0, "the good spec runs", done.stderr)
    if done.returncode:
        return
    summary = json.loads(done.stdout)
    check(0 < summary["n_valid"] < len(PROMPTS), "the good spec has flips", summary["n_valid"])
    check(json.loads((out / "summary.json").read_text()) == summary, "--json prints summary.json", "they differ")
    for name in ("spec.json", "run.sqlite", "report.html", "report.md"):
        check((out / name).is_file(), f"the run folder holds {name}", left_in(out))
    again = run("audit", str(out / "spec.json"), "--out", str(root / "again"), "--json")
    check(again.returncode == 0, "the effective spec runs", again.stderr)
    expect_refusal("--out with files", FILES, "files", "audit", spec_file({}), "--out", str(out), out=out)

    none = run("audit", spec_file({"defence": {"edit": {"kind": "add", "value": 0}}}), "--out", str(root / "none"), "--json")
    check(none.returncode == 0, "zero valid flips are no error", none.stderr)
    verdict = json.loads(none.stdout or "{}")
    check(verdict.get("n_valid") == 0 and verdict.get("verdict") == "undetermined", "zero valid flips", verdict.get("verdict"))
    check("nan" not in none.stdout.lower(), "zero valid flips print no NaN", none.stdout[:300])

    traced = run("audit", spec_file({}), "--out", str(root / "traced"), "--json", "--trace")
    points = json.loads(traced.stdout or "{}").get("trace", [])
    check(len(points) == 5 * summary["n_valid"], "--trace has a point per flip and step", len(points))
    check(points and set(points[0]) == {"prompt", "row", "step", "objective", "drift_pre", "norm"}, "trace keys", points[:1])


def bad_flags_and_folders():
    expect_refusal("unknown verb", FLAGS, "adit", "adit")
    expect_refusal("unknown flag", FLAGS, "--fast", "audit", "toy-leaky", "--fast")
    expect_refusal("no spec", FLAGS, "spec", "audit")
    expect_refusal("no such spec", FLAGS, "absent.json", "audit", "absent.json")
    expect_refusal("negative seed", FLAGS, "--seed", "audit", "toy-leaky", "--seed", "-1")
    expect_refusal("spec and --resume", FLAGS, "--resume", "audit", "toy-leaky", "--resume", str(root))
    expect_refusal("--resume of no run", FILES, "spec.json", "audit", "--resume", str(root / "absent"))
    (root / "file").write_text("x")
    expect_refusal("--out below a file", FILES, "cannot create", "audit", spec_file({}), "--out", str(root / "file" / "run"))
    expect_refusal("--out is a file", FILES, str(root / "file"), "audit", spec_file({}), "--out", str(root / "file"))
    expect_refusal("--out in a place without files", FILES, "/proc/", "audit", spec_file({}), "--out", "/proc/run")


def bad_specs():
    for name, text in (("truncated spec", json.dumps(SPEC)[:-20]), ("garbage spec", "\x00\xff{"), ("empty spec", ""),
                       ("a list as spec", "[]"), ("deep spec", "[" * 5000)):
        path, out = root / "text.json", root / "text_out"
        path.write_text(text, encoding="latin-1")
        expect_refusal(name, FLAGS, "text.json", "audit", str(path), "--out", str(out), out=out)
    expect_bad_spec("unknown key", FLAGS, "modle", modle="x")
    expect_bad_spec("wrong type", FLAGS, "batch", batch="many")
    expect_bad_spec("unknown site", FLAGS, "hook", hook="blocks.1.hook_nowhere")
    expect_bad_spec("another site than the SAE's", FLAGS, "hook", hook="blocks.0.hook_resid_pre")
    expect_bad_spec("unknown rung", FLAGS, "constraint", rows=[{"constraint": "all"}])
    expect_bad_spec("unknown behaviour", FLAGS, "behaviour.kind", behaviour={"kind": "poetry"})
    expect_bad_spec("feature out of range", FLAGS, "feature", defence={"features": [3, 32]})
    expect_bad_spec("negative feature", FLAGS, "features", defence={"features": [-1]})
    expect_bad_spec("position outside the prompt", FLAGS, "positions", perturb={"positions": [99]})
    expect_bad_spec("no features and no training prompts", FLAGS, "train_prompts", defence={"features": []})
    expect_bad_spec("nothing is left free", NUMERIC, "free", defence={"features": list(range(32))})


def bad_files():
    def copy(name, what):
        shutil.copytree(root / what, root / name)
        return root / name

    expect_bad_spec("missing model", FILES, "absent", model=str(root / "absent"))
    expect_bad_spec("missing GGUF", FILES, "absent.gguf", model=str(root / "absent.gguf"))
    (root / "garbage.gguf").write_bytes(b"\x07" * 4000)
    expect_bad_spec("garbage GGUF", DATA, "garbage.gguf", model=str(root / "garbage.gguf"))
    (root / "short.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    expect_bad_spec("truncated GGUF", DATA, "short.gguf", model=str(root / "short.gguf"))
    cut = copy("cut_model", "model") / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    expect_bad_spec("truncated model", DATA, "cut_model", model=str(cut.parent))
    config = copy("bad_config", "model") / "config.json"
    config.write_text("{")
    expect_bad_spec("broken config.json", DATA, "config.json", model=str(config.parent))

    expect_bad_spec("missing SAE", FILES, "absent", sae=str(root / "absent"))
    cut = copy("cut_sae", "sae") / "sae_weights.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    expect_bad_spec("truncated SAE", DATA, "cut_sae", sae=str(cut.parent))
    bare = copy("bare_sae", "sae")
    (bare / "cfg.json").unlink()
    expect_bad_spec("SAE without cfg.json", FILES, "cfg.json", sae=str(bare))
    write_sae(root / "wide_sae", width=24)
    expect_bad_spec("SAE of another width", DATA, "d_model=16", sae=str(root / "wide_sae"))
    write_sae(root / "deep_sae", hook="blocks.7.hook_resid_pre")
    expect_bad_spec("SAE of a layer that is not there", DATA, "layers 0..1", sae=str(root / "deep_sae"), hook="")
    write_sae(root / "nan_sae", poison=math.nan)
    expect_bad_spec("NaN weights", DATA, "NaN", sae=str(root / "nan_sae"))

    def prompts(name, code, words, *lines):
        path = root / f"prompts{runs}.jsonl"
        path.write_text("\n".join(lines) + "\n")
        expect_bad_spec(name, code, words, behaviour={"prompts": str(path)})

    expect_bad_spec("missing prompts", FILES, "absent.jsonl", behaviour={"prompts": str(root / "absent.jsonl")})
    prompts("broken JSONL line", DATA, ":2:", PROMPTS[0], PROMPTS[1][:-5])
    prompts("a name of two tokens", DATA, "2 tokens", json.dumps({"text": "w1 w2 w3", "correct": "w4 w5", "wrong": "w6"}))
    prompts("an id outside the vocabulary", DATA, "0..31", json.dumps({"ids": [1, 99], "correct_id": 1, "wrong_id": 2}))
    prompts("the same answer twice", DATA, "same token", json.dumps({"ids": [1, 2], "correct_id": 1, "wrong_id": 1}))
    prompts("unknown key of a prompt", DATA, "corect", json.dumps({"ids": [1, 2], "correct_id": 2, "wrong_id": 1, "corect": "w1"}))
    prompts("no prompts", DATA, "no prompts", "")


# ---- kill -9 -------------------------------------------------------------------------------------


def difference(a, b, where="summary"):
    """Empty when equal; floats to 1e-5 relative, times and memory aside."""
    if isinstance(a, dict) and isinstance(b, dict):
        if set(a) != set(b):
            return f"{where}: keys {sorted(set(a) ^ set(b))}"
        inner = (difference(a[k], b[k], f"{where}.{k}") for k in a if "seconds" not in k and k != "peak_memory_bytes")
        return next(filter(None, inner), "")
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return f"{where}: {len(a)} and {len(b)} entries"
        return next(filter(None, (difference(x, y, f"{where}[{i}]") for i, (x, y) in enumerate(zip(a, b)))), "")
    if isinstance(a, float) and isinstance(b, float):
        return "" if abs(a - b) <= 1e-5 * max(abs(a), abs(b)) + 1e-9 else f"{where}: {a} and {b}"
    return "" if a == b else f"{where}: {a} and {b}"


def finished_batches(store):
    try:
        with sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=1) as database:
            return database.execute("SELECT COUNT(*) FROM batches").fetchone()[0]
    except sqlite3.Error:
        return 0


def killed_runs_resume():
    spec = root / "toy.json"
    spec.write_text(json.dumps({
        "behaviour": {"kind": "toy-leaky"}, "batch": 24,
        "rows": [{"constraint": "encoder_decoder", "budget": 8, "steps": 10}, {"constraint": "none", "budget": 8, "steps": 5}],
        "controls": {"random_draws": 2, "inject_targets": 1, "shared_budgets": [8]}}))
    whole = run("audit", str(spec), "--out", str(root / "whole"), "--json")
    check(whole.returncode == 0, "the toy audit runs", whole.stderr)
    out = root / "killed"
    command = [ITSELF, "audit", str(spec), "--out", str(out), "--quiet"]
    resume = [ITSELF, "audit", "--resume", str(out), "--quiet"]
    for after in (1, 5, 9):
        process = subprocess.Popen(command, env=environment(), cwd=root, stdout=subprocess.DEVNULL)
        while process.poll() is None and finished_batches(out / "run.sqlite") < after:
            time.sleep(0.005)
        check(process.poll() is None, f"killed after {after} batches", "it had ended before")
        process.kill()
        process.wait()
        check(not (out / "summary.json").exists(), "a killed run has no summary.json", left_in(out))
        command = resume
    resumed = run("audit", "--resume", str(out), "--json")
    check(resumed.returncode == 0, "the killed run resumes", resumed.stderr)
    if resumed.returncode == 0 and whole.returncode == 0:
        gap = difference(json.loads(whole.stdout), json.loads(resumed.stdout))
        check(gap == "", "the resumed summary is the uninterrupted one", gap)


try:
    for part in (good_input, bad_flags_and_folders, bad_specs, bad_files, killed_runs_resume):
        started = time.monotonic()
        part()
        print(f"{part.__name__}: {time.monotonic() - started:.1f} s")
finally:
    shutil.rmtree(root, ignore_errors=True)
print(f"{runs} runs, {len(failures)} failures")
sys.exit(1 if failures else 0)
