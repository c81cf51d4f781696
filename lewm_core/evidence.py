"""What the claims are judged by: the tidy tables of one study, and why one of them is not there."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from lewm_core import paper
from lewm_core.statistics import paired_change


class Absent(Exception):
    """What a claim needs is not there; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """Tidy tables of one study. All but `results` may be None: the claims that need them are then not testable.

    results: condition, scale, seed, split, metric, value; of all runs, with the rows of `metrics.metric_table`.
    skipped: condition, scale, reason; as `sweep.plan` returns it.
    sizes: scale -> episodes, of runs between which only the amount of data differs (same steps, same selection).
    patch_aware: condition -> the same supervision through a head that reads patch tokens, also a condition.
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
    patch_aware: Mapping[str, str] | None = None
    facts: pd.DataFrame | None = None
    probes: pd.DataFrame | None = None
    capacity: pd.DataFrame | None = None
    leak: pd.DataFrame | None = None
    gradients: pd.DataFrame | None = None
    on_object: pd.DataFrame | None = None
    instability: pd.DataFrame | None = None

    def need(self, name: str):
        """The table of that name, or Absent."""
        table = getattr(self, name)
        if table is None or not len(table):
            raise Absent(f"nothing was measured of: {name.replace('_', ' ')}")
        return table

    @cached_property
    def _values(self) -> dict[tuple, pd.Series]:
        keys = ["condition", "scale", "metric", "split"]
        return {key: rows.set_index("seed").value.astype(float).sort_index()
                for key, rows in self.results.groupby(keys, sort=False)}

    @cached_property
    def _changes(self) -> dict[tuple, pd.Series]:
        """By condition, scale, metric and split; filled when a metric and a split are first asked for."""
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
        """A condition's change against A by seed, per cent, or Absent with the reason."""
        for name in (condition, paper.BASELINE):
            self.values(name, scale, metric, split)
        if not any(key[2:] == (metric, split) for key in self._changes):
            rows = self.results[(self.results.metric == metric) & (self.results.split == split)]
            runs = pd.MultiIndex.from_frame(rows[["scale", "seed"]])
            paired = paired_change(rows[runs.isin(runs[rows.condition == paper.BASELINE])], metric, split)
            self._changes.update({(c, s, metric, split): group.set_index("seed").change
                                  for (c, s), group in paired.groupby(["condition", "scale"], sort=False)})
        if (found := self._changes.get((condition, scale, metric, split))) is None:
            raise Absent(f"no seed of {condition} has a run of {paper.BASELINE} at scale {scale}")
        return found

    def against(self, one: str, other: str, scale: str, metric: str, split: str) -> np.ndarray:
        """Change of `one` minus change of `other` at the same seeds, per cent points."""
        pair = [self.change(c, scale, metric, split) for c in (one, other)]
        return (pair[0] - pair[1]).dropna().to_numpy()
