"""The `config.json` by which the public tools describe a LeWM. Nothing here needs torch.

It is a tree of classes and their arguments (`_target_`), meant to be imported and called. Here nothing is: the sizes of
the model are read by key. That the weights are those of a LeWM of these sizes, and nothing more, is proved by their
names and shapes (`checkpoint.check_public`); what neither shows (the classes, and two constants) is compared here.
"""

from collections.abc import Mapping
from pathlib import Path

from lewm_core.config import LeWMConfig
from lewm_core.utils.errors import InputError
from lewm_core.utils.plain import read_json, shown

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
NUMBERS = {  # where each size stands -> what the public code takes where it does not (None: it must stand there)
    "encoder.image_size": 224, "encoder.patch_size": 16,
    "predictor.input_dim": None, "predictor.num_frames": None, "predictor.depth": None, "predictor.heads": None,
    "predictor.mlp_dim": None, "predictor.dim_head": 64,
    "projector.hidden_dim": None,
    "action_encoder.input_dim": 10, "action_encoder.smoothed_dim": 10, "action_encoder.mlp_scale": 4,
}
VIT_NUMBERS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")  # instead of the size's
CONSTANTS = {  # the one value that LeWM has of what no weight shows
    "encoder.hidden_act": "gelu", "encoder.layer_norm_eps": 1e-12,
    "projector.act_fn": "torch.nn.GELU", "pred_proj.act_fn": "torch.nn.GELU",
}


def read(path: str | Path) -> LeWMConfig:
    """The sizes of the model that a `config.json` of the public tools describes."""
    return parse(read_json(path, "the config.json of a LeWM checkpoint, whole"), path)


def parse(tree: object, where: object = "config.json") -> LeWMConfig:
    """The sizes in a config tree, which may also lie under the key `model`, as in a training config.

    Raises one InputError that lists all blocks, numbers and constants that are missing or not a LeWM's.
    """
    if isinstance(tree, Mapping) and "encoder" not in tree and isinstance(tree.get("model"), Mapping):
        tree = tree["model"]
    if not isinstance(tree, Mapping):
        raise InputError(where, f"a {type(tree).__name__}", "a JSON object that describes a LeWM")
    absent = [name for name in TARGETS if name and not isinstance(tree.get(name), Mapping)]
    problems = [f"no block {name}" for name in absent]
    blocks = {name: tree if name == "" else tree[name] for name in TARGETS if name not in absent}
    problems += _wrong_names(blocks)
    numbers = {}
    for path, default in NUMBERS.items():
        block, field = path.split(".")
        if block in blocks:
            numbers[path] = _number(path, blocks[block].get(field, default), problems)
    vit = _vit(blocks.get("encoder", {}), problems)
    dropout = blocks.get("predictor", {}).get("dropout", 0.0)
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        problems.append(f"predictor.dropout is {shown(dropout)} (supported: a number from 0 up to, but not, 1)")
    if not problems:
        problems = _misfits(numbers, vit)
    if problems:
        raise InputError(where, "; ".join(problems), "the config.json of a LeWM that lewm_core.model can build")
    try:
        return _config(numbers, vit, dropout)
    except InputError as error:
        raise InputError(where, f"{error.found} ({error.where})", error.expected) from None


def _wrong_names(blocks: Mapping[str, Mapping]) -> list[str]:
    """Classes and constants that are not a LeWM's."""
    problems = []
    for name, block in blocks.items():
        target = block.get("_target_", TARGETS[name][0])
        if target not in TARGETS[name]:
            where = f"{name}._target_" if name else "_target_"
            problems.append(f"{where} is {shown(target)} (supported: {', '.join(TARGETS[name])})")
    for path, value in CONSTANTS.items():
        name, field = path.split(".")
        found = blocks.get(name, {}).get(field, value)
        if found != value:
            problems.append(f"{path} is {shown(found)} (supported: {value!r})")
    return problems


def _number(path: str, value: object, problems: list[str]) -> int:
    if type(value) is int and value >= 1:
        return value
    found = "missing" if value is None else shown(value)
    problems.append(f"{path} is {found} (supported: a whole number of at least 1)")
    return 1


