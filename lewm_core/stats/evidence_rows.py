"""What stands behind each claim's number: a row a number, with how it was made and the table it was made of.

Which rows of which tables a claim reads is noted while it is judged, so that it cannot differ from what judges it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import pandas as pd

from lewm_core.stats import primary
from lewm_core.stats.claims import KINDS
from lewm_core.stats.evidence import WHERE, Absent, Evidence
from lewm_core.stats.outcomes import OUTCOME, SPLIT
from lewm_core.stats.paired import interval
from lewm_core.stats.primary import BOTH, PRIMARY_HYPOTHESES, Hypothesis
from lewm_core.stats.rules import HOW
from lewm_core.stats.verdicts import Finding
from lewm_core.utils import sealed
from lewm_core.utils.files import file_digest, write_csv
from lewm_core.utils.workspace import MEASURED, RAN, ROOT, SCALES, Workspace, relative

NAME = "claims_evidence.csv"  # beside claims.csv
PRESPECIFIED, EXPLORATORY = "prespecified", "exploratory"
NUMBERS = ["number", "low", "high", "unit", "n"]
COLUMNS = ["id", "kind", "part", *NUMBERS, "aggregation", "metric", "split", "status", "source", "sha256", "rows",
           "made_by"]
TEXTS = ["part", "unit", "aggregation", "metric", "split", "source", "sha256", "rows", "made_by"]
TRACKS = "on_object"  # the one table that is a figure's
TRACKS_BY = "02_extraction"


@dataclass(frozen=True)
class Noted(Evidence):
    """Evidence that notes what it is asked for: (table, what of it), table a scale of the results or a measurement."""

    noted: list[tuple[str, str]] = field(default_factory=list)
    of_controls: bool = False

    @classmethod
    def of(cls, evidence: Evidence, noted: list[tuple[str, str]], of_controls: bool = False) -> "Noted":
        own = {f.name: getattr(evidence, f.name) for f in fields(Evidence)}
        if evidence.patches is not None:
            own["patches"] = cls.of(evidence.patches, noted, True)
        return cls(**own, noted=noted, of_controls=of_controls)

    def values(self, condition: str, scale: str, metric: str, split: str) -> pd.Series:
        found = super().values(condition, scale, metric, split)
        table = "controls" if self.of_controls or scale not in SCALES else scale
        self.noted.append((table, condition))
        return found

    def need(self, name: str):
        found = super().need(name)
        if name not in ("patches", "sizes"):  # whose rows are noted as they are read
            self.noted.append((name, ""))
        return found


def _source(place: Workspace, table: str) -> tuple[Path | None, str]:
    """The file of a table, or None where it is in none, and the notebook that made it."""
    if table in RAN:
        return place.results(table), RAN[table]
    if table in MEASURED:
        return place.measured(table), MEASURED[table]
    return (place.figures / "on_object_tracks.csv", TRACKS_BY) if table == TRACKS else (None, "")


def _read(place: Workspace, noted: list[tuple[str, str]]) -> dict[str, str]:
    """The columns source, sha256, rows and made_by of what was noted; several files by '; ', in the same order."""
    found = []
    for table in dict.fromkeys(table for table, _ in noted):
        rows = ", ".join(dict.fromkeys(what for name, what in noted if name == table and what))
        path, made_by = _source(place, table)
        if path is None:
            found.append((f"no file: {WHERE[table]}", "", rows, made_by))
        else:
            name = relative(path) if path.is_relative_to(ROOT) else path.name  # no folder of somebody's machine
            found.append((name, file_digest(path, 64), rows, made_by))
    columns = ("source", "sha256", "rows", "made_by")
    return {name: "; ".join(cells) for name, cells in zip(columns, zip(*found, strict=True), strict=False)}


def _numbers(found: Finding, part: str = "") -> Iterator[tuple[str, Finding]]:
    """What a claim found, or each of its parts that has no parts, by name."""
    for name, inner in found.parts.items():
        yield from _numbers(inner, f"{part}: {name}" if part else name)
    if not found.parts:
        yield part, found


def _row(part: str, found: Finding) -> dict[str, object]:
    return {"part": part, "number": found.mean, "low": found.low, "high": found.high, "unit": found.unit, "n": found.n}


def _claim_rows(evidence: Evidence, place: Workspace) -> Iterator[dict[str, object]]:
    for kind, claims in KINDS.items():
        for claim in claims:
            noted: list[tuple[str, str]] = []
            found = claim.on(Noted.of(evidence, noted), OUTCOME, SPLIT)
            about = {"id": claim.id, "kind": kind, "aggregation": claim.made, "status": EXPLORATORY}
            if claim.by_metric or claim.metric:
                about |= {"metric": claim.metric or OUTCOME, "split": SPLIT}
            about |= _read(place, noted)
            for part, number in _numbers(found):
                yield about | _row(part, number)


def _primary_rows(evidence: Evidence, place: Workspace, h: Hypothesis) -> Iterator[dict[str, object]]:
    about = {"id": h.id, "kind": "primary", "aggregation": HOW["primary"], "metric": h.metric, "split": SPLIT,
             "status": PRESPECIFIED}
    for against in h.against:
        noted: list[tuple[str, str]] = []
        numbers = {"part": f"{h.condition} against {against}", "n": 0}
        try:
            values = primary.effect(Noted.of(evidence, noted), h, against)
        except Absent:
            pass
        else:
            low, high = interval(values)
            numbers |= {"number": values.mean(), "low": low, "high": high, "n": len(values),
                        "unit": "points" if h.scale == BOTH else "%"}
        yield about | numbers | _read(place, noted)


def evidence_table(evidence: Evidence, place: Workspace) -> pd.DataFrame:
    """The numbers behind the primary hypotheses, the claims, the suggestions and the facts: columns COLUMNS.

    id, kind: as in `claims.claims_table`. part: which of several numbers of a claim. number, low, high: the value and
    the ends of its 95 % interval, NaN where there is none, in `unit`; n: over how many seeds or episodes. aggregation:
    how it was made of the runs' values. status: PRESPECIFIED or EXPLORATORY. source: the table that was read, from the
    repository's root, its SHA-256 in `sha256`; rows: the conditions read of it; made_by: the notebook that made it.
    Of several tables each of the four has several entries, by '; '.
    """
    rows = [row for h in PRIMARY_HYPOTHESES for row in _primary_rows(evidence, place, h)]
    rows += _claim_rows(evidence, place)
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    return table.fillna(dict.fromkeys(TEXTS, "")).astype({"number": float, "low": float, "high": float, "n": int})


def save(table: pd.DataFrame, folder: Path) -> None:
    write_csv(folder / NAME, table)


def read(folder: Path) -> pd.DataFrame:
    """The evidence table that `save` wrote in `folder`; without rows where there is none."""
    path = folder / NAME
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    table = pd.read_csv(sealed.check(path))
    return table.fillna(dict.fromkeys(TEXTS, ""))


def spread(cell: str) -> list[str]:
    """The entries of a cell that may have several."""
    return cell.split("; ") if cell else []
