"""How well tracks can be read at all: capacity curves of a model's tokens beside those of the state itself."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lewm_core.config import Recipe
from lewm_core.dataset import Data
from lewm_core.diagnostics import capacity
from lewm_core.diagnostics.capacity import STATE, STATE_FIRST
from lewm_core.diagnostics.probes import held_out, token_features
from lewm_core.experiments.run import data_of, result
from lewm_core.experiments.sweep import load_model

TOKENS = ("CLS", "patch", "both")


def ceiling(results: pd.DataFrame, folder: Path, data: Data, counts: Sequence[int], n_seeds: int) -> pd.DataFrame:
    """`capacity.capacity_curve` of condition A, with a column seed; empty where the data have no tracks or no A.

    The first seed: all tokens and the state, by a linear and an MLP probe for every number of points, and by a probe
    that attends where a point started for two of them. Further seeds: the ends of the MLP's curve.

    results: of finished runs; folder: where they lie; data: holds the episodes of all.
    """
    seeds = sorted(results[results.condition == "A"].seed.unique())[:n_seeds]
    if not seeds or data.missing(["tracks"]):
        return pd.DataFrame(columns=[*capacity.CURVE, "seed"])
    few, most = counts[0], counts[-1]
    parts = []
    for seed in map(int, seeds):
        encoder, _ = load_model(results, folder, "A", seed)
        record = result(folder, results[(results.condition == "A") & (results.seed == seed)]["run"].iloc[0])
        own = data_of(record, data)
        features = {**capacity.token_sets(token_features(encoder, own)), **capacity.states(own)}
        held = held_out(own, seed, Recipe(**record["recipe"]), record["test"])
        if seed != seeds[0]:
            wanted = [(TOKENS[:2], [few, most], ["mlp"])]
        else:
            wanted = [((*TOKENS, STATE, STATE_FIRST), counts, ["linear", "mlp"]),
                      ((*TOKENS, STATE_FIRST), sorted({counts[min(1, len(counts) - 1)], most}), ["attention"])]
        for names, points, probes in wanted:
            chosen = {name: features[name] for name in names}
            parts.append(capacity.capacity_curve(chosen, own, held, points, probes, seed).assign(seed=seed))
    return pd.concat(parts, ignore_index=True).drop_duplicates(["seed", "series", "probe", "points"])
