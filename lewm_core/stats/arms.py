"""One question of the controls: its runs, and their changes against A at the same seed within each arm."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lewm_core.stats.paired import compare
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

    @property
    def steps(self) -> Mapping[str, int]:
        """Optimizer steps of each arm."""
        return self.rows.groupby("arm", sort=False).steps.first().to_dict()

    def random_sizes(self) -> dict[str, int]:
        """Arms of randomly selected episodes, from the fewest episodes to the most: arm -> episodes."""
        random = self.rows[self.rows.selection == "random"]
        return {f"random {n}": int(n) for n in sorted(random.episodes.unique())}
