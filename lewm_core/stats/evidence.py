"""What the claims are judged by: the tidy tables of one study, and why one of them is not there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.stats import gates, paper
from lewm_core.stats.values import Values
from lewm_core.utils import sealed
from lewm_core.utils.workspace import CONTROLS, MEASURED, SCALES, Workspace

BY_CONTROLS = "the control runs (--study controls) make them"
WHERE = {  # evidence that may be absent: what it is, and what makes it
    "sizes": ("runs between which only the number of episodes differs", BY_CONTROLS),
    "patches": ("runs whose heads read patch tokens", BY_CONTROLS),
    "gradients": ("gradients of the heads", BY_CONTROLS),
    "facts": ("sizes of the two scales", "notebook 05 counts them"),
    "instability": ("stability of the normalisation", "notebook 04 measures it"),
    "on_object": ("count of visible tracks on the object", "notebook 02 makes it"),
    "leak": ("leak of the window split", "notebooks 03 and 05 measure it"),
    "probes": ("probes of the tokens", "notebook 06 fits them"),
    "capacity": ("errors by number of points", "notebook 06 measures them"),
    "floors": ("floors of the track heads", "notebook 06 measures them"),
    "parameters": ("numbers of parameters", "diagnostics.design counts them"),
    "paper_steps": ("optimizer steps of the paper's own runs", "diagnostics.design counts them"),
    "coverage": ("coverage of the masks", "diagnostics.audit measures it"),
}
FLOORS = ("training mean", "no motion")  # the capacity table's series of predictions that look at nothing
CLEAR = 0.98  # of the training mean's error: a probe that is not below recovers nothing to speak of
LEAST_R2 = 0.05  # a linear probe that recovers no more is at its floor, and no difference from it means anything


class Absent(Exception):
    """What a claim needs is not there; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """Tidy tables of one study. All but `results` may be None: the claims that need them are then not testable.

    results: condition, scale, seed, split, metric, value; of all runs, with the rows of `metrics.metric_table`.
    skipped: condition, scale, reason; as `sweep.plan` returns it.
    baselines: condition -> the condition that it is compared with; A for those it does not name.
    sizes: scale -> episodes, of runs between which only the amount of data differs (same steps, same selection).
    patches: the runs whose heads or predictor read patch tokens, with their baselines, as evidence of their own, since
        they train on other episodes than the runs in `results`; scales as there.
    facts: scale, fact, value; all that differs between the pilot and the full scale but the number of episodes.
    probes: seed, target, tokens, probe, r2 of condition A (`probes.probe_table`).
    capacity: seed, series, probe, points, error of condition A (`capacity.capacity_curve`).
    leak: `leakage.leak_summary`.
    gradients: scale, condition, seed, head, step, cosine (of the head's gradient with the prediction's, on what both
        share), ratio (of the weighted head's gradient to the prediction's).
    on_object: layout, episode, count (visible tracks on the object, per frame).
    floors: condition, scale, seed, head, no motion, training mean: losses of the track heads (`capacity.head_floors`).
    instability: condition, episode, value (frame-to-frame change of the normalisation, in an episode).
    coverage: scale, value: mean share of the frame that the object's mask covers.
    parameters: name -> number of parameters at the paper's size, of the model and of each head.
    paper_steps: as facts, of the paper's own runs: their optimizer steps (`design.paper_steps`).
    """

    results: pd.DataFrame
    skipped: pd.DataFrame | None = None
    baselines: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, float] | None = None
    patches: "Evidence | None" = None
    facts: pd.DataFrame | None = None
    probes: pd.DataFrame | None = None
    capacity: pd.DataFrame | None = None
    leak: pd.DataFrame | None = None
    gradients: pd.DataFrame | None = None
    on_object: pd.DataFrame | None = None
    instability: pd.DataFrame | None = None
    floors: pd.DataFrame | None = None
    coverage: pd.DataFrame | None = None
    parameters: Mapping[str, int] | None = None
    paper_steps: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.results)

    def need(self, name: str):
        """The table of that name, or Absent."""
        table = getattr(self, name)
        if table is None or not len(table):
            what, made_by = WHERE[name]
            raise Absent(f"no {what} here; {made_by}")
        return table

    def baseline(self, condition: str) -> str:
        """The condition that `condition` is compared with."""
        return self.baselines.get(condition, paper.BASELINE)

    @cached_property
    def _values(self) -> Values:
        return Values(self.results)

    @cached_property
    def _shut(self) -> dict[tuple, tuple[str, ...]]:
        """The gates that are shut, by condition, scale, metric and split; filled when first asked for."""
        return {}

    def values(self, condition: str, scale: str, metric: str, split: str) -> pd.Series:
        """A condition's values by seed, or Absent with the reason."""
        found = self._values.of(condition, scale, metric, split)
        if found is not None:
            return found
        if self._values.ran(condition, scale):
            raise Absent(f"{condition} has no {metric} on the {split} split at scale {scale}")
        if self.skipped is not None:
            told = self.skipped[(self.skipped.condition == condition) & (self.skipped.scale == scale)]
            if len(told):
                raise Absent(f"{condition} was skipped: {told.reason.iloc[0]}")
        raise Absent(f"{condition} was not run at scale {scale}")

    def contrast(self, condition: str, against: str, scale: str, metric: str, split: str) -> pd.Series:
        """A condition's change against another one by seed, per cent, or Absent with the reason."""
        for name in (condition, against):
            self.values(name, scale, metric, split)
        found = self._values.change(condition, against, scale, metric, split)
        if found is None:
            raise Absent(f"no seed of {condition} has a run of {against} at scale {scale}")
        return found

    def change(self, condition: str, scale: str, metric: str, split: str) -> pd.Series:
        """A condition's change against its baseline by seed, per cent, or Absent with the reason."""
        return self.contrast(condition, self.baseline(condition), scale, metric, split)

    def shut(self, places: Iterable[tuple[str, str]], metric: str, split: str) -> list[str]:
        """Why no verdict may be passed on effects of conditions at scales, pairs of the two; empty if one may."""
        reasons = []
        for condition, scale in places:
            key = (condition, scale, metric, split)
            if key not in self._shut:
                self._shut[key] = tuple(gates.shut(self._values, condition, scale, metric, split))
            if self._shut[key]:
                reasons.append(f"gates of {condition} shut at scale {scale}: {', '.join(self._shut[key])}")
        return reasons

    def against(self, one: str, other: str, scale: str, metric: str, split: str) -> np.ndarray:
        """Change of `one` minus change of `other` at the same seeds, per cent points, or Absent with the reason."""
        pair = [self.change(c, scale, metric, split) for c in (one, other)]
        difference = (pair[0] - pair[1]).dropna().to_numpy()
        if not len(difference):
            raise Absent(f"{one} and {other} have no seed in common at scale {scale}")
        return difference


