"""What notebook 06 asks of frozen encoders (paper 4.4): what their tokens tell of each signal, and what they lack.

features: (model, seed) -> the tokens of every frame, as `probes.token_features` returns them; a model is "base" or a
condition. data: seed -> the episodes that its runs had. held: seed -> those to score on; probes learn on all others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lewm_core.dataset import Data
from lewm_core.diagnostics.capacity import CURVE, capacity_curve, token_sets
from lewm_core.diagnostics.probes import SIGNALS, TABLE, probe_table, with_first_frame
from lewm_core.utils.progress import bar

Features = Mapping[tuple[str, int], Mapping[str, np.ndarray]]
Held = Mapping[int, np.ndarray]
Frames = Mapping[int, Data]
COMPARED = ("CLS", "patch")  # the tokens whose difference is the bottleneck
PROBED = [*TABLE, "condition", "seed"]


def unavailable(data: Data) -> dict[str, str]:
    """The signals that a dataset lacks, each with the reason."""
    reasons = {name: " ".join(dict.fromkeys(data.missing(columns).values())) for name, columns in SIGNALS.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def probe_models(features: Features, data: Frames, held: Held) -> pd.DataFrame:
    """Linear probes of all tokens of every model. Of A also an MLP on the two that are compared (it takes longer).

    Columns: PROBED. Signals that the dataset lacks have no rows.
    """
    parts = [pd.DataFrame(columns=PROBED)]
    for (name, seed), tokens in bar(features.items(), "probes", "encoder"):
        tables = [probe_table(tokens, data[seed], held[seed], SIGNALS, "linear", seed)]
        if name == "A":
            compared = {kind: tokens[kind] for kind in COMPARED}
            tables.append(probe_table(compared, data[seed], held[seed], SIGNALS, "mlp", seed))
        parts.append(pd.concat(tables).assign(condition=name, seed=seed))
    return _joined(parts)


def probe_first_frame(features: Features, data: Frames, held: Held) -> pd.DataFrame:
    """Linear probes of the tracks from A's tokens, alone and beside those of the episode's first frame. As above."""
    parts = [pd.DataFrame(columns=PROBED)]
    for (name, seed), tokens in bar(features.items(), "probes", "encoder"):
        if name != "A":
            continue
        sets = {}
        for kind in COMPARED:
            sets[kind] = tokens[kind]
            sets[f"{kind} + first frame"] = with_first_frame(tokens[kind], data[seed])
        table = probe_table(sets, data[seed], held[seed], ["tracks"], "linear", seed)
        parts.append(table.assign(condition=name, seed=seed))
    return _joined(parts)


def points_at_once(features: Features, data: Frames, held: Held, counts: Sequence[int]) -> pd.DataFrame:
    """The error on the same few points while more and more are regressed at once by an MLP, from CLS or patch tokens.

    Of A's first seed, since it is slow. Columns: those of `capacity.CURVE` and seed; no rows without tracks.
    """
    seed = min(seed for name, seed in features if name == "A")
    if "tracks" in unavailable(data[seed]):
        return pd.DataFrame(columns=[*CURVE, "seed"])
    sets = token_sets(features["A", seed])
    compared = {kind: sets[kind] for kind in COMPARED}
    return capacity_curve(compared, data[seed], held[seed], counts, ["mlp"], seed).assign(seed=seed)


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of the same columns below one another; the first is empty and only says which."""
    filled = [part for part in parts[1:] if len(part)]
    return pd.concat(filled, ignore_index=True)[PROBED] if filled else parts[0]
