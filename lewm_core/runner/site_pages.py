"""The text of the site's pages, in Markdown. Whatever comes from a table is escaped."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from lewm_core.stats import answer as readme
from lewm_core.stats import claims_report, evidence_rows
from lewm_core.stats.outcomes import OUTCOME, OUTCOME_IN_WORDS
from lewm_core.stats.paired import bounds, digits, number
from lewm_core.utils import sealed
from lewm_core.utils.escape import markdown
from lewm_core.utils.provenance import data_label
from lewm_core.utils.workspace import Workspace

KINDS = {"primary": "The primary hypotheses", "claim": "The claims", "suggestion": "Suggestions of the paper",
         "fact": "Facts, counted"}
MAKERS = {  # the code that makes a table, by the table's name
    "claims": r"claims_report\.markdown\(",
    "results_pilot": r'study\.run\([^)]*"pilot"', "results_full": r'study\.run\([^)]*"full"',
    "results_controls": r"study\.run_controls\(", "on_object_tracks": r'"on_object_tracks"',
}
FIGURE = re.compile(r"!\[([^]]*)\]\(figures/answer\.png\)")
README_LINK = re.compile(r"\[`?figures/claims\.md`?\]\(figures/claims\.md\)")
Place = tuple[str, str]  # a notebook and a heading in it


def maker(table: str) -> str:
    """The pattern of the code that makes a table."""
    return MAKERS.get(table, rf'study\.keep\("{re.escape(table.removeprefix("measured_"))}"')


def contents(title: str, pages: Sequence[str]) -> str:
    """A page that lists others beside it."""
    return f"# {title}\n\n" + toctree(pages)


def toctree(pages: Sequence[str], *options: str) -> str:
    return "\n".join(["```{toctree}", *options, "", *pages, "```", ""])


def table(rows: Sequence[Sequence[object]], columns: Sequence[str]) -> str:
    """A Markdown table of plain text."""
    lines = [columns, ["---"] * len(columns), *[[markdown(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def csv_page(path: Path) -> str:
    """A committed table as a page."""
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    return f"# {markdown(path.name)}\n\n{table(found.to_numpy().tolist(), [markdown(c) for c in found.columns])}\n"


def reference(room: str, modules: Sequence[str]) -> str:
    """The reference of a room's modules, from their docstrings."""
    parts = [f"# {markdown(room)}\n"]
    for module in modules:
        own = module in (room, f"lewm_core.{room}")  # whose title is the page's
        heading = [] if own else [f"## {markdown(module.removeprefix('lewm_core.'))}\n"]
        options = ["   :members:", "   :ignore-module-all:"]  # what a package names again is shown where it is written
        parts += [*heading, "```{eval-rst}", f".. automodule:: {module}", *options, "```\n"]
    return "\n".join(parts)


def about(place: Workspace) -> str:
    """Which run the pages show, in a line; empty where it left no record."""
    summary = sealed.check(place.summary, "./run_all.sh with the same options writes it again.")
    try:
        record = json.loads(summary.read_text())
    except (OSError, ValueError):
        return ""
    values = next(iter(record.get("parameters", {}).values()), {})
    parts = [f"run {record.get('run')}", f"data: {data_label(values.get('data'))}" if "data" in values else "",
             f"commit {record['commit'][:10]}" if record.get("commit") else ""]
    return markdown(" · ".join(part for part in parts if part))


def index(text: str, run: str, answer: str, names: Sequence[str], found: Sequence[str], pages: Sequence[str]) -> str:
    """The first page. text: the template; names: all notebooks, found: those that were run; pages: what else there is.
    """
    missing = [name for name in names if name not in found]
    told = f"\nNot run in this run: {', '.join(f'`{name}`' for name in missing)}.\n" if missing else ""
    listed = "\n".join(f"- [](notebooks/{name}.ipynb)" for name in found)
    tree = toctree([f"notebooks/{name}" for name in found], ":caption: Notebooks", ":hidden:")
    notebooks = f"{listed}\n{told}\n{tree}"
    claims = [p.removesuffix(".md") for p in pages if p in ("claims.md", "evidence.md")]
    more = {"Claims": [*claims, "preregistration", "regime", "tables/index"],
            "Use it": ["how-to/index", "speed", "api/index"]}
    trees = [toctree(entries, f":caption: {caption}", ":hidden:", ":maxdepth: 2") for caption, entries in more.items()]
    filled = text.replace("RUN\n", f"{run}\n").replace("ANSWER\n", f"{answer}\n")
    return filled.replace("NOTEBOOKS\n", notebooks) + "\n" + "\n".join(trees)


def linked(claims: pd.DataFrame) -> pd.DataFrame:
    """The claims with their sentences linked to their evidence."""
    texts = []
    for row in claims.itertuples():
        text = markdown(row.claim)
        texts.append(f"[{text}](site:evidence.html#{anchor(row.id)})" if row.kind in KINDS else text)
    return claims.assign(claim=texts)


