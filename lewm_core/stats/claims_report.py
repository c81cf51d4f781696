"""How the claims table is shown: `claims.csv` and `claims.md` beside the figures."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.stats.gates import GATES
from lewm_core.stats.outcomes import OUTCOME, OUTCOME_IN_WORDS, SMALLEST
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNTESTED, VERDICTS
from lewm_core.utils import escape, sealed
from lewm_core.utils.files import replacing, write_csv
from lewm_core.utils.provenance import SIMULATED

OPEN, SHUT = "open", "shut"  # of a gate
SHUT_MEANS = {  # gate -> what it means that it is shut
    "head": "a head learnt no more than a constant knows", "model": "A does not beat persistence",
    "training": "A is not clearly better than without training",
    "control": "by this measure the positive control, which learns the true state, does not help",
}
WORDS = ("reason", "rule", "paper", "section", "metric", "split", "mse_ours", "mse_verdict", "mse_reason")
HEADER = "| § | claim | paper | ours [95 %] | n | detectable | verdict | by the paper's MSE |"
SUGGESTED = "What the paper suggests, and no claim of it:"
COUNTED = "Facts of the paper's design or of ours, counted, and no claims on what a signal does:"


def source(provenance: Mapping[str, object]) -> str:
    """Where the data are from, in words; simulated data is called so."""
    data = str(provenance.get("data", "unknown"))
    return f"simulated data ({data})" if data in SIMULATED else f"{data} data"


def heading(table: pd.DataFrame) -> str:
    """What the table is about, in Markdown: its data source and profile."""
    data, profile = map(escape.markdown, (table.data.iloc[0], table.profile.iloc[0]))
    return f"The paper's claims on {data}, profile {profile}"


ABOUT = ("A verdict is about these runs, with their data, model and training length. It says nothing of the paper's "
         "own runs.")
OVER_SEEDS = ("Intervals are over seeds. They cover the sampling of episodes where every seed draws its own; where all "
              "seeds divide the same few, only their division, start and batch order.")


def counts(table: pd.DataFrame) -> str:
    """How many claims have each verdict; what stands apart from them is not counted."""
    found = of_kind(table, "claim").verdict.value_counts()
    return ", ".join(f"{found.get(v, 0)} {v}" for v in VERDICTS)


def of_kind(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The claims, suggestions or facts of a table."""
    return table[table.kind == kind]


def rows(table: pd.DataFrame) -> list[str]:
    """Lines of a Markdown table: each claim with its paper's number and ours, interval, seeds, power and verdict; and
    the verdict by the paper's own metric."""
    lines = [HEADER, "|" + "---|" * (HEADER.count("|") - 1)]
    for row in table.itertuples():
        verdict = row.verdict + (f": {escape.markdown(row.reason)}" if row.reason else "")
        by_mse = row.mse_verdict + (f" ({row.mse_ours})" if row.mse_ours.strip("–") else "") or "–"
        cells = (row.section, row.claim, row.paper, row.ours, str(row.n or "–"), _mde(row), verdict, by_mse)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return lines


def gates_told(table: pd.DataFrame) -> list[str]:
    """Could these runs have shown an effect? A Markdown table of the gates, and what follows where some are shut."""
    found = of_kind(table, "gate")
    if found.empty:
        return ["No condition that the paper speaks of was run, so no gate is open."]
    lines = ["| scale | gate | by the outcome | numbers | by the paper's MSE |", "|---|---|---|---|---|"]
    for (scale, gate), rows_ in found.groupby(["section", "id"], sort=False):
        state = [_state(rows_, column) for column in ("verdict", "mse_verdict")]
        told = "; ".join(dict.fromkeys(rows_.ours))
        lines.append(f"| {scale} | {GATES[gate][0]} | {state[0]} | {told} | {state[1]} |")
    return [*lines, "", *judged_at(table)]


def judged_at(table: pd.DataFrame) -> list[str]:
    """Of which conditions effects can be judged, a line a scale, and which gates are shut for the others."""
    lines = []
    for scale, rows_ in of_kind(table, "gate").groupby("section", sort=False):
        opened = rows_.groupby("claim", sort=False).verdict.agg(lambda states: (states == OPEN).all())
        if opened.any():
            lines.append(f"- {scale}: effects of {', '.join(opened.index[opened])} can be judged.{_shut(rows_)}")
        else:
            lines.append(f"- {scale}: **machinery only**. No condition has all gates open, so no verdict on an effect "
                         f"is passed.{_shut(rows_)}")
    return lines


def _shut(rows_: pd.DataFrame) -> str:
    """Which gates of one scale are shut, and for which conditions."""
    shut = rows_[rows_.verdict == SHUT].groupby("id", sort=False).claim
    return "".join(f" Not of {', '.join(names)}: {SHUT_MEANS[gate]}." for gate, names in shut)


def _state(rows_: pd.DataFrame, column: str) -> str:
    """Of one gate of several conditions: open, shut, or for which it is open."""
    opened = rows_.claim[rows_[column] == OPEN]
    if len(opened) in (0, len(rows_)):
        return OPEN if len(opened) else SHUT
    return f"{OPEN} for {', '.join(opened)}"


