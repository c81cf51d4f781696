"""What all figures share: the style, the colour of a condition, the caption, the table of numbers, and saving."""

import functools
import io
import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from lewm_core.conditions import ALL
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing
from lewm_core.utils.provenance import SIMULATED

STYLE = {
    **sns.axes_style("whitegrid", {"axes.edgecolor": "0.4", "grid.color": "0.9", "axes.spines.top": False,
                                   "axes.spines.right": False, "xtick.bottom": True, "ytick.left": True}),
    "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.labelsize": 10, "xtick.labelsize": 8.5, "ytick.labelsize": 9,
    "legend.fontsize": 9, "legend.frameon": False, "figure.titlesize": 12, "figure.titleweight": "bold",
    "svg.fonttype": "none", "svg.hashsalt": "lewm",
}
COLOURS = {  # after Okabe and Ito; the C family is one hue from light to dark
    "A": "#444444", "B": "#0072B2", "C1": "#7CCBB2", "C2": "#35A98B", "C3": "#00785D", "C4": "#004A39",
    "D": "#D55E00", "D-fg": "#E69F00", "E": "#CC79A7", "F": "#56B4E9", "G": "#8A7A00",
}
OTHER_COLOURS = ("#7B4FB5", "#A6611A", "#B2182B", "#4D9221")  # conditions that the table of the paper does not have
GREY = "0.55"
PAPER = {"marker": "*", "color": "black", "markersize": 11, "markerfacecolor": "white", "linestyle": "none"}
SPLIT = {"episode": "episode split", "window": "window split (the paper's)"}
COLUMNS = ["condition", "scale", "seed", "split", "metric", "value"]  # that every figure's table has at least


class Chart(Figure):
    """A figure that shows itself in a notebook without pyplot, so that none stays open."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a figure function under STYLE."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        with mpl.rc_context(STYLE):
            return function(*args, **kwargs)

    return run


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, caption: str = "", **kwargs):
    """A figure of that size (inches) with rows × columns axes and the caption under them: (figure, axes array)."""
    fig = Chart(figsize=(width, height), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False, **kwargs)
    if caption:
        fig.supxlabel(textwrap.fill(caption, int(width * 15)), x=0.01, ha="left", fontsize=8, color="0.35")
    return fig, axes


def colour(condition: str) -> str:
    """The colour of a condition, the same in every figure; a control has that of the condition that it varies."""
    varied = condition.partition("-")[0]
    return COLOURS.get(condition) or COLOURS.get(varied) or OTHER_COLOURS[sum(map(ord, condition)) % len(OTHER_COLOURS)]


def title(condition: str) -> str:
    """What a condition is, in words; empty for one that is not in the tables of conditions."""
    return ALL[condition].title if condition in ALL else ""


def caption(provenance: Mapping[str, object]) -> str:
    """One line saying what made a figure, from a record as `provenance.collect` makes it."""
    parts = []
    if "profile" in provenance:
        parts.append(f"profile {provenance['profile']}")
    if "data" in provenance:
        parts.append(f"data: {provenance['data']}" + (", simulated" if provenance["data"] in SIMULATED else ""))
    if provenance.get("base"):
        parts.append(f"base: {provenance['base']}")
    seeds = provenance.get("seeds")
    if isinstance(seeds, Mapping):
        parts.append("seeds: " + ", ".join(f"{len(s) if isinstance(s, Sequence) else s} {k}" for k, s in seeds.items()))
    elif seeds is not None:
        n = len(seeds) if isinstance(seeds, Sequence) else seeds
        parts.append(f"{n} seed{'s' if n != 1 else ''}")
    if "commit" in provenance:
        commit = provenance["commit"]
        parts.append((f"commit {commit[:10]}" if commit else "commit unknown")
                     + (" with local changes" if provenance.get("dirty") else ""))
    return " · ".join(parts)


def tidy(table: pd.DataFrame, value: str, metric: str, condition: str | None = None,
         **constants: object) -> pd.DataFrame:
    """`table` with the columns that `save_figure` asks for.

    value, condition: the columns that hold the numbers and the conditions; they are renamed.
    metric: what the numbers are. constants: columns that are the same in all rows (scale="pilot", split="episode").
    Columns of COLUMNS that are still absent are left empty: they do not apply to this figure.
    """
    table = table.rename(columns={value: "value"} | ({condition: "condition"} if condition else {}))
    table = table.assign(**constants) if "metric" in table else table.assign(metric=metric, **constants)
    return table.reindex(columns=[*COLUMNS, *(c for c in table.columns if c not in COLUMNS)])


def save_figure(fig: Figure, stem: str | Path, table: pd.DataFrame, provenance: Mapping[str, object]) -> list[Path]:
    """Write stem.png (150 dpi), stem.svg (text as text), stem.csv (every number drawn) and stem.json (what made it).

    All four are written before any replaces its predecessor, and the same figure gives the same SVG and CSV, byte for
    byte. Returns the paths.

    Raises:
        InputError: `table` lacks a column of COLUMNS or has no row, or `provenance` is not JSON (NaN is not).
    """
    stem = Path(stem)
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing or table.empty:
        raise InputError(f"table of {stem.name}", f"no column {', '.join(missing)}" if missing else "no row",
                         "one row per number drawn, with columns " + ", ".join(COLUMNS))
    try:
        record = json.dumps(dict(provenance), indent=1, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"provenance of {stem.name}", str(error), "what JSON can hold, without NaN") from None
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg", ".csv", ".json")]
    with ExitStack() as stack, mpl.rc_context(STYLE):
        png, svg, csv, note = (stack.enter_context(replacing(path)) for path in paths)
        fig.savefig(png, dpi=150)
        fig.savefig(svg, metadata={"Date": None})
        table.to_csv(csv, index=False, lineterminator="\n")
        note.write_text(record)
    return paths
