"""What notebook 02 found, in sentences: how good a backend is, and how many tracks lie on the object."""

import pandas as pd

from lewm_core.stats import paper
from lewm_core.utils import escape


def backend_quality(numbers: pd.DataFrame, summary: pd.DataFrame, backend: str) -> list[str]:
    """How far a backend is from the simulator's truth.

    numbers: the rows of `quality.compare`. summary: those of `quality.summary`, a row per backend.
    """
    row = summary.loc[backend]
    lines = []
    if pd.notna(row["staying: median error (px)"]):
        lines += [
            f"The median error of points that stay visible is {row['staying: median error (px)']:.2f} px. Of those "
            f"among them that also move, it is {row['moving, staying: median error (px)']:.2f} px.",
            f"Where points on the object are truly visible, their median error is "
            f"{row['object: median error (px)']:.2f} px, and {row['object: found']:.0%} of them are called visible."]
    iou = numbers[(numbers.made_by == backend) & (numbers.metric == "iou")].value.dropna()
    if len(iou):
        lines.append(f"The mask's overlap with the true one (IoU) is {iou.mean():.2f} on average, from "
                     f"{iou.min():.2f} to {iou.max():.2f} by episode.")
    return [f"All numbers are of `{backend}`: means over simulated episodes (n = {numbers.episode.nunique()}).", *lines]


def tracks_on_object(counts: pd.DataFrame, coverage: float, points: int, inside: float) -> list[str]:
    """How many visible tracks lie on the object with either layout of the queries.

    counts: as `audit.on_object_counts` makes them. coverage: mean share of the frame that the mask covers. points:
    tracks in all. inside: how many foreground-biased queries begin on the object.
    """
    mean = counts.groupby("layout")["count"].mean()
    if mean.isna().any():
        return [f"Cannot be counted: {escape.markdown(counts.note.iloc[0])}"]
    reported = paper.ON_OBJECT_TRACKS
    return [
        f"Uniform queries put {mean['uniform']:.1f} visible tracks on the object, mean over frames (the paper: about "
        f"{reported['uniform']}). The mask covers {coverage:.1%} of the frame, which is the area of "
        f"{points * coverage:.0f} of {points} points. The paper's masks cover 2 to 5 %.",
        f"Foreground-biased queries put {mean['foreground']:.1f} there (the paper: about {reported['foreground']}). "
        f"That is {mean['foreground'] / inside:.0%} of the {inside:.0f} queries that begin on the object; the paper's "
        f"count is about {reported['foreground'] / inside:.0%} of them."]
