"""One question of the controls: its runs, and their changes against A at the same seed within each arm."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats import gates
from lewm_core.stats.outcomes import PAPERS, SPLIT
from lewm_core.stats.paired import compare
from lewm_core.stats.values import Values
from lewm_core.utils.errors import known


@dataclass(frozen=True)
class Arms:
    """The runs of one question.

    rows: results with the columns of `experiments.controls.results`. changes, summary: as `paired` makes them; the
    column `scale` names the arm.
    """

    rows: pd.DataFrame
    changes: pd.DataFrame
    summary: pd.DataFrame

    @classmethod
    def of(cls, results: pd.DataFrame, study: str) -> "Arms":
        """The runs of the named question: scale, steps, masks, conflict, patches or weight."""
        known(list(dict.fromkeys(results.study)), study, "question of the controls")
        rows = results[results.study == study]
        return cls(rows, *compare(rows))

    @property
    def conditions(self) -> list[str]:
        """The conditions that are compared with A."""
        return list(dict.fromkeys(self.changes.condition))

    def shut(self, conditions: Iterable[str], arms: Iterable[str] | None = None) -> list[str]:
        """Why no verdict may be passed on effects of the conditions in the arms (default: all of the question): gates
        (`gates`, by the paper's metric, which the changes are of) that are shut. Empty if one may."""
        values = Values(self.rows)
        chosen = list(dict.fromkeys(self.rows.arm)) if arms is None else list(arms)
        reasons = []
        for condition in conditions:
            found = {arm: gates.shut(values, condition, arm, PAPERS, SPLIT) for arm in chosen}
            names = dict.fromkeys(name for each in found.values() for name in each)
            if names:
                reasons.append(f"gates of {condition} shut in {sum(map(bool, found.values()))} of {len(chosen)} arms: "
                               f"{', '.join(names)}")
        return reasons

    @property
    def steps(self) -> Mapping[str, int]:
        """Optimizer steps of each arm."""
        return self.rows.groupby("arm", sort=False).steps.first().to_dict()

    def random_sizes(self) -> dict[str, int]:
        """Arms of randomly selected episodes, from the fewest episodes to the most: arm -> episodes."""
        random = self.rows[self.rows.selection == "random"]
        return {f"random {n}": int(n) for n in sorted(random.episodes.unique())}
