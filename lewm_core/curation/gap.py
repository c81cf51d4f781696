"""Which parts of the score decide what is selected."""

from collections.abc import Mapping, Sequence

import pandas as pd


def gap(scored: pd.DataFrame, parts: Sequence[str], weights: Mapping[str, float]) -> pd.DataFrame:
    """The difference between the mean scores of the selected and the other episodes as a sum over the parts.

    A part's share is its weight times the difference of its means, over the same sum for all. Columns weight, full
    marks (share of the episodes), mean, selected; mean, not selected; share of the gap. Rows: the parts, largest share
    first.

    scored: columns of `parts` (part_verb, …) and selected (bool). weights: by the part's name (verb, …).
    """
    weight = pd.Series({column: weights[column.removeprefix("part_")] for column in parts})
    table = pd.DataFrame({"weight": weight, "full marks": (scored[parts] >= 1).mean(),
                          "mean, selected": scored[scored.selected][parts].mean(),
                          "mean, not selected": scored[~scored.selected][parts].mean()})
    difference = weight * (table["mean, selected"] - table["mean, not selected"]) / weight.sum()
    table["share of the gap"] = difference / difference.sum()
    table.index = [column.removeprefix("part_") for column in parts]
    return table.sort_values("share of the gap", ascending=False)
