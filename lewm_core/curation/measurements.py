"""What the score needs to know of an episode: a row of numbers from its signals, measured once and kept as a table.

From the measurements follows the score for any criteria, so that other weights and thresholds cost no second look at
the signals. Pixels are those of a 224-pixel image.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.signals.backends import is_relative
from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import REFERENCE_SIZE, at_pixels
from lewm_core.sources.episode import EpisodeInfo
from lewm_core.utils import sealed
from lewm_core.utils.files import regular, write_csv

MOTION_PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 100.0)  # that are measured, so that criteria can ask for them
DEPTH_PERCENTILES = (0.0, 1.0, 5.0, 10.0, 90.0, 95.0, 99.0, 100.0)


def measure(info: EpisodeInfo, signals: Signals, image_size: int) -> dict[str, object]:
    """All that any `Criteria` need to know of an episode: a row of the table of measurements.

    episode, task, length (frames).
    motion_50 … motion_100: percentiles of `path_lengths`, px at 224.
    variation: std over mean of the mask's coverage over frames; infinite for a mask that is empty throughout.
    depth_0 … depth_100: percentiles of all depths, in the depth's unit; not of a relative depth, which has no range.
    coverage_0 … coverage_{T−1}: share of the image that the mask covers, per frame.

    Columns whose signal is missing are left out (NaN in a table).

    Args:
        image_size: width of the frames that the tracks were made on, px.
    """
    row = {"episode": info.id, "task": info.task, "length": info.length}
    if signals.tracks is not None:
        motion = np.percentile(path_lengths(signals), MOTION_PERCENTILES) * REFERENCE_SIZE / image_size
        row |= {f"motion_{p:g}": float(px) for p, px in zip(MOTION_PERCENTILES, motion, strict=True)}
    if signals.depth is not None and not is_relative(signals.made_by.get("depth")):
        depth = np.percentile(signals.depth, DEPTH_PERCENTILES)
        row |= {f"depth_{p:g}": float(d) for p, d in zip(DEPTH_PERCENTILES, depth, strict=True)}
    if signals.mask is not None:
        coverage = signals.mask.mean((1, 2))
        row["variation"] = float(coverage.std() / coverage.mean()) if coverage.any() else float("inf")
        row |= {f"coverage_{t}": float(share) for t, share in enumerate(coverage)}
    return row


def path_lengths(signals: Signals) -> np.ndarray:
    """(N,) how far the object's points travel over the episode, px at image size.

    A point's path length is the sum of its steps between consecutive frames in both of which it is visible. The points
    are the foreground-biased ones that lie on the object in frame 0; where there are none (no mask, or an empty one),
    all of the uniform grid.
    """
    tracks, visible = signals.tracks, signals.visible
    if signals.tracks_fg is not None:
        inside = at_pixels(signals.mask[:1], signals.tracks_fg[:1])[0][0]
        if inside.any():
            tracks, visible = signals.tracks_fg[:, inside], signals.visible_fg[:, inside]
    return (np.linalg.norm(np.diff(tracks, axis=0), axis=-1) * (visible[1:] & visible[:-1])).sum(0)


def read_measurements(path: str | Path) -> pd.DataFrame:
    """The table that `write_csv` kept at `path`, number for number; an empty one where there is none, or a damaged
    one, which is told. InputError for what is no file."""
    nothing = pd.DataFrame({"episode": pd.Series(dtype=object), "task": pd.Series(dtype=object), "length": []})
    if not Path(path).exists():
        return nothing
    regular(path)
    try:
        columns = pd.read_csv(sealed.check(path), nrows=0)
    except ValueError as error:  # also of a file from before it was sealed
        sealed.made_again(path, error)
        return nothing
    numbers = [name for name in columns if name not in ("episode", "task")]
    return pd.read_csv(path, dtype={"episode": str, "task": str}, keep_default_na=False,
                       na_values={name: [""] for name in numbers})  # the task "NA" is a text


def add_measurements(path: str | Path, rows: Iterable[Mapping[str, object]], batch: int = 2000) -> pd.DataFrame:
    """Append rows of `measure`, taken one by one, to the table kept at `path`, and return all of it.

    The file is written after `batch` rows, or half as many as it has where these are more, since all of it is written
    anew: that many are lost by an interruption.
    """
    table, rows = read_measurements(path), iter(rows)
    while new := list(islice(rows, max(batch, len(table) // 2))):
        table = pd.concat([table, pd.DataFrame(new)], ignore_index=True) if len(table) else pd.DataFrame(new)
        write_csv(path, table)
    return table
