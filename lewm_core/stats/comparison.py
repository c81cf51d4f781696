"""Any conditions against one of them: paired changes with their intervals, what the seeds can detect, two verdicts.

The statistics are those of the study: `paired` (changes at the same seed, t interval, Holm), `power`, and the rules of
`verdicts` behind the gates of `gates`. Of each condition two things are asked: is it better than the reference, and are
the two the same within the smallest effect of interest?
"""

import re
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from lewm_core.stats import gates, judges, paper, verdicts
from lewm_core.stats.evidence import Absent, Evidence
from lewm_core.stats.outcomes import SHUFFLED, UNTAUGHT
from lewm_core.stats.paired import FAMILY, paired_change, summarise
from lewm_core.stats.power import power_table
from lewm_core.stats.values import Values
from lewm_core.stats.verdicts import UNTESTED, VERDICTS, Finding
from lewm_core.utils.errors import InputError

KEY = ["scale", "metric", "condition"]
NUMBERS = ["n", "level", "scatter", "mean", "low", "high", "p", "p_holm", "mde"]
COLUMNS = [*KEY, "split", "against", *NUMBERS, "better", "same", "reason"]
LOWER_IS_BETTER = re.compile(r"mse|mse_over_static|mse_over_variance|(gripper|object)_\d+(_over_persistence)?")


def comparable_metrics(results: pd.DataFrame, split: str) -> list[str]:
    """The errors that every run of a results table was measured by on that split."""
    rows = results[results.split == split]
    runs = len(results[["condition", "scale", "seed"]].drop_duplicates())
    counts = rows.groupby("metric", sort=False).size()
    return [name for name, count in counts.items() if count == runs and LOWER_IS_BETTER.fullmatch(name)]


def check_seeds(results: pd.DataFrame, against: str) -> None:
    """InputError, at the first scale that has it: no run of `against`, nothing beside it, or fewer than two seeds that
    a condition has in common with it."""
    for scale, rows in results.groupby("scale", sort=False):
        seeds = {name: set(own.seed) for name, own in rows.groupby("condition", sort=False)}
        others = [name for name in seeds if name != against]
        if against not in seeds or not others:
            raise InputError(f"runs of scale {scale}", f"condition {', '.join(seeds)}",
                             f"{against}, which the others are compared with, and at least one other",
                             "Name runs of it too, or another condition: --against NAME.")
        for name in others:
            common = seeds[name] & seeds[against]
            if len(common) < 2:
                told = f"one seed ({min(common)})" if common else "no seed"
                raise InputError(f"condition {name}, scale {scale}", f"{told} in common with {against}",
                                 "two or more", "Runs are paired by seed. From one pair neither an interval nor a test "
                                 "nor the power can be had: whether its change is more than chance, nothing tells.")


