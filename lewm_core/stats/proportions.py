"""Shares of tasks: Wilson's interval of one share, and the exact McNemar test of two on the same tasks.

Both hold for few tasks, and where nearly all or nearly none are reached. There a t interval leaves 0..1, and it has no
width where all tasks end alike.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from lewm_core.stats.paired import CONFIDENCE, holm

COLUMNS = ["method", "against", "n", "only_method", "only_against", "difference", "p", "p_holm"]


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (0..1) of n independent tasks; NaN without a task.

    A task that was tried several times counts once, with its share of the tries. Such tasks scatter no more than those
    that are reached or not, so the interval is then rather too wide.
    """
    if n == 0:
        return np.nan, np.nan
    low, high = proportion_confint(share * n, n, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def mcnemar_p(only_one: int, only_other: int) -> float:
    """Two-sided p of the exact McNemar test: of the tasks that one of two methods alone reached, each is as likely to
    be the one's as the other's. 1 where there is none."""
    return float(mcnemar([[0, only_one], [only_other, 0]], exact=True).pvalue)


def compared(reached: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Pairs of methods on the same tasks, a row a pair (method, against): columns COLUMNS.

    reached: a row a task, a column a method, bool. only_method, only_against: tasks that this one alone of the two
    reached. difference: of the shares, in -1..1. p_holm: Holm over these pairs.
    """
    rows = []
    for method, against in pairs:
        one, other = reached[method].to_numpy(bool), reached[against].to_numpy(bool)
        only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
        difference = (only_one - only_other) / len(reached) if len(reached) else np.nan
        rows.append([method, against, len(reached), only_one, only_other, difference, mcnemar_p(only_one, only_other)])
    corrected = holm(np.array([row[-1] for row in rows]))
    return pd.DataFrame([[*row, float(p)] for row, p in zip(rows, corrected, strict=True)], columns=COLUMNS)