def answer(claims: pd.DataFrame, picture: str) -> str:
    """What the README has of the claims, which are `linked`. picture: the figure's place; empty where there is none."""
    rows = claims[claims.kind == "primary"]
    links = ", ".join(f"[{markdown(row.id)}](site:evidence.html#{anchor(row.id)})" for row in rows.itertuples())
    first = FIGURE.sub(rf"![\1]({picture})" if picture else "", readme.answer(claims))
    more = README_LINK.sub("[Claims](claims.md)", readme.tested(claims))
    return f"{first.strip()}\n\nThe evidence: {links}.\n\n## How sure is that?\n\n{more}"


def claims_page(claims: pd.DataFrame) -> str:
    return f"# Claims\n\n{chr(10).join(claims_report.first(claims))}\n\n{claims_report.markdown(claims)}\n"


def evidence_page(claims: pd.DataFrame, evidence: pd.DataFrame, where: Mapping[str, Place],
                  judged: Place | None) -> str:
    """What stands behind every claim's number, a section each. where: table's file -> where it is made; judged: where
    the claims are judged."""
    parts = ["# Evidence\n", f"What stands behind each number of the [claims](claims.md). {OUTCOME}: "
             f"{OUTCOME_IN_WORDS}. *prespecified*: named in [what was decided before](preregistration.md); "
             "*exploratory*: all else. The same as a table: {download}`claims_evidence.csv "
             "<files/claims_evidence.csv>`.\n"]
    if evidence.empty:
        parts = ["# Evidence\n", "This run has no table of evidence: notebook 09 of this version writes it, when it is "
                 "run again.\n"]
    for kind, title in KINDS.items():
        rows = claims[claims.kind == kind]
        if len(rows):
            parts.append(f"## {title}\n")
        for claim in rows.itertuples():
            own = evidence[evidence.id == claim.id]
            parts += [f'```{{raw}} html\n<span id="{anchor(claim.id)}"></span>\n```\n', f"### {markdown(claim.id)}\n",
                      f"{markdown(claim.claim)}\n", *evidence_of(claim, own, where, judged)]
    return "\n".join(parts)


def anchor(name: str) -> str:
    """A claim's id as a page's anchor."""
    return re.sub(r"[^\w-]", "-", name)


def evidence_of(claim: tuple, own: pd.DataFrame, where: Mapping[str, Place], judged: Place | None) -> list[str]:
    """The lines of one claim: its verdict, its numbers, and how and of what they were made."""
    reason = f": {markdown(claim.reason)}" if claim.reason else ""
    status = f" ({own.status.iloc[0]})" if len(own) else ""
    lines = [f"**{markdown(claim.verdict)}**{reason}{status}\n"]
    numbers = own[own.number.notna()]
    if len(numbers):
        cells = [(row.part or "–", shown(row.number, row.low, row.high), row.unit or "–", row.n)
                 for row in numbers.itertuples()]
        lines.append(table(cells, ["", "number and 95 % interval", "unit", "n"]) + "\n")
    elif claim.ours.strip("–"):
        lines.append(f"{markdown(claim.ours)}\n")
    if own.empty:
        return lines
    first = own.iloc[0]
    by = f", by {markdown(first.metric)} on the split by {markdown(first.split)}" if first.metric else ""
    lines.append(f"- How: {markdown(first.aggregation)}{by}.")
    lines += dict.fromkeys(line for row in own.itertuples() for line in sources(row, where))
    lines.append(f"- Rule: {markdown(claim.rule)}." + (f" Judged in {section(*judged)}." if judged else ""))
    return [*lines, ""]


def sources(row: tuple, where: Mapping[str, Place]) -> list[str]:
    """A line for each table that a number was made of."""
    lines = []
    spread = [evidence_rows.spread(getattr(row, c)) for c in ("source", "sha256", "rows", "made_by")]
    for i, source in enumerate(spread[0]):
        digest, rows, made_by = (cells[i] if i < len(cells) else "" for cells in spread[1:])
        name = source.rpartition("/")[2]
        file = f"{{download}}`{name} <files/{name}>`" if name in where else markdown(source)
        told = f" ({markdown(rows)})" if rows else ""
        sha = f", SHA-256 `{digest}`" if re.fullmatch("[0-9a-f]+", digest) else ""
        by = section(*where[name]) if name in where else markdown(made_by)
        lines.append(f"- From {file}{told}{sha}" + (f", made in {by}." if by else "."))
    return lines


def section(name: str, heading: str) -> str:
    """A link to a notebook's section."""
    slug = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
    return f"[notebook {markdown(name[:2])}, {markdown(heading)}](notebooks/{name}.ipynb#{slug})"


def shown(value: float, low: float, high: float) -> str:
    """A number with its interval: large counts as they are, the others with the digits that tell them from 0."""
    if pd.isna(low):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    places = digits(value, low, high)
    places = 3 if max(abs(v) for v in (value, low, high)) < 0.1 else places
    return number(value, places) + bounds(low, high, places)
