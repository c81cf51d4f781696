"""The selection (paper 3.1): which scored episodes are kept, which are the full set, which the pilot, and by what.

The paper and its author's post say different things of the two sets, so each reading has a name: the pilot is the best
by `score` or picked by `hand`, the full set the best by `score` or drawn at `random`. A selection is a CSV file that a
person may edit; a JSON file beside it says how it was made, so that results can say so, too.
"""

import json
import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from lewm_core.curation.score import PARTS, Criteria
from lewm_core.utils import sealed
from lewm_core.utils.errors import InputError, pick
from lewm_core.utils.files import regular, write_csv, write_json
from lewm_core.utils.parameters import check_names, fit

FLAGS = ("full", "pilot")
COLUMNS = ("episode", "task", "length", *FLAGS)  # what a selection file must have
PILOT_BY = {"score": "the best by score", "hand": "picked by hand"}
FULL_BY = {"score": "the best by score", "random": "drawn at random from those kept"}
HOW_TO_TICK = ("Run notebook 01 with pilot_by=score first; then tick episodes in its curation browser and save, or "
               "write yes or no into the column pilot of the selection file.")


@dataclass(frozen=True)
class Choice:
    """How many episodes are kept and flagged, and by which reading of the paper: the names in PILOT_BY and FULL_BY.

    full_seed: of the draw, where the full set is drawn at random.
    """

    n_top: int = 300
    n_full: int = 100
    n_pilot: int = 13
    pilot_by: str = "score"
    full_by: str = "score"
    full_seed: int = 0

    def __post_init__(self):
        pick(PILOT_BY, self.pilot_by, "pilot_by")
        pick(FULL_BY, self.full_by, "full_by")
        if not 1 <= self.n_pilot <= self.n_full <= self.n_top:
            raise InputError("selection", f"n_top={self.n_top}, n_full={self.n_full}, n_pilot={self.n_pilot}",
                             "1 <= n_pilot <= n_full <= n_top")  # fmt: skip


def ranking(scores: pd.DataFrame) -> np.ndarray:
    """The rows of `scores`, as positions, from the best score on; those of equal score by episode id."""
    by_id = np.arange(len(scores))
    if not scores["episode"].is_monotonic_increasing:
        by_id = scores["episode"].argsort().to_numpy()
    return by_id[np.argsort(-scores["score"].to_numpy()[by_id], kind="stable")]


def select(scores: pd.DataFrame, choice: Choice, *, ticks: Collection[str] = (), dropped: Collection[str] = (),
           candidates: pd.DataFrame | None = None) -> pd.DataFrame:  # fmt: skip
    """Keep the best `n_top` by score and flag the full set and the pilot among them, each as `choice` says.

    The paper keeps 300, uses 100 of them (full) and hand-selects 13 (pilot). A full set drawn at random need not hold
    the pilot.

    Args:
        scores: one row per scored episode, as `curation.score` makes them.
        ticks: the pilot, where it is picked by hand (`n_pilot` then says nothing).
        dropped: episodes that a person does not want: they keep their row and rank and are never flagged.
        candidates: the answer of `metadata_filter`, to say in the error why nothing was left.

    Returns:
        Columns episode, task, length, full, pilot (bool), rank (from 1), score, part_*. With fewer episodes than asked
        for, all there are, and a warning.

    Raises:
        InputError: no episodes, a pilot by hand without ticks, or ticks that are dropped or not among those kept.
    """
    if scores.empty:
        raise InputError("selection", _why_empty(candidates), "at least one accepted episode",
                         "Widen the criteria, e.g. --set min_length=10, --set max_length=400 or, where there are no "
                         "instructions, --set 'criteria={require_task: false}'; or take more: --set n_candidates=N.")
    if len(scores) < choice.n_full:
        warnings.warn(f"only {len(scores)} scored episodes for a full set of {choice.n_full}", stacklevel=2)
    kept = scores.iloc[ranking(scores)[: choice.n_top]].reset_index(drop=True)
    wanted = np.flatnonzero(~kept["episode"].isin(dropped))
    if choice.full_by == "random":
        wanted = np.random.default_rng(choice.full_seed).permutation(wanted)
    full = np.isin(kept.index, wanted[: choice.n_full])
    if choice.pilot_by == "hand":
        _check_ticks(ticks, set(kept["episode"]) - set(dropped), choice.n_top)
        pilot = kept["episode"].isin(ticks)
    else:
        pilot = np.isin(kept.index, np.sort(wanted)[: choice.n_pilot])
    rest = ["rank", "score", *(f"part_{part}" for part in PARTS)]
    return kept.assign(rank=kept.index + 1, full=full, pilot=pilot)[[*COLUMNS, *rest]]


