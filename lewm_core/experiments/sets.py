"""Which episodes of the one dataset file are the pilot, the full set and the pool of the controls."""

import pandas as pd

from lewm_core.dataset import Data

FLAGS = ("pilot", "full", "test")
PLACES = ("best", "random")


def union(selection: pd.DataFrame, pool: pd.DataFrame | None = None) -> pd.DataFrame:
    """The table of sets, one row per episode of the file: episode; pilot, full, test (bool); best, random (place from
    1, 0: not in it).

    First come the selected episodes in the selection's order, then what the pool has beyond them.

    selection: columns episode, pilot, full. pool: as `pool.choose` makes it; None where no controls are run.
    """
    chosen = selection[selection.pilot | selection.full][["episode", "pilot", "full"]]
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
