"""What a figure shows, for the tests of figures."""

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text


def artists(fig: Figure) -> dict[str, Artist]:
    """Everything in a figure that carries a name (gid), by name."""
    return {a.get_gid(): a for a in fig.findobj(lambda a: a.get_gid() is not None)}


def texts(fig: Figure) -> str:
    """All words in a figure."""
    return " ".join(t.get_text().replace("\n", " ") for t in fig.findobj(Text))


def ticks(ax: Axes) -> list[str]:
    """The first line of every label of the x axis."""
    return [t.get_text().split("\n")[0] for t in ax.get_xticklabels()]
