#!/usr/bin/env python3
"""assets/registry.json: what SAE weight files lack, from the list of releases inside sae_lens.

    python tools/golden/make_sae_registry.py      # needs: pip install sae-lens pyyaml

Kept are scale factors (norm_scaling_factor), normalisations that override cfg.json, and releases
trained on a model with centred writing weights; releases without any of these are left out, as are
those of formats that rebound does not read (temporal) or that carry their scale (llama_scope).
"""
import json
import pathlib
from importlib.metadata import version
from importlib.resources import files

import yaml

OUT = pathlib.Path(__file__).resolve().parents[2] / "assets/registry.json"
SOURCE = f"sae_lens {version('sae-lens')}, pretrained_saes.yaml"
LEFT_OUT = {"temporal", "llama_scope"}


def row_of(name, release):
    overrides = release.get("config_overrides") or {}
    kwargs = overrides.get("model_from_pretrained_kwargs") or {}
    row = {"release": name, "repo": release["repo_id"], "source": SOURCE}
    if overrides.get("normalize_activations"):
        row["normalize_activations"] = overrides["normalize_activations"]
    if kwargs.get("center_writing_weights"):
        row["center_writing_weights"] = True
    is_special = len(row) > 3
    row["saes"] = []
    for sae in release["saes"]:
        entry = {"id": sae["id"], "folder": sae["path"]}
        if "norm_scaling_factor" in sae:
            entry["norm_scaling_factor"] = sae["norm_scaling_factor"]
        if is_special or len(entry) > 2:
            row["saes"].append(entry)
    return row


def main():
    releases = yaml.safe_load((files("sae_lens") / "pretrained_saes.yaml").read_text())
    rows = [row_of(name, release) for name, release in sorted(releases.items())
            if release.get("conversion_func") not in LEFT_OUT]
    rows = [row for row in rows if row["saes"]]
    lines = []
    for row in rows:
        saes = ",\n      ".join(json.dumps(sae) for sae in row.pop("saes"))
        head = json.dumps(row)[1:-1]
        lines.append(f'    {{{head}, "saes": [\n      {saes}]}}')
    OUT.write_text('{\n  "releases": [\n' + ",\n".join(lines) + "\n  ]\n}\n")
    print(len(rows), "releases,", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