def _vit(block: Mapping, problems: list[str]) -> tuple[int, int, int, int]:
    """Width, blocks, heads and MLP width of the ViT: those of its named size, or numbers of its own."""
    size = block.get("size", "tiny")
    if not isinstance(size, str) or size not in VIT_SIZES:
        problems.append(f"encoder.size is {shown(size)} (supported: one of {', '.join(VIT_SIZES)})")
        size = "tiny"
    hidden = VIT_SIZES[size][0]
    of_size = (*VIT_SIZES[size], 4 * hidden)  # four times the named size's width, whatever hidden_size says
    return tuple(value if block.get(field) is None else _number(f"encoder.{field}", block[field], problems)
                 for field, value in zip(VIT_NUMBERS, of_size, strict=True))


def _misfits(numbers: Mapping[str, int], vit: tuple[int, int, int, int]) -> list[str]:
    """Numbers that do not fit each other in a way that no weight's shape shows."""
    problems = []
    image, patch = numbers["encoder.image_size"], numbers["encoder.patch_size"]
    width, _, heads, _ = vit
    if image % patch:
        problems.append(f"encoder.image_size is {image} (supported: a multiple of the patch_size {patch})")
    if width % heads:
        problems.append(f"encoder.num_attention_heads is {heads} (supported: a divisor of the width {width})")
    return problems


def _config(numbers: Mapping[str, int], vit: tuple[int, int, int, int], dropout: float) -> LeWMConfig:
    dim, (width, depth, heads, mlp) = numbers["predictor.input_dim"], vit
    return LeWMConfig(
        image_size=numbers["encoder.image_size"], patch_size=numbers["encoder.patch_size"], dim=dim,
        encoder_depth=depth, encoder_heads=heads, encoder_mlp=mlp,
        predictor_depth=numbers["predictor.depth"], predictor_heads=numbers["predictor.heads"],
        predictor_head_dim=numbers["predictor.dim_head"], predictor_mlp=numbers["predictor.mlp_dim"],
        projector_hidden=numbers["projector.hidden_dim"], action_dim=numbers["action_encoder.input_dim"],
        action_smoothed=numbers["action_encoder.smoothed_dim"],
        action_hidden=numbers["action_encoder.mlp_scale"] * dim, dropout=dropout,
        history=numbers["predictor.num_frames"], encoder_dim=None if width == dim else width)


def public(config: LeWMConfig) -> dict:
    """The config tree from which stable_worldmodel builds exactly this model; `parse` is its inverse."""
    if config.action_hidden % config.dim:
        raise InputError("action_hidden", str(config.action_hidden), f"a multiple of D, {config.dim}",
                         "The public action encoder has no other hidden sizes.")
    d, width = config.dim, config.width
    vit = (width, config.encoder_depth, config.encoder_heads, config.encoder_mlp)
    named = [name for name, sizes in VIT_SIZES.items() if (*sizes, 4 * sizes[0]) == vit]
    size = {"size": named[0]} if named else {"size": "tiny", **dict(zip(VIT_NUMBERS, vit, strict=True))}
    mlp = {"output_dim": d, "hidden_dim": config.projector_hidden,
           "norm_fn": {"_target_": "torch.nn.BatchNorm1d", "_partial_": True}}
    blocks = {
        "encoder": {**size, "patch_size": config.patch_size, "image_size": config.image_size, "pretrained": False,
                    "use_mask_token": False},
        "predictor": {"num_frames": config.history, "input_dim": d, "hidden_dim": d, "output_dim": d,
                      "depth": config.predictor_depth, "heads": config.predictor_heads,
                      "mlp_dim": config.predictor_mlp, "dim_head": config.predictor_head_dim,
                      "dropout": config.dropout, "emb_dropout": 0.0},
        "action_encoder": {"input_dim": config.action_dim, "emb_dim": d, "smoothed_dim": config.action_smoothed,
                           "mlp_scale": config.action_hidden // d},
        "projector": {"input_dim": width, **mlp},
        "pred_proj": {"input_dim": d, **mlp},
    }
    return {"_target_": TARGETS[""][0],
            **{name: {"_target_": TARGETS[name][0], **block} for name, block in blocks.items()}}
