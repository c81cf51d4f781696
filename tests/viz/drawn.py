"""What a figure shows, for the tests of figures."""

from itertools import combinations

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from lewm_core.viz import style


def artists(fig: Figure) -> dict[str, Artist]:
    """Everything in a figure that carries a name (gid), by name."""
    return {a.get_gid(): a for a in fig.findobj(lambda a: a.get_gid() is not None)}


def texts(fig: Figure) -> str:
    """All words in a figure."""
    return " ".join(t.get_text().replace("\n", " ") for t in fig.findobj(Text))


def ticks(ax: Axes) -> list[str]:
    """The first line of every label of the x axis."""
    return [t.get_text().split("\n")[0] for t in ax.get_xticklabels()]


def misplaced(fig: Figure, slack: float = 1.0) -> list[str]:
    """Words that overlap other words, or leave the figure, by more than `slack` pixels at 100 dpi."""
    with mpl.rc_context(style.STYLE):
        fig.set_dpi(100)
        FigureCanvasAgg(fig).draw()
        unseen = _unseen(fig)
        found = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen]
        boxes = [(t.get_text(), t.get_window_extent()) for t in found]
    wrong = [f"{text!r} leaves the figure" for text, box in boxes
             if box.x0 < -slack or box.y0 < -slack or box.x1 > fig.bbox.x1 + slack or box.y1 > fig.bbox.y1 + slack]
    for (one, a), (two, b) in combinations(boxes, 2):
        if min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack:
            wrong.append(f"{one!r} overlaps {two!r}")
    return wrong


def _unseen(fig: Figure) -> set[int]:
    """Texts (by id) that are there and not drawn: of hidden axes, and labels of ticks beyond an axis."""
    found = set()
    for ax in fig.axes:
        if not ax.get_visible():
            found |= {id(text) for text in ax.findobj(Text)}
        for axis in (ax.xaxis, ax.yaxis):
            drawn = axis._update_ticks() if ax.axison else []
            spare = [tick for tick in (*axis.majorTicks, *axis.minorTicks) if tick not in drawn]
            found |= {id(label) for tick in spare for label in (tick.label1, tick.label2)}
    return found
