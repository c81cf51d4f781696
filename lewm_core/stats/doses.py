"""How much of its treatment each condition got: numbers that describe a run, and decide nothing."""

from collections.abc import Iterable, Iterator

import pandas as pd

from lewm_core.stats import paper
from lewm_core.stats.gates import JUDGED, head_names
from lewm_core.stats.outcomes import LR_0, SPLIT
from lewm_core.stats.paired import interval
from lewm_core.stats.values import Values
from lewm_core.utils.workspace import SCALES

COLUMNS = ["scale", "condition", "what", "n", "mean", "low", "high"]
PLAIN = {"clipped": "share of steps clipped", "latent_variance": "latent variance",
         "effective_rank": "effective rank of the latents"}  # metric -> in words


def _doses(values: Values, condition: str, scale: str, split: str) -> Iterator[tuple[str, pd.Series]]:
    """What is told of a condition, each by seed."""
    for head in head_names(values, condition, scale, split):
        own, constant = (values.of(condition, scale, f"head_{head}{end}", split) for end in ("", "_constant"))
        if constant is not None:
            yield f"{head} head: share of the best constant's loss removed", 1 - own / constant
        probe = f"probe_{head.split('_')[0]}"
        ours, plain = (values.of(c, scale, probe, split) for c in (condition, paper.BASELINE))
        if ours is not None and plain is not None:
            yield f"{head}: gain in the probe's R² against A", ours - plain
    moved, still = (values.of(c, scale, "moved", split) for c in (condition, LR_0))
    if moved is not None and still is not None:
        yield "latents moved beyond the lr-0 arm's, over their variance", moved - still
    for metric, words in PLAIN.items():
        found = values.of(condition, scale, metric, split)
        if found is not None:
            yield words, found


def dose_table(results: pd.DataFrame, split: str = SPLIT,
               conditions: Iterable[str] = (paper.BASELINE, *JUDGED)) -> pd.DataFrame:
    """Columns COLUMNS: mean over seeds with `paired.interval`, by scale (pilot, full), condition and
    what is told.

    The share of the constant's loss removed is 1 for a perfect head, 0 for one that knows as much as the best constant
    and negative for one that knows less. What a results table lacks is left out.
    """
    values = Values(results)
    rows = []
    for scale in SCALES:
        for condition in conditions:
            for what, found in _doses(values, condition, scale, split):
                found = found.dropna()
                if len(found):
                    rows.append((scale, condition, what, len(found), found.mean(), *interval(found)))
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(["mean", "low", "high"], float) | {"n": int})
