"""The contact sheets of notebook 01, each with the table of the numbers in it."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lewm_core.curation.curate import Curated
from lewm_core.signals.pipeline import SourceSpec, open_episode, packets
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.viz import tiles
from lewm_core.viz.images import contact_sheet
from lewm_core.viz.style import empty_figure, tidy

CAMERA_SIZE = 112  # px of a camera's picture
PER_ROW = 5
BEST = 6  # episodes of each kind in the sheet of what was taken

title = partial(escape.plain, limit=120)  # over a picture


def all_cameras(spec: SourceSpec, shown: pd.DataFrame) -> tuple[Figure, pd.DataFrame, list[str]]:
    """The middle frame of episodes from every camera: the figure, its table, and for each kind of absent picture a
    sentence in Markdown.

    shown: columns episode, task. Of a source with one camera there is nothing to compare.
    """
    views = [spec.view(camera, CAMERA_SIZE) for camera in range(spec.open().cameras)]
    if len(views) < 2 or shown.empty:
        return empty_figure("the source has one camera, or no episode is to be shown"), pd.DataFrame(), []
    pictures = []
    lacking = []
    for id in shown.episode:
        picture, absent = tiles.camera_tile(views, id, CAMERA_SIZE)
        pictures.append(picture)
        lacking.append(absent)
    figure = contact_sheet(pictures, shown.episode.map(title) + "\n" + shown.task.map(title), PER_ROW)
    seen = shown.assign(cameras=[len(views) - len(absent) for absent in lacking])
    counts = pd.Series([line for absent in lacking for line in absent], dtype=object).value_counts()
    lines = [f"{escape.markdown(line)} ({count} of {len(pictures)} episodes)" for line, count in counts.items()]
    return figure, tidy(seen, "cameras", "cameras with pictures"), lines


def taken_and_not(curated: Curated, spec: SourceSpec, cache: Path) -> tuple[Figure, pd.DataFrame]:
    """The middle frames of the best episodes, of the worst that were not selected, and of some that were rejected.

    cache: where opened episodes are kept.
    """
    table = curated.table
    scored = curated.scored
    rejected = table[~table.accepted].groupby("reason").head(2).head(BEST)
    sheet = pd.concat([scored.nlargest(BEST, "score"), scored[~scored.selected].nsmallest(BEST, "score"), rejected])
    pictures = [_middle_frame(spec, id, cache) for id in sheet.episode]
    sheet = sheet[[picture is not None for picture in pictures]]
    pictures = [picture for picture in pictures if picture is not None]
    words = [_why(row, curated.parts) for _, row in sheet.iterrows()]
    figure = contact_sheet(pictures, words, BEST, good=sheet.selected.tolist())
    columns = ["episode", "task", "length", "selected", "reason", "score", *curated.parts]
    return figure, tidy(sheet[columns], "score", "score")


def _middle_frame(spec: SourceSpec, id: str, cache: Path) -> np.ndarray | None:
    """None for an episode that was rejected before its pictures were decoded, and whose pictures do not decode."""
    try:
        frames = open_episode(spec, id, cache).frames
    except InputError:
        return None
    return frames[len(frames) // 2]


def _why(row: pd.Series, parts: list[str]) -> str:
    """The title of a picture: the reason of a rejection, or the score with its lowest part."""
    if not row.accepted:
        return f"{title(row.reason)}\n{row.length} frames: {title(row.task or '(no text)')}"
    lowest = row[parts].astype(float).idxmin()
    return f"{row.score:.2f}; {lowest.removeprefix('part_')} {row[lowest]:.2f}\n{title(row.task)}"


def signals_sheet(curated: Curated, spec: SourceSpec, cache: Path, shown: pd.DataFrame,
                  jobs: int) -> tuple[Figure, pd.DataFrame]:
    """The last frame of episodes with the object mask and the path of each point that moved.

    cache: where signals and opened episodes are kept. shown: candidates; those that were measured are drawn.
    """
    seen = shown.merge(curated.measurements, on=["episode", "task", "length"])
    if seen.empty:
        return empty_figure("none of the episodes that are shown was measured"), pd.DataFrame()
    motion = f"motion_{curated.rules.motion_percentile:g}"
    if motion not in seen:
        seen[motion] = np.nan
    seen["coverage"] = seen.filter(regex=r"^coverage_\d").mean(axis=1)
    found = packets(spec, seen.episode, cache, jobs, desc="pictures")
    pictures = [tiles.signals_tile(episode, signals) for episode, signals in found]
    words = [f"{title(row.task)}\npath {row[motion]:.0f} px, mask {row.coverage:.1%}" for _, row in seen.iterrows()]
    return contact_sheet(pictures, words, PER_ROW), tidy(seen[["episode", "task", motion, "coverage"]], "coverage",
                                                         "mean mask coverage")
