"""What notebook 02 found, in sentences: how good a backend is, and how many tracks lie on the object."""

import pandas as pd

from lewm_core.stats import paper


def backend_quality(numbers: pd.DataFrame, summary: pd.DataFrame, backend: str) -> list[str]:
    """How far a backend is from the simulator's truth.

    numbers: the rows of `quality.compare`. summary: those of `quality.summary`, a row per backend.
    """
    row = summary.loc[backend]
    lines = []
    if pd.notna(row["staying: median error (px)"]):
        lines += [
            f"Points that stay visible are off by {row['staying: median error (px)']:.2f} px (median), those among "
            f"them that move by {row['moving, staying: median error (px)']:.2f} px.",
            f"Points on the object are off by {row['object: median error (px)']:.2f} px wherever they are truly "
            f"visible, and {row['object: found']:.0%} of them are called visible."]
    iou = numbers[(numbers.made_by == backend) & (numbers.metric == "iou")].value.dropna()
    if len(iou):
        lines.append(f"The mask's overlap with the true one (IoU) is {iou.mean():.2f} on average, from "
                     f"{iou.min():.2f} to {iou.max():.2f} by episode.")
    return [f"`{backend}`, means over {numbers.episode.nunique()} simulated episodes.", *lines]


def tracks_on_object(counts: pd.DataFrame, coverage: float, points: int, inside: float) -> list[str]:
    """How many visible tracks lie on the object with either layout of the queries.

    counts: as `audit.on_object_counts` makes them. coverage: mean share of the frame that the mask covers. points:
    tracks in all. inside: how many foreground-biased queries begin on the object.
    """
    mean = counts.groupby("layout")["count"].mean()
    if mean.isna().any():
        return [f"Cannot be counted: {counts.note.iloc[0]}"]
    reported = paper.ON_OBJECT_TRACKS
    return [
        f"Uniform queries put {mean['uniform']:.1f} visible tracks on the object, mean over frames (the paper: about "
        f"{reported['uniform']}). That is the size of the objects: the mask covers {coverage:.1%} of the frame, "
        f"{points * coverage:.0f} of {points} points. The paper's masks cover 2 to 5 %.",
        f"Foreground-biased queries put {mean['foreground']:.1f} there (the paper: about {reported['foreground']}). "
        f"Of the {inside:.0f} that begin on the object, {mean['foreground'] / inside:.0%} stay visible on it; the "
        f"paper's count means about {reported['foreground'] / inside:.0%}."]
