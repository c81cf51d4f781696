"""What the claims are judged by: the tidy tables of one study, and why one of them is not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lewm_core.conditions import ALL
from lewm_core.stats import paper
from lewm_core.stats.paired import paired_change

CONTROLS = "it needs the control runs, --study controls"
WHERE = {"sizes": CONTROLS, "patches": CONTROLS, "gradients": CONTROLS, "facts": "notebook 05 counts them",
         "instability": "notebook 04 measures it", "on_object": "notebook 02 counts them",
         "leak": "notebooks 03 and 06 measure it", "probes": "notebook 06 fits them", "capacity": "notebook 06 fits it"}


class Absent(Exception):
    """What a claim needs is not there; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """Tidy tables of one study. All but `results` may be None: the claims that need them are then not testable.

    results: condition, scale, seed, split, metric, value; of all runs, with the rows of `metrics.metric_table`.
    skipped: condition, scale, reason; as `sweep.plan` returns it.
    sizes: scale -> episodes, of runs between which only the amount of data differs (same steps, same selection).
    patches: the runs whose heads or predictor read patch tokens, with their baselines, as evidence of their own, since
    they train on other episodes than the runs in `results`; scales as there.
    facts: scale, fact, value; all that differs between the pilot and the full scale but the number of episodes.
    probes: seed, target, tokens, probe, r2 of condition A (`probes.probe_table`).
    capacity: seed, series, probe, points, error of condition A (`capacity.capacity_curve`).
    leak: `leak.leak_summary`. gradients: scale, seed, head, step, cosine (of the head's gradient with the
    prediction's, on what both share). on_object: layout, episode, count (visible tracks on the object, per frame).
    instability: condition, episode, value (frame-to-frame change of the normalisation, in an episode).
    """

    results: pd.DataFrame
    skipped: pd.DataFrame | None = None
    sizes: Mapping[str, float] | None = None
    patches: "Evidence | None" = None
    facts: pd.DataFrame | None = None
    probes: pd.DataFrame | None = None
    capacity: pd.DataFrame | None = None
    leak: pd.DataFrame | None = None
    gradients: pd.DataFrame | None = None
    on_object: pd.DataFrame | None = None
    instability: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.results)

    def need(self, name: str):
        """The table of that name, or Absent."""
        table = getattr(self, name)
        if table is None or not len(table):
            raise Absent(f"nothing was measured of: {name.replace('_', ' ')} ({WHERE[name]})")
        return table

    @cached_property
    def _values(self) -> dict[tuple, pd.Series]:
        keys = ["condition", "scale", "metric", "split"]
        return {key: rows.set_index("seed").value.astype(float).sort_index()
                for key, rows in self.results.groupby(keys, sort=False)}

    @cached_property
    def _paired(self) -> dict[tuple, dict[tuple, pd.Series]]:
        """By baseline, metric and split: changes by condition and scale; filled when first asked for."""
        return {}

    def values(self, condition: str, scale: str, metric: str, split: str) -> pd.Series:
        """A condition's values by seed, or Absent with the reason."""
        if (found := self._values.get((condition, scale, metric, split))) is not None:
            return found
        if any(key[:2] == (condition, scale) for key in self._values):
            raise Absent(f"{condition} has no {metric} on the {split} split at scale {scale}")
        if self.skipped is not None:
            told = self.skipped[(self.skipped.condition == condition) & (self.skipped.scale == scale)]
            if len(told):
                raise Absent(f"{condition} was skipped: {told.reason.iloc[0]}")
        raise Absent(f"{condition} was not run at scale {scale}")

    def change(self, condition: str, scale: str, metric: str, split: str) -> pd.Series:
        """A condition's change against its baseline (A, or A-pp) by seed, per cent, or Absent with the reason."""
        baseline = _baseline(condition)
        for name in (condition, baseline):
            self.values(name, scale, metric, split)
        if (baseline, metric, split) not in self._paired:
            rows = self.results[(self.results.metric == metric) & (self.results.split == split)]
            rows = rows[rows.condition.map(_baseline) == baseline]
            runs = pd.MultiIndex.from_frame(rows[["scale", "seed"]])
            paired = paired_change(rows[runs.isin(runs[rows.condition == baseline])], metric, split, baseline)
            groups = paired.groupby(["condition", "scale"], sort=False)
            self._paired[baseline, metric, split] = {key: group.set_index("seed").change for key, group in groups}
        if (found := self._paired[baseline, metric, split].get((condition, scale))) is None:
            raise Absent(f"no seed of {condition} has a run of {baseline} at scale {scale}")
        return found

    def against(self, one: str, other: str, scale: str, metric: str, split: str) -> np.ndarray:
        """Change of `one` minus change of `other` at the same seeds, per cent points."""
        pair = [self.change(c, scale, metric, split) for c in (one, other)]
        return (pair[0] - pair[1]).dropna().to_numpy()


def _baseline(condition: str) -> str:
    return ALL[condition].baseline if condition in ALL else paper.BASELINE
