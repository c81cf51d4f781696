"""Which episodes of the one dataset file are the pilot, the full set and the pool of the controls, and which of them
each run trains on and is judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lewm_core.dataset import Data
from lewm_core.experiments import draws
from lewm_core.experiments.draws import Episodes
from lewm_core.utils.files import write_csv
from lewm_core.utils.workspace import Workspace

FLAGS = ("pilot", "full", "test")
PLACES = ("best", "random")


@dataclass(frozen=True)
class Sets:
    """The sets of a study. table: as from `union`. draws: as from `draws.draw`; empty where every seed splits the same
    pilot and full set anew, as in the paper. With draws, pilot and full are what any seed has in them."""

    table: pd.DataFrame
    draws: pd.DataFrame

    @classmethod
    def of(cls, selection: pd.DataFrame, drawn: pd.DataFrame, pool: pd.DataFrame | None = None) -> "Sets":
        """selection: columns episode, pilot, full. drawn: the draws from it. pool: as for `union`."""
        chosen = draws.flagged(drawn) if len(drawn) else selection[selection.pilot | selection.full]
        return cls(union(chosen, pool), drawn)

    @classmethod
    def read(cls, workspace: Workspace) -> "Sets":
        """What `write` wrote; InputError where it did not."""
        places = (workspace.sets, workspace.draws)
        return cls(*(pd.read_csv(workspace.need(p, "02_extraction"), dtype={"episode": str}) for p in places))

    def write(self, workspace: Workspace) -> None:
        """Keep both tables in the study's folder."""
        write_csv(workspace.sets, self.table)
        write_csv(workspace.draws, self.draws)

    def episodes(self, name: str) -> list[str]:
        """The episodes of a set (pilot, full or pool), in their order."""
        return self.table.episode[members(self.table, name)].tolist()

    def of_run(self, scale: str, seed: int) -> Episodes:
        """What the runs of a seed train on, at a scale (pilot or full), and what judges them."""
        if len(self.draws):
            return draws.of_seed(self.draws, scale, seed)
        return Episodes(tuple(self.episodes(scale)))

    @property
    def drawn(self) -> dict[str, int]:
        """How many episodes each seed draws, for the record: n_test, n_full, n_pilot; n_test 0 where none does."""
        if not len(self.draws):
            return {"n_test": 0}
        pilot, full = (draws.of_seed(self.draws, scale, 0) for scale in ("pilot", "full"))
        return {"n_test": len(full.test), "n_full": len(full.train), "n_pilot": len(pilot.train)}

    def told(self, scale: str) -> str:
        """One sentence on what the runs at a scale train on and are judged by."""
        own = self.of_run(scale, 0)
        if own.test is None:
            return (f"Every seed has the same {len(own.train)} episodes and holds out some of them, the same for all "
                    "conditions.")
        return (f"Every seed draws {len(own.test)} test episodes and {len(own.train)} to train on, the same for all "
                f"conditions; {len(self.episodes(scale))} different ones to train on in all.")


def union(selection: pd.DataFrame, pool: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table of sets, one row per episode of the file: episode; pilot, full, test (bool); best, random (place from
    1, 0: not in it).

    First come the selected episodes in their order, then what the pool has beyond them.

    selection: columns episode, pilot, full, all of which are used. pool: as `pool.choose` makes it; None where no
    controls are run.
    """
    chosen = selection[["episode", "pilot", "full"]]
    columns = ["episode", *PLACES, "test"]
    pool = pd.DataFrame(columns=columns) if pool is None else pool[columns]
    table = chosen.merge(pool, on="episode", how="outer")
    order = [*chosen.episode, *pool.episode[~pool.episode.isin(chosen.episode)]]
    table = table.set_index("episode").loc[order].reset_index()
    for flag in FLAGS:
        table[flag] = table[flag].eq(True)
    for place in PLACES:
        table[place] = table[place].fillna(0).astype(int)
    return table[["episode", "pilot", "full", *PLACES, "test"]]


def members(sets: pd.DataFrame, name: str) -> pd.Series:
    """(n,) bool: which episodes are in the set `name`: a column of `union`'s table, or pool (all of the controls)."""
    if name == "pool":
        return (sets.best > 0) | (sets.random > 0) | sets.test
    return sets[name].astype(bool)


def pool(sets: pd.DataFrame) -> pd.DataFrame:
    """The pool of the controls as `pool.choose` made it: episode, best, random, test, ordered by episode."""
    rows = sets[members(sets, "pool")].sort_values("episode", ignore_index=True)
    return rows[["episode", *PLACES, "test"]]


def sizes(sets: pd.DataFrame, data: Data, scores: pd.Series) -> pd.DataFrame:
    """How large each set is that has episodes: set, episodes, frames, mean score.

    data: the episodes of all sets. scores: the score of each episode, by its name.
    """
    length = dict(zip(data["episode_id"], data["ep_len"], strict=True))
    rows = []
    for name in (*FLAGS[:2], *PLACES, FLAGS[2]):
        episodes = sets.episode[members(sets, name)]
        if len(episodes):
            rows.append({"set": name, "episodes": len(episodes), "frames": sum(length[id] for id in episodes),
                         "mean score": scores.reindex(episodes).mean()})
    return pd.DataFrame(rows).set_index("set")


def scale_sizes(own: Sequence[Episodes], records: Sequence[Mapping], frames: pd.Series,
                scores: pd.Series) -> dict[str, float]:
    """How large a scale is, and what its runs took; means over seeds, where each has its own episodes.

    own: of each seed. records: of the runs. frames, scores: of each episode, by its name.
    """
    episodes = [name for one in own for name in one.train]
    total = frames[episodes].sum()
    return {"episodes": len(episodes) / len(own), "frames": total / len(own),
            "frames an episode": total / len(episodes),
            "training windows": np.mean([record["windows"]["train"] for record in records]),
            "optimizer steps": max(record["steps"] for record in records), "seeds": len(own),
            "mean curation score": scores.reindex(episodes).mean()}