def compare(results: pd.DataFrame, against: str, metrics: Sequence[str], split: str,
            signals: Collection[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every condition against `against`, on one split: `paired.paired_change`, and a table of the columns COLUMNS.

    level, scatter: the metric's mean over seeds, and its standard deviation in per cent of that. mean, low, high: of
    the change in per cent. p_holm: corrected over the `signals` of a scale and metric; of what is none of them
    (references, controls) over those alone. mde: the smallest change that so many seeds detect at 80 %. better, same:
    verdicts, with the reason where there is none; empty for `against` itself, the baseline and the references, which
    have no signal. signals: the conditions that must also be better than their twin with other frames' targets.
    """
    rows = results[results.metric.isin(metrics)]
    changes = paired_change(rows, metrics, split, against)
    parts = [changes[changes.condition.isin(list(signals)) == signal] for signal in (True, False)]
    key = ["condition", *FAMILY]
    found = pd.concat([summarise(part) for part in parts if len(part)]).set_index(key)
    found = found.join(power_table(changes).set_index(key).mde)
    values = rows[rows.split == split].groupby(key, sort=False).value
    level = values.mean()
    levels = pd.DataFrame({"level": level, "scatter": 100 * values.std() / level, "count": values.size()})
    table = levels.join(found).reset_index().assign(against=against)
    own = table.condition == against
    table.loc[own, "mean"] = 0.0
    table["n"] = table.n.where(~own, table["count"]).astype(int)
    evidence = Evidence(results)
    judged = [_verdicts(evidence, row, row.condition in signals) for row in table.itertuples()]
    table["better"], table["same"], table["reason"] = zip(*judged, strict=True)
    metric, scale = (pd.Categorical(table[name], list(dict.fromkeys(given)))
                     for name, given in (("metric", metrics), ("scale", results.scale)))
    order = table.assign(metric=metric, scale=scale).sort_values(["scale", "metric"], kind="stable").index
    return changes, table.loc[order, COLUMNS].reset_index(drop=True)


def _verdicts(evidence: Evidence, row: tuple, signal: bool) -> tuple[str, str, str]:
    """Whether a condition is better than the reference, whether it is the same, and why that cannot be told."""
    if row.condition in (row.against, paper.BASELINE, *UNTAUGHT):
        return "", "", ""
    by = (row.metric, row.split)
    try:
        better = _better(evidence, row, signal)
    except Absent as reason:
        better = Finding(UNTESTED, reason=str(reason))
    change = evidence.contrast(row.condition, row.against, row.scale, *by)
    same = verdicts.untested(verdicts.within(change), evidence.shut(_places(row), *by))
    why = dict.fromkeys(part for found in (better, same) for part in found.reason.split("; ") if part)
    return better.verdict, same.verdict, "; ".join(why)


def _better(evidence: Evidence, row: tuple, signal: bool) -> Finding:
    by = (row.metric, row.split)
    if signal and row.against == paper.BASELINE:
        return judges.improves(row.condition, row.scale)(evidence, *by)
    found = verdicts.improves(evidence.contrast(row.condition, row.against, row.scale, *by))
    return verdicts.untested(found, evidence.shut(_places(row), *by))


def _places(row: tuple) -> list[tuple[str, str]]:
    """Whose gates must be open: the condition's, and those of a reference that has a signal of its own."""
    plain = row.against in (paper.BASELINE, *UNTAUGHT) or row.against.endswith(SHUFFLED)
    return [(name, row.scale) for name in ((row.condition,) if plain else (row.condition, row.against))]


def told(table: pd.DataFrame) -> list[str]:
    """The verdicts in sentences, one a scale, metric and question: what is better, what is the same."""
    lines = []
    for (scale, metric), rows in table[table.better != ""].groupby(["scale", "metric"], sort=False):
        against = rows.against.iloc[0]
        if (rows[["better", "same"]] == UNTESTED).all(axis=None):
            lines.append(f"{scale}, {metric}: no effect is tested here, since a gate is shut or a run was not given.")
            continue
        for question, name in ((f"better than {against}", "better"), (f"the same as {against}", "same")):
            found = {verdict: rows.condition[rows[name] == verdict] for verdict in VERDICTS}
            each = [f"{verdict}: {', '.join(names)}" for verdict, names in found.items() if len(names)]
            lines.append(f"{scale}, {metric}, {question}? {'; '.join(each)}.")
    return lines


def reasons(results: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Why verdicts are withheld: each gate that is shut, with its numbers, and what was not run; each once."""
    values, lines = Values(results), []
    for row in table[table.reason != ""].itertuples():
        for name, scale in _places(row):
            shut = [gate for gate in gates.gates(values, name, scale, row.metric, row.split) if not gate.open]
            lines += [f"{scale}{'' if gate.name == 'head' else ', ' + row.metric}, not shown that "
                      f"{gates.GATES[gate.name][0]}: {gate.told}." for gate in shut]
        lines += [f"{part}." for part in row.reason.split("; ") if not part.startswith("gates of ")]
    return list(dict.fromkeys(lines))


def numbers(changes: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Every number of both as tidy rows: condition, scale, seed, split, metric, value, statistic, against, note."""
    key = ["condition", "scale", "split", "metric", "against"]
    against = table.against.iloc[0]
    parts = [changes.assign(statistic="seed", value=changes.change, against=against)]
    parts += [table[key].assign(statistic=name, value=table[name].astype(float)) for name in NUMBERS]
    parts += [table[table[name] != ""][key].assign(statistic=name, value=np.nan, note=table[name])
              for name in ("better", "same")]
    columns = ["condition", "scale", "seed", "split", "metric", "value", "statistic", "against", "note"]
    whole = pd.concat([part.reindex(columns=columns).astype(object) for part in parts], ignore_index=True)
    return whole.astype({"value": float, "seed": "Int64"})
