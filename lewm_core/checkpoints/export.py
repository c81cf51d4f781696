"""A checkpoint as a folder for other tools: plain LeWM that stable-worldmodel opens, its heads apart, and a card.

    config.json          the net, as stable-worldmodel builds it
    weights.pt           the state dict under public names (transformers >= 5.9), what load_pretrained reads
    model.safetensors    the same weights; its header holds what lewm_core knows of them
    heads.safetensors    the auxiliary heads, where the run had any
    README.md            the model card
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from lewm_core.checkpoints import checkpoint, config_json, hub
from lewm_core.model import IMAGE_MEAN, IMAGE_STD, LeWM
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import write_json
from lewm_core.utils.provenance import data_label

WEIGHTS, TENSORS, CARD = "weights.pt", "model.safetensors", "README.md"
FILES = (hub.CONFIG, WEIGHTS, TENSORS, hub.HEADS, CARD)


def export(source: str | Path, folder: str | Path, overwrite: bool = False) -> Path:
    """Write the checkpoint `source` as a folder for other tools and return it.

    source: what `checkpoint.load` reads. Beside a finished run's weights lie its heads and result, which come along.
    folder: must be new or empty, unless `overwrite` and it holds such an export only. It appears whole or not at all.
    Loading the folder gives the model back with all that was known of it.
    """
    folder, files = Path(folder), hub.find(source)
    check_target(folder, overwrite)
    model, metadata = checkpoint.load(files.weights)
    heads, result = (files.weights.with_name(name) for name in (hub.HEADS, "result.json"))
    if metadata and result.is_file():  # ours
        metadata |= json.loads(result.read_text())
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        write_json(new / hub.CONFIG, config_json.public(model.config))
        torch.save(checkpoint.public_state(model), new / WEIGHTS)
        checkpoint.save(new / TENSORS, model, **metadata)
        if heads.is_file():
            shutil.copyfile(heads, new / hub.HEADS)
        (new / CARD).write_text(card(model, metadata, files.name, heads.is_file()))
        if folder.exists():
            folder.rename(Path(scratch) / "old")  # from here to the next line there is neither
        new.rename(folder)
    return folder


def check_target(folder: Path, overwrite: bool = False) -> None:
    """InputError unless an export may be written to `folder`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        strange = [p.name for p in folder.iterdir() if p.name not in FILES] if folder.is_dir() else [folder.name]
        if strange or not overwrite:
            raise InputError(folder, ", ".join(sorted(strange)) or "an export", "a new or empty folder",
                             "" if strange else "Ask for it to be overwritten, or choose another folder.")


def card(model: LeWM, metadata: Mapping[str, object], name: str, heads: bool) -> str:
    """A model card in Markdown with the hub's YAML header: what the weights are, how they were made and how good."""
    base = str(metadata.get("base", ""))
    front = ["library_name: stable-worldmodel", "pipeline_tag: robotics", "tags: [lewm, world-model, jepa]"]
    if hub.is_id(base.split(" (")[0]):
        front.append(f"base_model: {base.split(' (')[0]}")
    config = model.config
    known = {
        "condition": metadata.get("condition"), "seed": metadata.get("seed"),
        "data": data_label(metadata.get("data")),
        "dataset fingerprint": metadata.get("dataset") or metadata.get("source"),
        "base": base or None, "base hash": metadata.get("base_hash"), "scale": metadata.get("scale"),
        "optimizer steps": metadata.get("steps"), "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "frames": f"{config.image_size} × {config.image_size} px, patches of {config.patch_size}",
        "actions": f"{config.action_dim}-D",
    }
    title = f"condition {known['condition']}, seed {known['seed']}" if known["condition"] else name
    parts = ["---", *front, "---", "", f"# LeWM, {title}", "",
             "A LeWorldModel: a ViT whose projected CLS token is the latent, and a causal predictor of the next one."
             + (" Auxiliary heads, which only training needs, lie apart in `heads.safetensors`." if heads else ""), "",
             *_table("", {k: v for k, v in known.items() if v is not None})]
    if metrics := metadata.get("metrics") or ({"episode": metadata["held_out"]} if "held_out" in metadata else None):
        columns = list(metrics)
        rows = dict.fromkeys(name for split in metrics.values() for name in split)
        parts += ["## Metrics", "", "Held-out windows, teacher-forced, one column a split.", "",
                  f"| metric | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|",
                  *(f"| {row} | " + " | ".join(_number(metrics[c].get(row)) for c in columns) + " |" for row in rows),
                  ""]
    if recipe := metadata.get("recipe"):
        recipe = {**recipe, **recipe.get("recipe", {})}  # a pretraining holds its recipe and more
        parts += ["## Recipe", "", *_table("setting", {k: v for k, v in recipe.items() if k != "recipe"})]
    parts += ["## Input", "", f"RGB in 0 to 1, less the mean {list(IMAGE_MEAN)}, over the deviation {list(IMAGE_STD)}."]
    if scale := metadata.get("action_scale"):
        parts += ["", "Actions less the mean, over the deviation, column by column:", "",
                  f"- mean: {', '.join(map(_number, scale['mean']))}",
                  f"- deviation: {', '.join(map(_number, scale['std']))}"]
    parts += ["", "## Use", "", "```python", "from stable_worldmodel.wm.utils import load_pretrained",
              'model = load_pretrained("PATH_OF_THIS_FOLDER").eval()', "",
              "from lewm_core.checkpoints import checkpoint", 'model, metadata = checkpoint.load("PATH_OF_THIS_FOLDER")', "```", ""]
    return "\n".join(parts)


def _table(title: str, rows: Mapping[str, object]) -> list[str]:
    return [f"| {title} | |", "|---|---|", *(f"| {k} | {_number(v)} |" for k, v in rows.items()), ""]


def _number(value: object) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
