"""Fresh episodes for every seed: which ones its runs train on, and which ones judge them.

The paper splits one and the same set of episodes anew for every seed, so that its scatter over seeds leaves out which
episodes these were. Here each seed draws its own: test episodes, then a full set, the first of which are its pilot set.
All conditions of a seed share them. The draw is one table, made where the dataset is written: seed, episode, role.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lewm_core.utils.errors import InputError, known
from lewm_core.utils.workspace import SCALES

TEST, PILOT, FULL = "test", "pilot", "full"  # roles; who is in the pilot set is in the full set, too
COLUMNS = ("seed", "episode", "role")


@dataclass(frozen=True)
class Episodes:
    """What one run trains on, and what judges it: names of episodes.

    train: None for all of the dataset but `test`. test: None to hold some of `train` out, as the recipe says.
    """

    train: tuple[str, ...] | None = None
    test: tuple[str, ...] | None = None

    @property
    def all(self) -> list[str]:
        """Those to train on, then those to test on; empty for all of the dataset."""
        return [*(self.train or ()), *(self.test or ())]


@dataclass(frozen=True)
class DrawSizes:
    """How many episodes each of the seeds 0 to `seeds` − 1 draws. test: 0 for no draws, the paper's protocol."""

    test: int
    full: int
    pilot: int
    seeds: int

    def __post_init__(self):
        if self.test < 0 or not 1 <= self.pilot <= self.full or self.seeds < 1:
            raise InputError("draws", f"n_test {self.test}, n_full {self.full}, n_pilot {self.pilot}, {self.seeds} "
                             "seeds", "n_test >= 0, 1 <= n_pilot <= n_full, at least one seed")


def draw(pool: Iterable[str], sizes: DrawSizes) -> pd.DataFrame:
    """The table of draws: columns `COLUMNS`, in the order drawn. Empty where no test episodes are asked for.

    pool: names to draw from, in any order. A seed's draw depends on these names and that seed alone; more seeds, a
    smaller pilot or a smaller full set leave the rest of it as it is. InputError for a pool that is too small.
    """
    names, needed = sorted(set(pool)), sizes.test + sizes.full
    if not sizes.test:
        return pd.DataFrame(columns=COLUMNS)
    if len(names) < needed:
        raise InputError("draws", f"{len(names)} episodes to draw from", f"at least {needed}, n_test {sizes.test} and "
                         f"n_full {sizes.full}, for each seed", "Take more with --set n_candidates=N and --set n_top=N,"
                         " or draw fewer with a smaller n_test or n_full.")
    roles = [TEST] * sizes.test + [PILOT] * sizes.pilot + [FULL] * (sizes.full - sizes.pilot)
    rows = []
    for seed in range(sizes.seeds):
        order = np.random.default_rng([seed, 4]).permutation(len(names))[:needed]
        rows += [(seed, names[i], role) for i, role in zip(order, roles, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS)


def of_seed(table: pd.DataFrame, scale: str, seed: int) -> Episodes:
    """The episodes of a seed's runs at a scale. InputError for a seed that has not drawn."""
    known(SCALES, scale, "scale")
    rows = table[table.seed == seed]
    if rows.empty:
        raise InputError(f"seed {seed}", "no draw of its own", f"one of the seeds 0 to {table.seed.max()}",
                         "Run 02_extraction again with that many seeds: --set pilot_seeds=N, --set full_seeds=N.")
    train = rows[rows.role.isin([PILOT] if scale == PILOT else [PILOT, FULL])]
    return Episodes(tuple(train.episode), tuple(rows.episode[rows.role == TEST]))


def flagged(table: pd.DataFrame) -> pd.DataFrame:
    """Every episode that any seed draws, in the order first drawn: episode, pilot, full (in some seed's set)."""
    sets = {scale: {e for seed in table.seed.unique() for e in of_seed(table, scale, seed).train} for scale in SCALES}
    names = table.episode.drop_duplicates()
    return pd.DataFrame({"episode": names, **{scale: names.isin(sets[scale]) for scale in SCALES}}, index=names.index)


def overview(table: pd.DataFrame, frames: pd.Series) -> pd.DataFrame:
    """What each seed drew: index seed; episodes and frames by role, and the share of its full set that is in that of no
    seed before it. frames: of each episode, by name."""
    rows, before = [], set()
    for seed in table.seed.unique():
        full, test = of_seed(table, FULL, seed).train, of_seed(table, FULL, seed).test
        sets = {TEST: test, PILOT: of_seed(table, PILOT, seed).train, FULL: full}
        row: dict[str, object] = {"seed": seed}
        for name, episodes in sets.items():
            row |= {f"{name} episodes": len(episodes), f"{name} frames": frames[list(episodes)].sum()}
        rows.append(row | {"new in full": np.mean([e not in before for e in full])})
        before |= set(full)
    return pd.DataFrame(rows).set_index("seed")

