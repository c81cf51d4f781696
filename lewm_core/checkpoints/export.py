"""A checkpoint as a folder for other tools: plain LeWM that stable-worldmodel opens, its heads apart, and a card.

    config.json          the net, as stable-worldmodel builds it
    weights.pt           the state dict under public names (transformers >= 5.9), what load_pretrained reads
    model.safetensors    the same weights; its header holds what lewm_core knows of them
    heads.safetensors    the auxiliary heads, where the run had any
    README.md            the model card
"""

import shutil
from pathlib import Path

import torch

from lewm_core.checkpoints import checkpoint, config_json, hub
from lewm_core.checkpoints.card import card
from lewm_core.checkpoints.names import public_state
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import move_folder, temporary_folder, write_json
from lewm_core.utils.plain import read_object
from lewm_core.utils.temporary import sweep

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
    for path in (heads, result):
        if sealed.is_noted(path) and not path.is_file():
            raise sealed.Damaged(path, "no such file", "what the run left beside its weights",
                                 "Do the run again, or export a copy of the weights alone.")
    if metadata and result.is_file():  # ours
        metadata |= read_object(sealed.check(result), "what a run leaves beside its weights")
    sweep(folder.absolute().parent, of=folder.name, deep=False)
    with temporary_folder(folder.absolute()) as scratch:
        new = scratch / "new"
        new.mkdir()
        write_json(new / hub.CONFIG, config_json.public(model.config))
        torch.save(public_state(model), new / WEIGHTS)
        checkpoint.save(new / TENSORS, model, **metadata)
        if heads.is_file():
            shutil.copyfile(heads, new / hub.HEADS)
        (new / CARD).write_text(card(model, metadata, files.name, heads.is_file()))
        if folder.exists():
            folder.rename(scratch / "old")  # from here to the next line there is neither
        move_folder(new, folder)
    return folder


def check_target(folder: Path, overwrite: bool = False) -> None:
    """InputError unless an export may be written to `folder`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(folder, "a file", "a new or empty folder")
    there = sorted(p.name for p in folder.iterdir())
    if strange := [name for name in there if name not in FILES]:
        raise InputError(folder, ", ".join(strange), "a new or empty folder")
    if there and not overwrite:
        raise InputError(folder, "an export", "a new or empty folder",
                         "Ask for it to be overwritten, or choose another folder.")
