"""What all figures share: the look, the colour of a condition, an empty figure, the caption, and saving."""

import functools
import io
import json
import textwrap
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lewm_core.conditions import ALL
from lewm_core.stats.paired import number
from lewm_core.utils import escape
from lewm_core.utils.errors import InputError
from lewm_core.utils.files import replacing, to_csv

STYLE = {
    **sns.axes_style("whitegrid", {"axes.edgecolor": "0.4", "grid.color": "0.9", "axes.spines.top": False,
                                   "axes.spines.right": False, "xtick.bottom": True, "ytick.left": True}),
    "font.family": ["DejaVu Sans", "sans-serif"], "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.labelsize": 10, "xtick.labelsize": 8.5, "ytick.labelsize": 9,
    "legend.fontsize": 9, "legend.frameon": False, "figure.titlesize": 12, "figure.titleweight": "bold",
    "svg.fonttype": "none", "svg.hashsalt": "lewm",
}
COLOURS = {  # of each family of conditions, in the order of the table; after Okabe and Ito, masks in one hue
    "baseline": ("#444444",), "depth": ("#0072B2",), "mask": ("#7CCBB2", "#35A98B", "#00785D", "#004A39"),
    "tracks": ("#D55E00", "#E69F00"), "depth + tracks": ("#CC79A7",), "centroid": ("#56B4E9",), "shape": ("#8A7A00",),
    "state": ("#9A4D00",), "reference": ("#8C8C8C", "#B3B3B3"),
}
OTHER_COLOURS = ("#7B4FB5", "#A6611A", "#B2182B", "#4D9221")  # conditions beyond these
ON_DARK = {"#444444": "#EBEBEB"}  # the baseline's, which would be one grey among others if it were only lightened
DARK_GROUND, CONTRAST = "#1C1C1C", 4.0  # a dark page, and how much a colour must stand out from it (WCAG's ratio)
PAIR = ("#0072B2", "#D55E00")  # two kinds of one thing (CLS and patches, uniform and foreground): blue and vermilion
GREY = "0.55"
SPLIT = {"episode": "episode split", "block": "block split", "window": "window split (the paper's)",
         "all": "all windows"}
METRICS = {
    "mse": "next-latent MSE",
    "mse_over_variance": "MSE over target variance",
    "mse_over_static": "MSE over persistence MSE",
    "sigreg": "SIGReg",
    "yardstick": "yardstick (base's space)",
    "rollout_1": "rollout error, 1 step",
    "rollout_5": "rollout error, 5 steps",
    "rollout_10": "rollout error, 10 steps",
    "gripper_5": "gripper, 5 steps ahead (cm)",
    "object_5": "object, 5 steps ahead (cm)",
}
EFFECT = {  # how the columns of a table of effects are written
    **dict.fromkeys(("mean", "low", "high"), functools.partial(number, digits=2)), "paper": number,
    "p (Holm)": "{:.2g}", "detected at 80 %": "{:.2f}",
}
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


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **kwargs) -> tuple[Figure, np.ndarray]:
    """A figure of that size (inches) and its axes, an array of rows × columns."""
    fig = Chart(figsize=(width, height), layout="constrained")
    return fig, fig.subplots(rows, columns, squeeze=False, **kwargs)


@styled
def empty_figure(reason: str) -> Figure:
    """A figure that only says why there is nothing to show."""
    fig, axes = new_figure(7, 1.2)
    axes[0, 0].set_axis_off()
    axes[0, 0].text(0, 0.5, textwrap.fill(f"not run: {escape.plain(reason)}", 100), va="center", color="0.35",
                    parse_math=False)
    return fig


@styled
def add_caption(fig: Figure, text: str) -> Figure:
    """Write `text` small under the axes, as `provenance.caption` makes it; replaces an earlier caption."""
    lines = textwrap.fill(escape.plain(text), int(fig.get_figwidth() * 15))
    fig.supxlabel(lines, x=0.01, ha="left", fontsize=8, color="0.35", parse_math=False)
    return fig


def colour(name: str) -> str:
    """The colour of a condition, the same in every figure: a shade of its family's. A control has that of the condition
    that it varies, lighter where its targets are not the frame's own; what no table of conditions has, or a family has
    no shade for, has one of OTHER_COLOURS."""
    known = ALL.get(name)
    if known is not None and known.control_of:
        shade = colour(known.control_of)
        return lighter(shade) if any(term.target_from != "own" for term in known.terms) else shade
    if known is not None:
        members = [c.name for c in ALL.values() if c.family == known.family and not c.control_of]
        shades = COLOURS.get(known.family, ())
        place = members.index(name)
        if place < len(shades):
            return shades[place]
    return OTHER_COLOURS[sum(map(ord, name)) % len(OTHER_COLOURS)]


