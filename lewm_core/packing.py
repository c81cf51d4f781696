"""Writing dataset files: episode after episode, under a temporary name, renamed when complete and valid.

One frame is one chunk, so that a random window reads what it needs; entries smaller than CHUNK_BYTES share a chunk.
"""

import json
from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from lewm_core.contract import COLUMNS, NO_FOREGROUND, SIGNALS, validate
from lewm_core.episodes import Episode
from lewm_core.errors import InputError
from lewm_core.files import replacing
from lewm_core.signals import Signals

CHUNK_BYTES = 8192
TEXT = {"episode_id", "task"}


def write(path: str | Path, items: Iterable[tuple[Episode, Signals]], **attributes: object) -> None:
    """Write episodes and their signals, one at a time, to `path`; validated before it takes that name.

    Signals that are missing leave their column out; why is kept in the attribute `missing`. `attributes` (JSON
    values) say how the file was made. InputError, and no file, for no episodes, or one that differs from the others in
    its signals or their shapes.
    """
    with replacing(path) as temporary:
        lengths, first = [], ""
        made_by, missing, biased = {}, {}, False
        with h5py.File(temporary, "w") as f:
            for episode, signals in items:
                rows = {"pixels": episode.frames, "action": episode.actions, "observation": episode.observations}
                rows |= {name: value for name in SIGNALS if (value := getattr(signals, name)) is not None}
                if lengths and set(rows) != set(f) - TEXT:
                    raise InputError(f"episode {episode.id}", f"columns {sorted(rows)}",
                                     f"those of {first}, {sorted(set(f) - TEXT)}")
                for name, value in rows.items():
                    if name in f and f[name].shape[1:] != value.shape[1:]:
                        raise InputError(f"episode {episode.id}", f"{name} of {value.shape[1:]} a frame",
                                         f"{f[name].shape[1:]} as in {first}")
                    _append(f, name, np.ascontiguousarray(value, dtype=COLUMNS[name].dtype))
                for name, text in (("episode_id", episode.id), ("task", episode.task)):
                    _append(f, name, np.full(len(episode.frames), text, object))
                lengths.append(len(episode.frames))
                first = first or episode.id
                made_by |= signals.made_by
                missing |= signals.missing
                biased |= signals.biased
            if not lengths:
                raise InputError(path, "no episodes to write", "at least one", "Check the selection.")
            if "tracks_fg" in f and not biased:  # all of them fell back to the uniform grid: that is condition D
                del f["tracks_fg"], f["visible_fg"]
                made_by.pop("tracks_fg", None)
                missing["tracks_fg"] = NO_FOREGROUND
            f["ep_len"] = np.array(lengths, np.int64)
            f["ep_offset"] = np.cumsum([0, *lengths[:-1]], dtype=np.int64)
            f.attrs["made"] = json.dumps({**attributes, "made_by": made_by, "missing": missing}, sort_keys=True)
        if problems := validate(temporary):
            raise InputError(path, "; ".join(problems), "a dataset that keeps the contract", "Nothing was written.")


def _append(f: h5py.File, name: str, value: np.ndarray) -> None:
    if name not in f:
        text = COLUMNS[name].dtype == "str"
        a_row = 16 if text else max(1, value[0].nbytes)
        f.create_dataset(name, shape=(0, *value.shape[1:]), maxshape=(None, *value.shape[1:]),
                         dtype=h5py.string_dtype() if text else value.dtype,
                         chunks=(max(1, CHUNK_BYTES // a_row), *value.shape[1:]))
    f[name].resize(len(f[name]) + len(value), axis=0)
    f[name][-len(value):] = value
