"""What notebook 01 found, in sentences."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lewm_core.utils import escape


def metadata(candidates: pd.DataFrame) -> list[str]:
    """How many candidates pass the filter on metadata, and why the others do not. Columns accepted, reason."""
    rejected = candidates[~candidates.accepted].reason.value_counts()
    lines = [f"{candidates.accepted.sum()} of {len(candidates)} candidates pass the filter on text and length."]
    if len(rejected):
        told = [f"{escape.markdown(reason)} ({count})" for reason, count in rejected.items()]
        lines.append(f"Rejected: {', '.join(told)}.")
    return lines


def measured(n: int, new: int, absent: Sequence[str], bad: pd.DataFrame, report: str) -> list[str]:
    """How many episodes were measured, which parts have no signal, and what cannot be read.

    new: how many of the `n` were measured in this run. bad: rows with column reason. report: the file that lists them.
    """
    lines = [f"{n} episodes have been measured: {new} in this run, {n - new} in earlier ones."]
    if absent:
        lines.append(f"Not part of the score, for lack of a signal: {', '.join(absent)}.")
    if len(bad):
        lines.append(f"{len(bad)} episodes cannot be read and are left out; all are listed in {escape.code(report)}. "
                     f"The first: {escape.markdown(bad.reason.iloc[0])}")
    return lines


def selection(chosen: Mapping[str, object], readings: Mapping[str, Mapping[str, str]], edited: bool,
              path: str) -> list[str]:
    """How the sets were chosen.

    chosen: as from `selection.chosen_by`. readings: set -> its readings by name, in words. path: the selection file.
    """
    state = "was edited by hand, and is kept as it is" if edited else "was written"
    lines = [f"The selection **{state}**: {escape.code(path)}."]
    for name, words in readings.items():
        by = str(chosen[f"{name}_by"])
        lines.append(f"The {name} set is {words.get(by, 'edited by hand')} (`{name}_by={by}`).")
    return lines


def decided(gap: pd.DataFrame, scored: pd.DataFrame) -> list[str]:
    """Which parts of the score decided. gap: as from `curation.gap`. scored: columns score, selected."""
    taken = scored.selected
    if taken.all() or not taken.any():
        lines = ["All scored episodes were selected or none was, so no part decided."]
    else:
        shares = ", ".join(f"{share:.0%} ({name})" for name, share in gap["share of the gap"].items())
        lines = [f"{taken.sum()} of {len(scored)} scored episodes were selected. Their mean score is "
                 f"{scored[taken].score.mean():.3f}, that of the others {scored[~taken].score.mean():.3f}. Of this "
                 f"gap, the parts account for {shares}."]
    same = gap.index[gap["full marks"] == 1]
    if len(same):
        lines.append(f"All scored episodes have full marks in {', '.join(same)}, so this had no effect.")
    return lines
