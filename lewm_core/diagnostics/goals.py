"""What came of attempts at planning tasks: which goals were reached, and how far it was still to go.

All functions take a table of attempts: rows of `planning.attempt` with columns method and repeat.
"""

import numpy as np
import pandas as pd

from lewm_core.diagnostics.planning import KINDS, NEAR
from lewm_core.stats.proportions import wilson

FACTORS = (0.5, 0.75, 1.0, 1.5, 2.0)  # of NEAR, to show what the threshold decides


def _tries(table: pd.DataFrame, factor: float) -> pd.Series:
    """Per (method, task, repeat), whether gripper and object were at some step both within factor × NEAR."""
    near = (table.gripper <= factor * NEAR["gripper"]) & (table.object <= factor * NEAR["object"])
    return table.assign(near=near).groupby(["method", "task", "repeat"], sort=False).near.max()


def reached(table: pd.DataFrame, factor: float = 1.0) -> pd.Series:
    """Per (method, task), whether gripper and object were both within factor × NEAR of the goal at some step, 0 or 1;
    of several repeats the share."""
    return _tries(table, factor).groupby(["method", "task"], sort=False).mean()


def reached_first(table: pd.DataFrame) -> pd.DataFrame:
    """Whether a goal was reached, bool: a row a task, a column a method. Of several repeats the first: only one try of
    each is as likely to reach a goal as a method that had one."""
    first = _tries(table, 1.0).groupby(["method", "task"], sort=False).first()
    return first.unstack("method", sort=False)


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """What `diagnostic_figures.planning` draws.

    Columns method, metric, kind (of task, or "all"), factor (× NEAR), step, n (tasks), value, low, high. Metrics:
    success (mean of `reached`, in 0..1; at factor 1 with its Wilson interval), gripper left and object left: the median
    distance to go over that at the start, at each step; the object's over the tasks in which it must move.
    """
    rows = _success_rows(table)
    keys = ["method", "repeat", "task"]
    for name, kind in (("gripper", "all"), ("object", "move")):
        chosen = table[(table.kind == kind) | (kind == "all")]
        first = chosen[chosen.step == 0].set_index(keys)[name]
        left = chosen.set_index([*keys, "step"])[name] / first
        for (method, step), value in left.groupby(["method", "step"], sort=False).median().items():
            rows.append((method, f"{name} left", kind, None, step, chosen.task.nunique(), value, np.nan, np.nan))
    return pd.DataFrame(rows, columns=["method", "metric", "kind", "factor", "step", "n", "value", "low", "high"])


def _success_rows(table: pd.DataFrame) -> list[tuple]:
    """Rows of `summarise` with the share of goals reached, by factor, kind and method."""
    rows = []
    kind_of = table.groupby("task", sort=False).kind.first()
    for factor in FACTORS:
        success = reached(table, factor).unstack("method", sort=False)
        for kind in (*KINDS, "all"):
            chosen = success[(kind_of[success.index] == kind) | (kind == "all")]
            if chosen.empty:
                continue
            for method, values in chosen.items():
                low, high = wilson(values.mean(), len(values)) if factor == 1 else (np.nan, np.nan)
                rows.append((method, "success", kind, factor, None, len(values), values.mean(), low, high))
    return rows