def lighter(shade: str) -> str:
    """A colour half-way to white."""
    return mpl.colors.to_hex([(1 + part) / 2 for part in mpl.colors.to_rgb(shade)])


def stands(name: str) -> bool:
    """Whether a condition stands for itself, neither a control nor a reference: its lines are then solid."""
    return name in ALL and ALL[name].control_of is None and ALL[name].family != "reference"


def on_dark(shade: str) -> str:
    """A colour as light as it must be to be seen on a dark ground."""
    shade = ON_DARK.get(shade, shade)
    rgb = np.array(mpl.colors.to_rgb(shade))
    mixtures = (rgb + share * (1 - rgb) for share in np.linspace(0, 1, 41))
    ground = _luminance(np.array(mpl.colors.to_rgb(DARK_GROUND)))
    found = next(mixed for mixed in mixtures if (_luminance(mixed) + 0.05) / (ground + 0.05) >= CONTRAST)
    return mpl.colors.to_hex(found)


def _luminance(rgb: np.ndarray) -> float:
    """The relative luminance (WCAG) of a colour (3,) in 0..1."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def title(condition: str) -> str:
    """What a condition is, in words; empty for one that is not in the tables of conditions."""
    return ALL[condition].title if condition in ALL else ""


def name_and_title(condition: str) -> str:
    """'B: depth, full frame'; the name alone for one that is not in the tables of conditions."""
    return f"{condition}: {title(condition)}" if title(condition) else condition


def level_format(metric: str) -> str:
    """How a value of a metric is written: positions to a tenth of a millimetre, ratios to a thousandth, all else with
    three digits."""
    if metric.startswith(("gripper_", "object_")) and not metric.endswith("_over_persistence"):
        return "{:.2f}"
    return "{:.3f}" if "_over_" in metric else "{:#.3g}"


def metric_label(metric: str) -> str:
    """A metric in words."""
    return METRICS.get(metric, metric.replace("_", " "))


def one_metric(summary: pd.DataFrame) -> str:
    """The metric of a figure in words; a table with several would draw them over one another."""
    names = list(dict.fromkeys(summary.metric))
    if len(names) > 1:
        raise InputError("summary", f"the metrics {', '.join(names)}", "one metric per figure",
                         "Choose it in paired_change.")
    return metric_label(names[0] if names else "mse")


def splits_of(table: pd.DataFrame) -> list[str]:
    """The kinds of validation split that a table has, the episode split first."""
    return [s for s in SPLIT if s in set(table.split)]


def first_split(table: pd.DataFrame) -> str:
    """The split that a figure of one split shows: the episode split where episodes were held out."""
    return next(iter(splits_of(table)), "episode")


def scales_of(table: pd.DataFrame) -> list[str]:
    """The scales of a table in order of first appearance, pilot and full before all others."""
    return sorted(dict.fromkeys(table.scale), key=lambda s: {"pilot": 0, "full": 1}.get(s, 2))


def rows_where(table: pd.DataFrame, **equal: object) -> pd.DataFrame:
    """The rows in which each named column equals the given value."""
    keep = np.ones(len(table), bool)
    for column, value in equal.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def hide_unused(axes: np.ndarray, used: int) -> list[Axes]:
    """The first `used` axes of a grid; the others are hidden."""
    for ax in axes.flat[used:]:
        ax.set_visible(False)
    return list(axes.flat[:used])


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
    byte. A table without rows is written as its header: there is then nothing to draw. Returns the paths.

    Raises:
        InputError: `table` lacks a column of COLUMNS, or `provenance` is not JSON (NaN is not).
    """
    stem = Path(stem)
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise InputError(f"table of {stem.name}", f"no column {', '.join(missing)}", "columns " + ", ".join(COLUMNS))
    try:
        record = json.dumps(dict(provenance), indent=1, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"provenance of {stem.name}", str(error), "what JSON can hold, without NaN") from None
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg", ".csv", ".json")]
    with ExitStack() as stack, mpl.rc_context(STYLE):
        png, svg, csv, note = (stack.enter_context(replacing(path, seal=path.suffix == ".csv")) for path in paths)
        fig.savefig(png, dpi=150)
        fig.savefig(svg, metadata={"Date": None})
        to_csv(table, csv)
        note.write_text(record)
    return paths