def _check_ticks(ticks: Collection[str], kept: set[str], n_top: int) -> None:
    if not ticks:
        raise InputError("pilot_by hand", "no episode that is ticked for the pilot", "at least one", HOW_TO_TICK)
    if strange := sorted(set(ticks) - kept):
        raise InputError("pilot_by hand", f"ticks of {', '.join(strange[:5])}",
                         f"ticks among the best {n_top} that are not dropped", "Untick them, or raise n_top.")


def _why_empty(candidates: pd.DataFrame | None) -> str:
    if candidates is None or candidates.empty:
        return "no episodes"
    reasons = candidates.loc[~candidates["accepted"], "reason"].value_counts()
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return f"none of {len(candidates)} episodes accepted: {listed}"


@dataclass(frozen=True)
class Record:
    """How a selection was made: the settings, the episodes a person dropped, and what was flagged by them."""

    choice: Choice
    criteria: Criteria
    dropped: tuple[str, ...]
    full: tuple[str, ...]
    pilot: tuple[str, ...]


def write_selection(path: str | Path, selection: pd.DataFrame, choice: Choice, criteria: Criteria,
                    dropped: Collection[str] = ()) -> None:  # fmt: skip
    """Write a selection as CSV, `full` and `pilot` as yes or no, and beside it, as JSON, how it was made."""
    flagged = {flag: tuple(selection["episode"][selection[flag]]) for flag in FLAGS}
    write_json(_record(path), asdict(Record(choice, criteria, tuple(sorted(dropped)), **flagged)), seal=True)
    words = {flag: np.where(selection[flag], "yes", "no") for flag in FLAGS}
    write_csv(path, selection.assign(**words))  # the columns that a person edits come first


