"""How the claims table is shown: `claims.csv` and `claims.md` beside the figures, and the README's summary of them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.stats.gates import GATES
from lewm_core.stats.outcomes import OUTCOME, OUTCOME_IN_WORDS, SMALLEST
from lewm_core.stats.verdicts import CONTRADICTED, SUPPORTED, UNDECIDED, UNTESTED, VERDICTS
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing, write_csv
from lewm_core.utils.provenance import SIMULATED
from lewm_core.utils.workspace import FIGURES, ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- claims: written by ./run_all.sh publish -->", "<!-- end of claims -->"
OPEN, SHUT = "open", "shut"  # of a gate
WORDS = ("reason", "rule", "paper", "section", "metric", "split", "mse_ours", "mse_verdict", "mse_reason")
HEADER = "| § | claim | paper | ours [95 %] | n | detectable | verdict | by the paper's MSE |"
ASIDES = {  # what stands apart from the claims: its heading
    "suggestion": "What the paper suggests, and no claim of it:",
    "fact": "Facts of the paper's design or of ours, counted, and no claims on what a signal does:",
}


def source(provenance: Mapping[str, object]) -> str:
    """Where the data are from, in words; simulated data is called so."""
    data = str(provenance.get("data", "unknown"))
    return f"simulated data ({data})" if data in SIMULATED else f"{data} data"


def heading(table: pd.DataFrame) -> str:
    """What the table is about: its data source and profile."""
    return f"The paper's claims on {table.data.iloc[0]}, profile {table.profile.iloc[0]}"


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
        verdict = row.verdict + (f": {row.reason}" if row.reason else "")
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
    lines.append("")
    for scale, rows_ in found.groupby("section", sort=False):
        opened = rows_.groupby("claim", sort=False).verdict.agg(lambda states: (states == OPEN).all())
        if opened.any():
            lines.append(f"- {scale}: effects of {', '.join(opened.index[opened])} can be judged.")
        else:
            lines.append(f"- {scale}: **machinery only**. No condition has all gates open, so no verdict on an effect "
                         "is passed.")
    return lines


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
        verdict = row.verdict + (f": {row.reason}" if row.reason else "")
        tested = f"; Holm's p {row.p_holm:.2g} for it, {row.p_against_holm:.2g} against it" if row.n > 1 else ""
        lines.append(f"| {row.id} | {row.claim} | {row.ours}{tested} | {row.n or '–'} | {_mde(row)} | {verdict} |")
    return lines


def answer(table: pd.DataFrame) -> list[str]:
    """What became of the primary hypotheses, in a sentence for each verdict, as a Markdown list."""
    found = of_kind(table, "primary")
    lines = []
    for verdict in VERDICTS:
        told = [f"{row.claim} ({row.id}: {row.reason if verdict == UNTESTED else row.ours})"
                for row in found[found.verdict == verdict].itertuples()]
        if told:
            lines.append(f"- *{verdict}*: {'; '.join(told)}.")
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
    for kind, title in ASIDES.items():
        if len(of_kind(table, kind)):
            apart += [title, "", *rows(of_kind(table, kind)), ""]
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
    table = pd.read_csv(path, dtype={"section": str})
    return table.assign(**{c: table[c].fillna("") for c in WORDS})


def summary(table: pd.DataFrame) -> str:
    """The README's block: could an effect be seen, the primary hypotheses, and the claims that were decided."""
    claims = of_kind(table, "claim")
    decided = claims[claims.verdict.isin([SUPPORTED, CONTRADICTED])]
    open_, closed = (int((claims.verdict == v).sum()) for v in (UNDECIDED, UNTESTED))
    shown = [*rows(decided), ""] if len(decided) else []
    return "\n".join([
        BEGIN, f"**{heading(table)}.** {ABOUT} Of the hypotheses named beforehand, by {OUTCOME_IN_WORDS}:", "",
        *answer(table), "", *first(table), "",
        f"**The {len(claims)} claims**: {counts(table)}.", "", *shown,
        f"The other {open_ + closed} ({open_} {UNDECIDED}, {closed} {UNTESTED}), each with its interval or the "
        f"reason, facts and suggestions of the paper, and the rules of the verdicts: "
        f"[`figures/claims.md`](figures/claims.md).", END])


def update_readme(readme: Path = README, folder: Path = FIGURES) -> str:
    """Rewrite the block between the markers in `readme` from `folder`/claims.csv, and return the new text.

    InputError where the markers are not there exactly once and in order.
    """
    text = readme.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        raise InputError(readme.name, "no single block between the markers", f"{BEGIN} … {END}")
    text = before + summary(read(folder / "claims.csv")) + after
    with replacing(readme) as temporary:
        temporary.write_text(text)
    return text
