"""Access to a tidy results table: values by seed, and changes of one condition against another at the same seed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lewm_core.utils.errors import InputError

KEY = ["condition", "scale", "metric", "split"]


class Values:
    """The values of a results table (columns of KEY, seed, value; others are ignored), grouped once."""

    def __init__(self, results: pd.DataFrame):
        self._seed, self._value = results.seed.to_numpy(), results.value.to_numpy(float)
        self._rows: dict[tuple, Sequence[int]] = results.groupby(KEY, sort=False).indices if len(results) else {}
        self._metrics: dict[tuple, list[str]] = {}
        for condition, scale, metric, split in self._rows:
            self._metrics.setdefault((condition, scale, split), []).append(metric)
        self._found: dict[tuple, pd.Series] = {}
        self._changes: dict[tuple, pd.Series | None] = {}

    def of(self, condition: str, scale: str, metric: str, split: str) -> pd.Series | None:
        """A condition's values by seed, in the order of the seeds; None where there are none."""
        key = (condition, scale, metric, split)
        rows = self._rows.get(key)
        if rows is None:
            return None
        if key not in self._found:
            order = np.argsort(self._seed[rows], kind="stable")
            self._found[key] = pd.Series(self._value[rows][order], index=self._seed[rows][order])
        return self._found[key]

    def ran(self, condition: str, scale: str) -> bool:
        """Whether the condition has any value at that scale."""
        return any(key[:2] == (condition, scale) for key in self._metrics)

    def metrics(self, condition: str, scale: str, split: str) -> list[str]:
        """The metrics that a condition has, in the order of the table."""
        return self._metrics.get((condition, scale, split), [])

    def change(self, condition: str, against: str, scale: str, metric: str, split: str) -> pd.Series | None:
        """100 · (value / that of `against` at the same seed − 1), by seed; None where they share no seed.

        InputError where a value is not finite, a run is there twice, or a reference is not positive.
        """
        key = (condition, against, scale, metric, split)
        if key not in self._changes:
            self._changes[key] = self._change(*key)
        return self._changes[key]

    def _change(self, condition: str, against: str, scale: str, metric: str, split: str) -> pd.Series | None:
        own, reference = (self.of(name, scale, metric, split) for name in (condition, against))
        if own is None or reference is None:
            return None
        where = f"results, {condition} or {against} / {scale} / {split} / {metric}"
        if not (np.isfinite(own.to_numpy()).all() and np.isfinite(reference.to_numpy()).all()):
            raise InputError(where, "values that are not finite", "a finite value per run",
                             "Find out why these runs diverged, or remove their rows.")
        if not (own.index.is_unique and reference.index.is_unique):
            raise InputError(where, "the same run more than once", "one row per seed")
        if (reference.to_numpy() <= 0).any():
            raise InputError(f"results, {against} / {scale} / {metric}", "values of 0 or below", "positive values")
        if not own.index.equals(reference.index):
            seeds = own.index.intersection(reference.index)
            own, reference = own[seeds], reference[seeds]
        change = 100 * (own.to_numpy() / reference.to_numpy() - 1)
        return pd.Series(change, index=own.index) if len(change) else None
