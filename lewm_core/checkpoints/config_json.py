"""The `config.json` by which the public tools describe a LeWM. Nothing here needs torch.

It is a tree of classes and their arguments (`_target_`), meant to be imported and called. Here nothing is: each
name and each argument is compared with what `model.py` builds, and whatever it does not build is an error.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from lewm_core.config import LeWMConfig
from lewm_core.utils.errors import InputError

VIT_SIZES = {  # vit_hf's: width, blocks, heads; its MLP is four times as wide
    "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16), "huge": (1280, 32, 16),
}
_LEWM = "stable_worldmodel.wm.lewm"
TARGETS = {  # block -> what its _target_ may be: first as we write it, then its other names
    "": (f"{_LEWM}.LeWM", f"{_LEWM}.lewm.LeWM", "jepa.JEPA"),
    "encoder": ("stable_pretraining.backbone.utils.vit_hf", "stable_pretraining.backbone.vit_hf"),
    "predictor": (f"{_LEWM}.module.Predictor", "module.ARPredictor"),
    "action_encoder": (f"{_LEWM}.module.Embedder", "module.Embedder"),
    "projector": (f"{_LEWM}.module.MLP", "module.MLP"),
    "pred_proj": (f"{_LEWM}.module.MLP", "module.MLP"),
}
_NEEDED = object()
_VIT = {"hidden_act": "gelu", "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "layer_norm_eps": 1e-12,
        "num_channels": 3, "qkv_bias": True}  # ViTConfig's defaults
_MLP = {"input_dim": _NEEDED, "hidden_dim": _NEEDED, "output_dim": None, "norm_fn": "torch.nn.LayerNorm",
        "act_fn": "torch.nn.GELU"}
FIELDS = {  # block -> its arguments and what the public code takes for one that is not there
    "": {"embed_dim": None, "history_size": None},  # not read by the public model, so they may only repeat
    "encoder": {"size": "tiny", "patch_size": 16, "image_size": 224, "pretrained": False, "use_mask_token": True,
                "hidden_size": None, "num_hidden_layers": None, "num_attention_heads": None,
                "intermediate_size": None, **_VIT},
    "predictor": {"num_frames": _NEEDED, "depth": _NEEDED, "heads": _NEEDED, "mlp_dim": _NEEDED, "input_dim": _NEEDED,
                  "hidden_dim": _NEEDED, "output_dim": None, "dim_head": 64, "dropout": 0.0, "emb_dropout": 0.0},
    "action_encoder": {"input_dim": 10, "smoothed_dim": 10, "emb_dim": 10, "mlp_scale": 4},
    "projector": _MLP,
    "pred_proj": _MLP,
}
ONLY = {**_VIT, "pretrained": False, "use_mask_token": False, "emb_dropout": 0.0, "norm_fn": "torch.nn.BatchNorm1d",
        "act_fn": "torch.nn.GELU"}  # the one value that LeWM has of these


def read(path: str | Path) -> LeWMConfig:
    """The sizes of the model that a `config.json` of the public tools describes."""
    try:
        tree = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, str(error), "the config.json of a LeWM checkpoint, whole") from None
    return parse(tree, path)


def parse(tree: object, where: object = "config.json") -> LeWMConfig:
    """The sizes in a config tree, which may also lie under the key `model`, as in a training config.

    Raises one InputError that lists all targets and fields that are unknown and all values that are missing, wrong, or
    such as the public code could build but `model.LeWM` does not, each with what is supported; where there are none,
    all sizes that do not fit each other.
    """
    if isinstance(tree, Mapping) and "encoder" not in tree and isinstance(tree.get("model"), Mapping):
        tree = tree["model"]
    if not isinstance(tree, Mapping):
        raise InputError(where, f"a {type(tree).__name__}", "a JSON object that describes a LeWM")
    problems: list[str] = []
    blocks = {name: _block(name, tree, problems) for name in FIELDS}
    config = None if problems else _sizes(blocks, problems)
    if problems:
        raise InputError(where, "; ".join(problems), "the config.json of a LeWM that lewm_core.model can build")
    return config


def _block(name: str, tree: Mapping, problems: list[str]) -> dict:
    """The arguments of one block, defaults filled in."""
    block = tree if name == "" else tree.get(name)
    prefix = f"{name}." if name else ""
    if not isinstance(block, Mapping):
        problems.append(f"{name} is {'missing' if block is None else repr(block)} (supported: a block of settings)")
        return {}
    target, fields = block.get("_target_", TARGETS[name][0]), FIELDS[name]
    if target not in TARGETS[name]:
        problems.append(f"{prefix}_target_ is {target!r} (supported: {', '.join(TARGETS[name])})")
    known = {"_target_", *fields, *(() if name else FIELDS)}
    problems += [f"{prefix}{field} = {block[field]!r} is unknown (known: {', '.join(fields)})"
                 for field in block if field not in known]
    values = {field: block.get(field, default) for field, default in fields.items()}
    for field, value in values.items():
        if isinstance(value, str) and ("${" in value or value == "???"):
            problems.append(f"{prefix}{field} is {value!r}, which is not filled in (save the config resolved)")
        elif not _supported(field, value, fields[field]):
            shown = "missing" if value is _NEEDED else repr(value)
            problems.append(f"{prefix}{field} is {shown} (supported: {_kind(field)})")
    return values


def _kind(field: str) -> str:
    if field in ONLY:
        return repr(ONLY[field])
    words = {"size": "one of " + ", ".join(VIT_SIZES), "dropout": "a number from 0 up to, but not, 1"}
    return words.get(field, "a whole number of at least 1")


def _supported(field: str, value: object, default: object) -> bool:
    """Whether one value, by itself, is what our model can have; a field that is not there needs no value."""
    if field in ONLY:
        return _name(value) == ONLY[field]
    if value is None and default is None:
        return True
    if field == "size":
        return isinstance(value, str) and value in VIT_SIZES
    if field == "dropout":
        return type(value) in (int, float) and 0 <= value < 1
    return type(value) is int and value >= 1


def _sizes(blocks: dict[str, dict], problems: list[str]) -> LeWMConfig:
    """The sizes in blocks whose values are of the right kind; what our model cannot be goes to `problems`."""
    top, vit, predictor, actions, *mlps = blocks.values()
    hidden, depth, heads = VIT_SIZES[vit["size"]]
    width = vit["hidden_size"] or hidden
    heads, dim = vit["num_attention_heads"] or heads, predictor["input_dim"]

    def only(field: str, value: object, *supported: object, why: str = "") -> None:
        if value not in supported:
            problems.append(f"{field} is {value!r} (supported: {' or '.join(map(repr, supported))}{why})")

    if vit["image_size"] % vit["patch_size"]:
        problems.append(f"encoder.image_size is {vit['image_size']} (supported: a multiple of the patch_size "
                        f"{vit['patch_size']})")
    if width % heads:
        problems.append(f"encoder.num_attention_heads is {heads} (supported: a divisor of the width {width})")
    same = ", the predictor's input_dim, which all latents share"
    only("predictor.hidden_dim", predictor["hidden_dim"], dim, why=same)
    only("predictor.output_dim", predictor["output_dim"], None, dim, why=same)
    if predictor["heads"] == 1 and predictor["dim_head"] == dim:
        problems.append(f"predictor.heads is 1 with dim_head {dim} (supported: more heads, or another dim_head; the "
                        "public code then leaves the output projection out)")
    only("action_encoder.emb_dim", actions["emb_dim"], dim, why=same)
    for name, mlp, size in zip(("projector", "pred_proj"), mlps, (width, dim), strict=True):
        only(f"{name}.input_dim", mlp["input_dim"], size, why=", the width of what it reads")
        only(f"{name}.output_dim", mlp["output_dim"] or mlp["input_dim"], dim, why=same)
    only("pred_proj.hidden_dim", mlps[1]["hidden_dim"], mlps[0]["hidden_dim"], why=", the projector's")
    only("embed_dim", top["embed_dim"], None, dim, why=same)
    only("history_size", top["history_size"], None, predictor["num_frames"], why=", the predictor's num_frames")
    return LeWMConfig(
        image_size=vit["image_size"], patch_size=vit["patch_size"], dim=dim,
        encoder_depth=vit["num_hidden_layers"] or depth, encoder_heads=heads,
        encoder_mlp=vit["intermediate_size"] or 4 * hidden,  # vit_hf takes four times the named size's width
        predictor_depth=predictor["depth"], predictor_heads=predictor["heads"],
        predictor_head_dim=predictor["dim_head"], predictor_mlp=predictor["mlp_dim"],
        projector_hidden=mlps[0]["hidden_dim"], action_dim=actions["input_dim"],
        action_smoothed=actions["smoothed_dim"], action_hidden=actions["mlp_scale"] * dim,
        dropout=predictor["dropout"], history=predictor["num_frames"], encoder_dim=None if width == dim else width)


def _name(function: object) -> object:
    """The dotted name of a class that a config passes on: a text, or {_target_: name, _partial_: true}."""
    if isinstance(function, Mapping) and set(function) == {"_target_", "_partial_"} and function["_partial_"] is True:
        function = function["_target_"]
    return function.replace("torch.nn.modules.batchnorm.", "torch.nn.") if isinstance(function, str) else function


def public(config: LeWMConfig) -> dict:
    """The config tree from which stable_worldmodel builds exactly this model; `parse` is its inverse."""
    if config.action_hidden % config.dim:
        raise InputError("action_hidden", str(config.action_hidden), f"a multiple of D, {config.dim}",
                         "The public action encoder has no other hidden sizes.")
    d, width = config.dim, config.width
    named = [name for name, sizes in VIT_SIZES.items()
             if (*sizes, 4 * sizes[0]) == (width, config.encoder_depth, config.encoder_heads, config.encoder_mlp)]
    own = {} if named else {"hidden_size": width, "num_hidden_layers": config.encoder_depth,
                            "num_attention_heads": config.encoder_heads, "intermediate_size": config.encoder_mlp}

    def mlp(name: str, size: int) -> dict:
        return {"_target_": TARGETS[name][0], "input_dim": size, "output_dim": d,
                "hidden_dim": config.projector_hidden,
                "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}}

    return {
        "_target_": TARGETS[""][0],
        "encoder": {"_target_": TARGETS["encoder"][0], "size": named[0] if named else "tiny",
                    "patch_size": config.patch_size, "image_size": config.image_size, "pretrained": False,
                    "use_mask_token": False, **own},
        "predictor": {"_target_": TARGETS["predictor"][0], "num_frames": config.history, "input_dim": d,
                      "hidden_dim": d, "output_dim": d, "depth": config.predictor_depth,
                      "heads": config.predictor_heads, "mlp_dim": config.predictor_mlp,
                      "dim_head": config.predictor_head_dim, "dropout": config.dropout, "emb_dropout": 0.0},
        "action_encoder": {"_target_": TARGETS["action_encoder"][0], "input_dim": config.action_dim, "emb_dim": d,
                           "smoothed_dim": config.action_smoothed, "mlp_scale": config.action_hidden // d},
        "projector": mlp("projector", width),
        "pred_proj": mlp("pred_proj", d),
    }
