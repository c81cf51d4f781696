"""A copy of a dataset file with the signals of its episodes: all else in it is kept as it is."""

import json
from collections.abc import Iterable
from pathlib import Path

import h5py

from lewm_core.dataset import seal
from lewm_core.dataset.contract import MADE, NO_FOREGROUND, frame_columns, made
from lewm_core.dataset.data import digests_in
from lewm_core.dataset.packing import Opened, append
from lewm_core.dataset.violations import validate
from lewm_core.signals.extraction import Signals
from lewm_core.utils.errors import InputError, foreign
from lewm_core.utils.files import replacing

SIGNALS = [column for column in frame_columns() if column.source is None]


def extend(path: Path, target: Path, signals: Iterable[Signals], **attributes: object) -> None:
    """Write the file `target`: what is at `path`, and beside it the signals, one after another, of its episodes.

    The columns of the signals are those given here alone. `attributes` (JSON values) say how they were made. To be
    called in another process (`pool.apart`), since HDF5's library can die of what a file holds beside the contract.
    InputError, and no file, where the result does not keep the contract.
    """
    with replacing(target) as temporary:
        with Opened(temporary) as opened, h5py.File(opened, "w") as f:
            with h5py.File(path, "r") as own, foreign(path):
                _copy(own, f)
                about = made(own)
            opened.check()
            about |= attributes | _add(f, opened, signals)
            f.attrs[MADE] = json.dumps(about, sort_keys=True)
            f.flush()
            opened.check()
            seal.write(f, [*digests_in(target, f)])
        if problems := validate(temporary):
            raise InputError(target, "; ".join(problems), "a dataset that keeps the contract", "Nothing was written.")


def _copy(own: h5py.File, f: h5py.File) -> None:
    """Everything but the signals, the seal, and what the file says of how it was made."""
    left_out = {column.name for column in SIGNALS}
    for name in own:
        link = own.get(name, getlink=True)
        if name not in left_out and isinstance(link, h5py.HardLink):
            own.copy(own[name], f, name)
        elif name not in left_out:
            f[name] = link
    for name, value in own.attrs.items():
        if name not in (MADE, seal.SEAL) and not name.startswith(seal.DIGESTS.format("")):
            f.attrs[name] = value


def _add(f: h5py.File, opened: Opened, signals: Iterable[Signals]) -> dict[str, dict[str, str]]:
    """Write the signals; what made each, and why others are missing."""
    made_by, missing, biased = {}, {}, False
    for own in signals:
        for column in SIGNALS:
            rows = getattr(own, column.name)
            if rows is not None:
                append(f, column.name, rows.astype(column.dtype))
        opened.check()
        made_by |= own.made_by
        missing |= own.missing
        biased |= own.biased
    if "tracks_fg" in f and not biased:
        del f["tracks_fg"], f["visible_fg"]
        made_by.pop("tracks_fg", None)
        missing["tracks_fg"] = NO_FOREGROUND
    return {"made_by": made_by, "missing": missing}