def read_record(path: str | Path) -> Record | None:
    """How the selection file at `path` was made; None where nothing says so. InputError if that is damaged."""
    try:
        values = json.loads(sealed.check(_record(path)).read_text())
        check_names(values, {f.name for f in fields(Record)}, _record(path))
        default = asdict(Choice())
        choice = {name: fit(name, value, default[name], _record(path)) for name, value in values["choice"].items()}
        lists = {name: tuple(map(str, values[name])) for name in ("dropped", *FLAGS)}
        return Record(Choice(**choice), Criteria.of(values["criteria"]), **lists)
    except FileNotFoundError:
        return None
    except sealed.Damaged:
        raise
    except (OSError, RecursionError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(_record(path), f"{type(error).__name__}: {error}", "what notebook 01_curation writes beside "
                         "the selection", "Delete it: the selection then counts as made by hand.") from None


def _record(path: str | Path) -> Path:
    return Path(path).with_suffix(".json")


def chosen_by(path: str | Path) -> dict[str, object]:
    """How the selection file at `path` was chosen, for the provenance of results: a JSON-ready record.

    `pilot_by` and `full_by` are the names of the readings. A set that is not what its reading flagged was edited, and
    is by `hand`; so are both where nothing says how the file was made. `dropped` counts what a person took out.
    """
    table, record = read_selection(path), read_record(path)
    if record is None:
        return {"pilot_by": "hand", "full_by": "hand"}
    chosen = asdict(record.choice)
    for flag in FLAGS:
        if set(table["episode"][table[flag]]) != set(getattr(record, flag)):  # edited
            chosen[f"{flag}_by"] = "hand"
    return chosen | {"dropped": len(record.dropped), "criteria": asdict(record.criteria)}


def hand_picked(path: str | Path) -> list[str]:
    """The pilot that a person ticked in the selection file at `path`; InputError says how to tick where nobody has."""
    if not Path(path).exists() or chosen_by(path)["pilot_by"] != "hand":
        raise InputError("pilot_by hand", f"no pilot that a person ticked in {Path(path).name}", "ticks", HOW_TO_TICK)
    table = read_selection(path)
    return table["episode"][table["pilot"]].tolist()


def read_selection(path: str | Path) -> pd.DataFrame:
    """Read a selection that a person may have edited; `full` and `pilot` come back as bool, numbers as numbers.

    Raises:
        InputError: the file is absent or is not CSV, columns are missing, an episode is listed twice, a flag is neither
            yes nor no, a length is not a whole number, or no episode is chosen; all that is wrong is listed together.
    """
    remedy = "Correct the file, or delete it and run the curation notebook again."
    expected = f"a table with columns {', '.join(COLUMNS)}, one row per episode, full and pilot yes or no"
    try:
        if not Path(path).exists():
            raise InputError(path, "no such file", expected, "Run the curation notebook first.")
        table = pd.read_csv(regular(path), dtype=str, keep_default_na=False, skipinitialspace=True)
    except InputError:
        raise
    except (ValueError, OSError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise InputError(path, f"a file that is not CSV ({error})", expected, remedy) from None
    problems = [*_columns_wrong(table), *_flags_wrong(table), *_numbers_wrong(table)]
    if problems:
        raise InputError(path, "; ".join(problems), expected, remedy)
    return table


def _columns_wrong(table: pd.DataFrame) -> list[str]:
    """What is wrong with the columns and the episodes' names."""
    absent = [column for column in COLUMNS if column not in table]
    problems = [f"no column {', '.join(absent)}"] if absent else []
    if "episode" in table:
        repeated = table["episode"][table["episode"].duplicated()].unique()
        problems += [f"episode {episode!r} twice" for episode in repeated]
        if (table["episode"] == "").any():
            problems.append("a row without episode")
    return problems


def _flags_wrong(table: pd.DataFrame) -> list[str]:
    """Turn the flags of a table of texts into bool, in place; what is wrong with them."""
    problems = []
    for flag in [flag for flag in FLAGS if flag in table]:
        text = table[flag].str.strip().str.lower()
        table[flag] = text.isin(["yes", "true"])
        wrong = sorted(set(text[~text.isin(["yes", "no", "true", "false"])]))
        if wrong:
            problems.append(f"{flag} is {', '.join(map(repr, wrong))}")
        elif not table[flag].any():
            problems.append(f"no episode with {flag} yes")
    return problems


def _numbers_wrong(table: pd.DataFrame) -> list[str]:
    """Turn the columns of numbers of a table of texts into numbers, in place; what is wrong with them."""
    problems = []
    for column in table:
        whole = column in ("length", "rank")
        if not (whole or column == "score" or column.startswith("part_")):
            continue
        text = table[column]
        values = pd.to_numeric(text.replace("", "nan"), errors="coerce")
        if whole:
            bad = text[~text.str.fullmatch(r"\s*[1-9]\d*\s*")]
        else:
            bad = text[values.isna() & ~text.str.lower().isin(["", "nan"])]
        if not bad.empty:
            problems.append(f"{column} is {', '.join(map(repr, sorted(set(bad))[:5]))}")
        table[column] = values.astype("int64") if whole and bad.empty else values
    return problems