def gather(workspace: Workspace, with_controls: bool, baselines: Mapping[str, str], **measured: object) -> Evidence:
    """The results of notebooks 03 to 05 and what else lies in the folder; what does not is left out.

    with_controls: also what notebook 08 left; without it, that of an earlier run stays out. baselines: as in
    `Evidence`. measured: further fields that the caller has.
    """
    results = pd.concat([pd.read_csv(sealed.check(workspace.results(s))) for s in SCALES])
    skipped = pd.concat([pd.read_csv(sealed.check(workspace.skipped(s))) for s in SCALES])
    found = {name: _table(workspace.measured(name)) for name, made_by in MEASURED.items()
             if made_by != CONTROLS or with_controls}
    more = found.pop("metrics", None)
    if more is not None:
        results = pd.concat([results, more])
    counted = _table(workspace.figures / "on_object_tracks.csv")
    if counted is not None:
        found["on_object"] = counted[["layout", "episode", "value"]].rename(columns={"value": "count"})
    controls = _table(workspace.results("controls")) if with_controls else None
    if controls is not None:
        told = _table(workspace.skipped("controls"))
        if told is not None:
            told = pd.concat([told.assign(scale=s) for s in SCALES])
        found["patches"] = Evidence(controls[controls.study == "patches"], told, baselines)
        found["sizes"], rows = same_steps(controls)
        results = pd.concat([results, rows[results.columns]])
    return Evidence(results, skipped, baselines, **(found | measured))


def same_steps(controls: pd.DataFrame) -> tuple[Mapping[str, int], pd.DataFrame]:
    """Of study `steps` the arms of the longer training: arm -> episodes, and their rows. Between these only the data
    differ: the optimizer steps, the test episodes and the rule of selection are the same."""
    rows = controls[controls.study == "steps"]
    rows = rows[rows.groupby("arm").steps.transform("max") == rows.steps.max()]  # the base in them has taken none
    return rows.drop_duplicates("arm").set_index("arm").episodes.to_dict(), rows


def _table(path: Path) -> pd.DataFrame | None:
    """A table, or None where there is no such file or nothing in it."""
    if not path.exists():
        return None
    try:
        table = pd.read_csv(sealed.check(path))
    except pd.errors.EmptyDataError:
        return None
    return table if len(table) else None
