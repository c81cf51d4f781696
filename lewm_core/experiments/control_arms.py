"""What an arm of the controls is made of: runs of several conditions that share everything else.

Every arm has the references that the profile's sizes name. They learn nothing or are the positive control, and without
them no gate can be asked (`stats.gates`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lewm_core import dataset
from lewm_core.conditions import NONE, condition
from lewm_core.config import Recipe
from lewm_core.experiments import sets
from lewm_core.experiments.base import Base
from lewm_core.experiments.draws import Episodes
from lewm_core.experiments.pool import Sizes, training_set
from lewm_core.experiments.run import Run
from lewm_core.experiments.sets import Sets
from lewm_core.train import split_of, steps_of

MAIN = ("A", "B", "D", "E")  # of which errors and gradients are recorded on the way, where they train on the best


@dataclass(frozen=True)
class Control:
    """One run in its place in the study. `run.scale` is the arm."""

    study: str
    selection: str
    run: Run


@dataclass(frozen=True)
class Pool:
    """What `plan` builds runs from."""

    data: dataset.Data  # without frames and signals
    path: Path
    sets: Sets
    base: Base
    recipe: Recipe
    study: Recipe  # the main study's
    sizes: Sizes

    @property
    def table(self) -> pd.DataFrame:
        """As `pool.choose` made it."""
        return sets.pool(self.sets.table)

    def arm(self, study: str, name: str, conditions: Sequence[str], place: int, selection: str = "best",
            **changes: object) -> Iterator[Control]:
        """Runs of `conditions` at episodes[place]; `changes` are those of the recipe."""
        table = self.table
        test = tuple(table[table.test].episode)
        for seed in range(self.sizes.seeds[place]):
            own = Episodes(training_set(table, selection, self.sizes.episodes[place], seed), test)
            for c in dict.fromkeys([*conditions, *self.sizes.references]):
                recipe = replace(self.recipe, **self._changes(c, selection, changes))
                yield self._control(study, name, c, seed, own, selection, recipe)

    def main(self, study: str, name: str, scale: str, conditions: Sequence[str], seeds: int | None = None,
             **changes: object) -> Iterator[Control]:
        """Runs of `conditions` as the main study does them at `scale` (pilot or full), on its episodes; `changes` are
        those of its recipe. Without changes they are its runs. seeds: how many; None: as many as any arm has."""
        for seed in range(seeds or self.sizes.seeds[0 if scale == "pilot" else -1]):
            own = self.sets.of_run(scale, seed)
            for c in conditions:
                recipe = replace(self.study, **self._changes(c, "main", changes))
                yield self._control(study, name, c, seed, own, "main", recipe)

    def _control(self, study: str, arm: str, name: str, seed: int, own: Episodes, selection: str,
                 recipe: Recipe) -> Control:
        run = Run(name, arm, seed, str(self.path), self.data.fingerprint_of(own.all), self.base, recipe, own.train,
                  own.test)
        return Control(study, selection, run)

    def _changes(self, name: str, selection: str, changes: dict[str, object]) -> dict[str, object]:
        """What of the recipe is different for runs of the condition `name`."""
        row, own = condition(name), dict(changes)
        if row.training == NONE:  # only what is held out matters to it: one evaluation serves every recipe
            own = {field: value for field, value in own.items() if field == "val_blocks"}
        if all(term.weight is not None for term in row.terms):  # one run serves every weight of the auxiliary loss
            own.pop("head_weight", None)
        if selection == "best" and name in MAIN:
            own |= {"n_evals": self.sizes.n_evals, "grad_probes": self.sizes.grad_probes}
        return own

    def ends(self, study: str, name: str, conditions: Sequence[str], **changes: object) -> Iterator[Control]:
        """The same at the pilot's and at the full set's size."""
        for place, size in ((0, "pilot"), (-1, "full")):
            yield from self.arm(study, size + name, conditions, place, **changes)

    def steps(self, place: int) -> int:
        """The optimizer steps that the recipe's epochs take on the best episodes[place]."""
        run = next(self.arm("", "", ["A"], place, steps=None)).run
        return steps_of(split_of(run.choose(self.data), run.recipe, run.seed, run.test), run.recipe)
