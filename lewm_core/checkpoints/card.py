"""The model card of an export: what the weights are, how they were made and how good they are."""

from collections.abc import Mapping

from lewm_core.checkpoints import hub
from lewm_core.encoder import IMAGE_MEAN, IMAGE_STD
from lewm_core.model import LeWM
from lewm_core.utils.escape import markdown
from lewm_core.utils.provenance import data_label

USE = """\
## Use

```python
from stable_worldmodel.wm.utils import load_pretrained
model = load_pretrained("PATH_OF_THIS_FOLDER").eval()

from lewm_core.checkpoints import checkpoint
model, metadata = checkpoint.load("PATH_OF_THIS_FOLDER")
```
"""
ABOUT = "A LeWorldModel: a ViT whose projected CLS token is the latent, and a causal predictor of the next one."
HEADS = " Auxiliary heads, which only training needs, lie apart in `heads.safetensors`."


def card(model: LeWM, metadata: Mapping[str, object], name: str, heads: bool) -> str:
    """The card in Markdown, with the hub's YAML header.

    metadata: what `checkpoint.load` gives, and a run's result. name: the checkpoint's. heads: whether any lie beside.
    """
    title = name
    if metadata.get("condition"):
        title = f"condition {metadata['condition']}, seed {metadata.get('seed')}"
    parts = [*_front(metadata), "", f"# LeWM, {markdown(title)}", "", ABOUT + (HEADS if heads else ""), "",
             *_table("", _facts(model, metadata)), *_metrics(metadata), *_recipe(metadata), *_input(metadata), "", USE]
    return "\n".join(parts)


def _front(metadata: Mapping[str, object]) -> list[str]:
    lines = ["---", "library_name: stable-worldmodel", "pipeline_tag: robotics", "tags: [lewm, world-model, jepa]"]
    base = str(metadata.get("base", "")).split(" (")[0]  # without what is said of its action encoder
    if hub.is_id(base):
        lines.append(f"base_model: {base}")
    return [*lines, "---"]


def _facts(model: LeWM, metadata: Mapping[str, object]) -> dict[str, object]:
    config = model.config
    known = {
        "condition": metadata.get("condition"), "seed": metadata.get("seed"),
        "data": data_label(metadata.get("data")),
        "dataset fingerprint": metadata.get("dataset") or metadata.get("source"),
        "base": metadata.get("base") or None, "base hash": metadata.get("base_hash"), "scale": metadata.get("scale"),
        "optimizer steps": metadata.get("steps"), "parameters": f"{sum(p.numel() for p in model.parameters()):,}",
        "frames": f"{config.image_size} × {config.image_size} px, patches of {config.patch_size}",
        "actions": f"{config.action_dim}-D",
    }
    return {name: value for name, value in known.items() if value is not None}


def _metrics(metadata: Mapping[str, object]) -> list[str]:
    metrics = metadata.get("metrics")
    if not metrics and "held_out" in metadata:  # of a pretraining
        metrics = {"episode": metadata["held_out"]}
    if not metrics:
        return []
    lines = ["## Metrics", "", "Held out, one column a split; gripper and object in cm, so many steps ahead.", "",
             f"| metric | {' | '.join(map(markdown, metrics))} |", "|---" * (len(metrics) + 1) + "|"]
    for name in dict.fromkeys(name for split in metrics.values() for name in split):
        cells = [_number(split.get(name)) for split in metrics.values()]
        lines.append(f"| {markdown(name)} | {' | '.join(cells)} |")
    return [*lines, ""]


def _recipe(metadata: Mapping[str, object]) -> list[str]:
    recipe = metadata.get("recipe")
    if not recipe:
        return []
    settings = {**recipe, **recipe.get("recipe", {})}  # a pretraining holds its recipe and more
    settings.pop("recipe", None)
    return ["## Recipe", "", *_table("setting", settings)]


def _input(metadata: Mapping[str, object]) -> list[str]:
    lines = ["## Input", "", f"RGB in 0 to 1, less the mean {list(IMAGE_MEAN)}, over the deviation {list(IMAGE_STD)}."]
    if scale := metadata.get("action_scale"):
        lines += ["", "Actions less the mean, over the deviation, column by column:", "",
                  f"- mean: {', '.join(map(_number, scale['mean']))}",
                  f"- deviation: {', '.join(map(_number, scale['std']))}"]
    return lines


def _table(title: str, rows: Mapping[str, object]) -> list[str]:
    return [f"| {title} | |", "|---|---|", *(f"| {markdown(k)} | {_number(v)} |" for k, v in rows.items()), ""]


def _number(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else markdown(value)
