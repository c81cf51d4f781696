"""The answer in one table: what depth does to the primary outcome, against the baseline and against its twin, at both
scales, beside what the paper reports and the verdicts on the primary hypotheses that each contrast belongs to.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import gates, paper
from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.outcomes import OUTCOME, SHUFFLED, SPLIT
from lewm_core.stats.paired import interval
from lewm_core.stats.primary import BOTH, PRIMARY_HYPOTHESES, Hypothesis
from lewm_core.stats.verdicts import UNTESTED
from lewm_core.utils.workspace import SCALES

DEPTH = "B"
AGAINST = (paper.BASELINE, DEPTH + SHUFFLED)
COLUMNS = ["condition", "scale", "split", "metric", "against", "id", "n", "mean", "low", "high", "paper", "verdict",
           "reason"]


def effect_table(evidence: Evidence, judged: pd.DataFrame,
                 hypotheses: Sequence[Hypothesis] = PRIMARY_HYPOTHESES) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per scale and reference: columns COLUMNS; and the change of every seed: scale, against, seed, change.

    judged: as from `primary.primary_table`. Changes are per cent of the reference. mean is NaN where it was not run,
    which reason then tells, low and high where there are no two seeds. paper: what it reports against A, by its own
    metric; NaN against the twin. A contrast of no hypothesis is not tested here.
    """
    of = judged.set_index("id")
    rows, seeds = [], []
    for scale in SCALES:
        for against in AGAINST:
            ids = [h.id for h in hypotheses if h.condition == DEPTH and h.scale == scale and against in h.against]
            row = {"condition": DEPTH, "scale": scale, "split": SPLIT, "metric": OUTCOME, "against": against,
                   "id": ids[0] if ids else "", "n": 0, "mean": np.nan, "low": np.nan, "high": np.nan,
                   "paper": paper.reported(3, scale).get(DEPTH, np.nan) if against == paper.BASELINE else np.nan,
                   "verdict": of.verdict[ids[0]] if ids else UNTESTED, "reason": of.reason[ids[0]] if ids else ""}
            try:
                change = evidence.contrast(DEPTH, against, scale, OUTCOME, SPLIT)
            except Absent as reason:
                rows.append(row | {"verdict": UNTESTED, "reason": str(reason)})
                continue
            low, high = interval(change.to_numpy())
            rows.append(row | {"n": len(change), "mean": change.mean(), "low": low, "high": high})
            seeds += [(scale, against, seed, value) for seed, value in change.items()]
    return pd.DataFrame(rows)[COLUMNS], pd.DataFrame(seeds, columns=["scale", "against", "seed", "change"])


def headline(table: pd.DataFrame) -> str:
    """What became of 'depth makes the prediction better', from `effect_table`: a verdict for each scale, or for each
    contrast where they differ; one for all where nothing was tested."""
    if (table.verdict == UNTESTED).all():
        return UNTESTED
    told = []
    for scale in SCALES:
        verdicts = table[table.scale == scale].set_index("against").verdict
        each = [f"{verdict} against {against}" for against, verdict in verdicts.items()]
        told.append(f"{scale}: " + (verdicts.iloc[0] if verdicts.nunique() == 1 else ", ".join(each)))
    return "; ".join(told)


def lost(judged: pd.DataFrame) -> str:
    """Whether the benefit is lost with more data, in words: of the hypothesis about both scales; empty without one."""
    rows = judged[(judged.condition == DEPTH) & (judged.scale == BOTH)]
    return "; ".join(f"lost from pilot to full scale? {row.verdict} ({row.ours})" for row in rows.itertuples())


def gates_line(results: pd.DataFrame) -> str:
    """Whether an effect of depth could have been seen, at each scale, in one line."""
    table, told = gates.gate_table(results, conditions=[DEPTH]), []
    for scale in SCALES:
        rows = table[table.scale == scale]
        shut = [gates.GATES[gate][0] for gate in rows.gate[~rows.open]]
        if rows.empty:
            told.append(f"{scale}: {DEPTH} was not run")
        else:
            told.append(f"{scale}: " + (f"not met: {', '.join(shut)}" if shut else f"all {len(rows)} open"))
    return f"gates of {DEPTH}, {'; '.join(told)}"
