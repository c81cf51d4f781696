"""The tables kept beside the figures of notebooks 01, 02 and 07: every number drawn, in the columns of `style.tidy`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lewm_core.signals.extraction import Signals
from lewm_core.signals.geometry import on_object
from lewm_core.viz.style import tidy


def curation_scores(scored: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """Of the scores' distributions: a row per episode and part. scored: columns episode, selected, score, `parts`."""
    return tidy(scored.melt(["episode", "selected"], ["score", *parts], "metric"), "value", "part")


def packet(signals: Signals) -> pd.DataFrame:
    """Of the packet view: median depth, mask coverage and visible tracks on the object, per frame."""
    per_frame = {}
    if signals.depth is not None:
        per_frame["median depth"] = np.median(signals.depth, (1, 2))
    if signals.mask is not None:
        per_frame["mask coverage"] = signals.mask.mean((1, 2))
    if signals.mask is not None and signals.tracks_fg is not None:
        per_frame["visible tracks on the object"] = on_object(signals.tracks_fg, signals.visible_fg, signals.mask)
    rows = pd.DataFrame(per_frame).rename_axis("frame").reset_index().melt("frame", var_name="metric")
    return tidy(rows, "value", "", episode=signals.episode)


def track_quality(numbers: pd.DataFrame, data: str) -> pd.DataFrame:
    """Of the backends' quality. numbers: rows of `quality.compare`. data: the source that they were measured on."""
    return tidy(numbers, "value", "", data=data)


def on_object_counts(counts: pd.DataFrame) -> pd.DataFrame:
    """Of the tracks on the object. counts: as from `audit.on_object_counts`."""
    return tidy(counts, "count", "visible tracks on the object", scale="full")