def primaries_told(table: pd.DataFrame) -> list[str]:
    """A Markdown table of the primary hypotheses."""
    lines = ["| | primary hypothesis | ours [95 %] | n | detectable | verdict |", "|---|---|---|---|---|---|"]
    for row in of_kind(table, "primary").itertuples():
        verdict = row.verdict + (f": {escape.markdown(row.reason)}" if row.reason else "")
        tested = f"; Holm's p {row.p_holm:.2g} for it, {row.p_against_holm:.2g} against it" if row.n > 1 else ""
        lines.append(f"| {row.id} | {row.claim} | {row.ours}{tested} | {row.n or '–'} | {_mde(row)} | {verdict} |")
    return lines


def primaries_short(table: pd.DataFrame) -> list[str]:
    """`primaries_told` without the p-values and the reasons."""
    lines = ["| | hypothesis named beforehand | ours [95 %] | n | detectable | verdict |", "|---|---|---|---|---|---|"]
    return lines + [f"| {row.id} | {row.claim} | {row.ours} | {row.n or '–'} | {_mde(row)} | {row.verdict} |"
                    for row in of_kind(table, "primary").itertuples()]


def facts_told(facts: pd.DataFrame) -> list[str]:
    """A Markdown table of facts: the paper's number and the one counted here."""
    lines = ["| § | fact | paper | here |", "|---|---|---|---|"]
    for row in facts.itertuples():
        here = row.ours if row.verdict != UNTESTED else escape.markdown(row.reason)
        cells = (row.section, row.claim, row.paper, here)
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return lines


def _mde(row: tuple) -> str:
    return f"{row.mde:.2g}" if np.isfinite(row.mde) else "–"


def first(table: pd.DataFrame) -> list[str]:
    """What stands before the claims: whether the runs could have shown an effect, and the primary hypotheses."""
    return ["**Could these runs have shown an effect?** A verdict on one needs every gate open.", "",
            *gates_told(table), "",
            f"**The primary hypotheses**, by {OUTCOME}: {OUTCOME_IN_WORDS}. Smallest effect of interest: {SMALLEST:g} "
            "%. detectable: the smallest change that so many seeds detect at 80 % power.", "", *primaries_told(table)]


def markdown(table: pd.DataFrame) -> str:
    """The claims under their heading, what stands apart from them, and the rules by which verdicts were reached.

    table: as from `claims.claims_table`.
    """
    rules = [f"- *{rule}* ({', '.join(group.id)})"
             for rule, group in table[table.rule != ""].groupby("rule", sort=False)]
    apart = []
    for kind, title, told in (("suggestion", SUGGESTED, rows), ("fact", COUNTED, facts_told)):
        if len(of_kind(table, kind)):
            apart += [title, "", *told(of_kind(table, kind)), ""]
    return "\n".join([f"**{heading(table)}.** {counts(table)}. {ABOUT} {OVER_SEEDS}", "",
                      *rows(of_kind(table, "claim")), "",
                      f"Judged by {OUTCOME}, and beside it by the paper's metric. n: seeds; of several parts, the "
                      "fewest. detectable: the smallest change that they detect at 80 % power, in the number's unit; "
                      "of several parts, the largest.", "", *apart,
                      "The rules, and the claims that each decides, by their names in `claims.csv`:", "", *rules])


def describe_survival(by_metric: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """How many verdicts depend on the metric or the split, in sentences.

    by_metric: as from `claims.survival`; table: as from `claims.claims_table`.
    """
    if by_metric.empty:
        return ["Not run: no metric to compare the verdicts by."]
    decided = by_metric[by_metric.verdict.isin([SUPPORTED, CONTRADICTED])].groupby("id").verdict.nunique()
    torn = decided.index[decided > 1].tolist()
    everywhere = by_metric.groupby("id").verdict.agg(lambda verdicts: (verdicts == SUPPORTED).all())
    main = table[table.id.isin(by_metric.id) & (table.verdict == SUPPORTED)]
    kept = [i for i in main.id if everywhere[i]]
    return [f"Claims about an effect: {by_metric.id.nunique()}. Supported under one metric or split and contradicted "
            f"under another: {len(torn)}{_named(torn)}.",
            f"Supported by {OUTCOME} on held-out episodes: {len(main)}. Of these, supported by every metric under both "
            f"splits: {len(kept)}{_named(kept)}."]


def _named(ids: list[str]) -> str:
    return f" ({', '.join(ids)})" if ids else ""


def save(table: pd.DataFrame, folder: Path) -> None:
    """Write `claims.csv` (every column) and `claims.md` (`markdown`) in `folder`."""
    write_csv(folder / "claims.csv", table)
    with replacing(folder / "claims.md") as temporary:
        before = "\n".join(first(table))
        temporary.write_text(f"# {heading(table)}\n\n{before}\n\n{markdown(table)}\n")


def read(path: Path) -> pd.DataFrame:
    """A claims table as `save` wrote it."""
    table = pd.read_csv(sealed.check(path), dtype={"section": str})
    return table.assign(**{c: table[c].fillna("") for c in WORDS})
