"""A look at a dataset file: what its columns hold, what its signals say, and where the masked conditions supervise."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lewm_core.conditions import DILATIONS
from lewm_core.dataset import COLUMNS, Data
from lewm_core.dataset.targets import displacements
from lewm_core.signals.geometry import REFERENCE_SIZE, dilate, on_object, to_supervision

LAYOUTS = {"uniform": ("tracks", "visible"), "foreground": ("tracks_fg", "visible_fg")}  # of the track queries
VALID = {"tracks": "visible", "tracks_fg": "visible_fg", "centroid": "centroid_valid", "shape": "shape_valid"}
MEASURED = {
    "depth": "distance of a pixel (m in the simulator)",
    "mask": "share of the frame",
    "tracks": "displacement from frame 0 (px at 224)",
    "tracks_fg": "displacement from frame 0 (px at 224)",
    "centroid": "distance of the centroid",
    "shape": "largest extent e1",
}


def contract(datasets: Mapping[str, Data]) -> pd.DataFrame:
    """A row per column of the contract: whether it is in the public one, its dtype, and its shape in each dataset."""
    rows = []
    for column in COLUMNS.values():
        row = {"column": column.name, "public contract": column.required, "dtype": column.dtype}
        for name, data in datasets.items():
            row[name] = " × ".join(map(str, data[column.name].shape)) if column.name in data.columns else "–"
        rows.append(row)
    return pd.DataFrame(rows).set_index("column")


def signals(data: Data) -> pd.DataFrame:
    """A row per signal: what made it, the share of frames (of pixels for depth, of points for tracks) in which it is
    valid, and least, median and greatest of a number that should look familiar. A signal that is missing has NaN, and
    the reason in column `made by`.
    """
    rows = []
    for name, what in MEASURED.items():
        row = {"signal": name, "made by": data.made.get("made_by", {}).get(name, "–"), "measured": what}
        missing = data.missing([name])
        if missing:
            row["made by"] = f"missing: {missing[name]}"
        else:
            values = _measure(name, data)
            valid = data[VALID[name]].astype(bool) if name in VALID else values > 0
            row["valid"] = valid.mean()
            if valid.any():
                row["least"], row["median"], row["greatest"] = np.percentile(values[valid], [0, 50, 100])
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=["signal", "made by", "measured", "valid", "least", "median",
                                               "greatest"]).set_index("signal")


def _measure(name: str, data: Data) -> np.ndarray:
    """The number that MEASURED names: per pixel for depth, per point for tracks, per frame for the others."""
    if name == "depth":
        return data["depth"]
    if name == "mask":
        return data["mask"].mean((1, 2))
    if name in ("tracks", "tracks_fg"):
        return np.linalg.norm(displacements(data, name), axis=-1) * REFERENCE_SIZE
    if name == "centroid":
        return np.linalg.norm(data["centroid"], axis=1)
    return data["shape"][:, 3]


def on_object_counts(data: Data) -> pd.DataFrame:
    """Visible tracks on the object: a row per frame and query layout with columns episode, frame, layout, count.

    Where a signal is missing, one row per layout without count, and the reason in column `note`.
    """
    missing = data.missing(["mask", "tracks", "tracks_fg"])
    if missing:
        note = " ".join(dict.fromkeys(missing.values()))
        return pd.DataFrame({"episode": "", "frame": 0, "layout": list(LAYOUTS), "count": np.nan, "note": note})
    tables = []
    for i, id in enumerate(data["episode_id"]):
        frames = data.episode(i)
        mask = data["mask"][frames].astype(bool)
        for layout, (tracks, visible) in LAYOUTS.items():
            count = on_object(data[tracks][frames], data[visible][frames].astype(bool), mask)
            tables.append(pd.DataFrame({"episode": id, "frame": range(len(count)), "layout": layout, "count": count}))
    return pd.concat(tables)


def coverage(data: Data) -> float:
    """Mean share of the frame that the object mask covers; NaN without masks."""
    return float(data["mask"].mean()) if "mask" in data.columns else np.nan


def coverages(datasets: Mapping[str, Data]) -> pd.DataFrame:
    """`coverage` of each scale: columns scale, value."""
    return pd.DataFrame({"scale": list(datasets), "value": [coverage(data) for data in datasets.values()]})


def supervised_area(data: Data) -> pd.DataFrame:
    """How much of the frame each masked condition reads: condition, dilation (px at 224), mean share of the frame, and
    the share of frames with nothing to read; NaN, and the reason in column `note`, where there is no mask."""
    missing = data.missing(["mask"])
    rows = []
    for name, px in DILATIONS.items():
        row = {"condition": name, "dilation (px at 224)": px}
        if missing:
            row |= {"mean share of the frame": np.nan, "frames with nothing": np.nan, "note": missing["mask"]}
        else:
            grown = dilate(to_supervision(data["mask"].astype(bool)), px)
            row |= {"mean share of the frame": grown.mean(), "frames with nothing": (~grown.any((1, 2))).mean()}
        rows.append(row)
    return pd.DataFrame(rows).set_index("condition")
