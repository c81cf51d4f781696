"""A study's folder as `Evidence`: what the notebooks left there, to judge the claims by."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lewm_core.stats.evidence import Evidence
from lewm_core.utils.workspace import MEASURED, SCALES, Workspace


def gather(workspace: Workspace, study: str = "main", more: pd.DataFrame | None = None,
           **measured: pd.DataFrame) -> Evidence:
    """The results of notebooks 03 to 05 and what else lies in the folder; what does not is left out.

    study: "controls" reads the control runs, too; in "main" those of an earlier study stay out. more: further rows of
    results (`metrics.metric_table`). measured: tables of `Evidence` that the caller has.
    """
    results = pd.concat([pd.read_csv(workspace.results(s)) for s in SCALES] + ([] if more is None else [more]))
    skipped = pd.concat([pd.read_csv(workspace.skipped(s)) for s in SCALES])
    found = {name: table for name in MEASURED if name != "gradients" or study == "controls"
             if (table := _table(workspace.measured(name))) is not None}
    counted = _table(workspace.figures / "on_object_tracks.csv")
    if counted is not None:
        found["on_object"] = counted[["layout", "episode", "value"]].rename(columns={"value": "count"})
    sizes = patches = None
    controls = _table(workspace.results("controls")) if study == "controls" else None
    if controls is not None:
        told = _table(workspace.skipped("controls"))
        told = pd.concat([told.assign(scale=s) for s in SCALES]) if told is not None else None
        patches = Evidence(controls[controls.study == "patches"], told)
        sizes, rows = same_steps(controls)
        results = pd.concat([results, rows[results.columns]])
    return Evidence(results, skipped, sizes, patches, **(found | measured))


def same_steps(controls: pd.DataFrame) -> tuple[Mapping[str, int], pd.DataFrame]:
    """Of study `steps` the arms of the longer training: arm -> episodes, and their rows. Between these only the data
    differ: the optimizer steps, the test episodes and the rule of selection are the same."""
    rows = controls[controls.study == "steps"]
    rows = rows[rows.steps == rows.steps.max()]
    return rows.drop_duplicates("arm").set_index("arm").episodes.to_dict(), rows


def _table(path: Path) -> pd.DataFrame | None:
    """A table, or None where there is no such file or nothing in it."""
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
    except pd.errors.EmptyDataError:
        return None
    return table if len(table) else None
