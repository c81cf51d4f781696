"""One question of the controls: its runs, and their changes against A at the same seed within each arm."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from lewm_core.stats import gates, paper
from lewm_core.stats.outcomes import PAPERS, POSITIVE, SPLIT, UNTAUGHT
from lewm_core.stats.paired import compare
from lewm_core.stats.values import Values
from lewm_core.utils.errors import known


@dataclass(frozen=True)
class Arms:
    """The runs of one question.

    rows: results with the columns of `experiments.controls.results`. changes, summary: as `paired` makes them of
    `metric`, of all conditions that learn; the column `scale` names the arm.
    """

    rows: pd.DataFrame
    changes: pd.DataFrame
    summary: pd.DataFrame
    metric: str = PAPERS

    @classmethod
    def of(cls, results: pd.DataFrame, study: str, metric: str = PAPERS) -> "Arms":
        """The runs of the named question, such as scale, steps or targets."""
        known(list(dict.fromkeys(results.study)), study, "question of the controls")
        rows = results[results.study == study]
        return cls(rows, *compare(rows[~rows.condition.isin(UNTAUGHT)], metric), metric)

    @property
    def names(self) -> list[str]:
        """The question's arms."""
        return list(dict.fromkeys(self.rows.arm))

    @property
    def conditions(self) -> list[str]:
        """The conditions that are compared with A, without the positive control."""
        return [name for name in dict.fromkeys(self.changes.condition) if name != POSITIVE]

    @cached_property
    def values(self) -> Values:
        """The rows by condition, arm, metric and split."""
        return Values(self.rows)

    def shut(self, conditions: Iterable[str], arms: Iterable[str] | None = None) -> list[str]:
        """Why no verdict may be passed on effects of the conditions in the arms (default: all of the question): gates
        (`gates`, by the metric that the changes are of) that are shut. Empty if one may."""
        chosen = self.names if arms is None else list(arms)
        alike: dict[tuple[int, tuple[str, ...]], list[str]] = {}  # in how many arms which gates are shut -> conditions
        for condition in conditions:
            found = [gates.shut(self.values, condition, arm, self.metric, SPLIT) for arm in chosen]
            names = tuple(dict.fromkeys(name for each in found for name in each))
            if names:
                alike.setdefault((sum(map(bool, found)), names), []).append(condition)
        return [f"gates of {', '.join(of)} shut in {count} of {len(chosen)} arms: {', '.join(names)}"
                for (count, names), of in alike.items()]

    def only(self, arm: str) -> "Arms":
        """The runs of one arm."""
        kept = [rows[rows[column] == arm] for rows, column in
                ((self.rows, "arm"), (self.changes, "scale"), (self.summary, "scale"))]
        return Arms(*kept, self.metric)

    @property
    def steps(self) -> Mapping[str, int]:
        """Optimizer steps of each arm."""
        return self.rows.groupby("arm", sort=False).steps.max().to_dict()

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of the auxiliary loss in each arm, of the conditions that have one."""
        weighted = self.rows[~self.rows.condition.isin([paper.BASELINE, POSITIVE, *UNTAUGHT])]
        return weighted.drop_duplicates("arm").set_index("arm").head_weight.to_dict()

    def random_sizes(self) -> dict[str, int]:
        """Arms of randomly selected episodes, from the fewest episodes to the most: arm -> episodes."""
        random = self.rows[self.rows.selection == "random"]
        return {f"random {n}": int(n) for n in sorted(random.episodes.unique())}


def not_asked(results: pd.DataFrame) -> list[str]:
    """In which questions the gates cannot be asked for want of a reference, a sentence for all; none if in none.

    results: as from `experiments.controls.results`.
    """
    needed = (*UNTAUGHT, POSITIVE)
    lacking = {}
    for study, rows in results.groupby("study", sort=False):
        missing = [name for name in needed if (rows[rows.condition == name].arm.nunique() < rows.arm.nunique())]
        if missing:
            lacking.setdefault(", ".join(missing), []).append(study)
    return [f"Without {names} in every arm a gate is shut: no effect is judged in {', '.join(studies)}."
            for names, studies in lacking.items()]
