"""What a notebook displays beside figures: sentences in Markdown, and tables."""

from collections.abc import Callable, Mapping

import pandas as pd
from IPython.display import Markdown, display

from lewm_core.utils import escape

Format = str | Callable[[object], str]


def say(*lines: str) -> None:
    """Show lines of Markdown. What in them comes from data must have gone through `escape.markdown` or `escape.code`.
    """
    display(Markdown("\n".join(lines)))


def tell(*sentences: str) -> None:
    """Show sentences, as of `say`, as a list; nothing where there are none."""
    if sentences:
        display(Markdown("\n".join(f"- {sentence}" for sentence in sentences)))


def show_table(frame: pd.DataFrame, formats: Mapping[str, Format] | Format | None = None, *, index: bool = True,
               **options: object) -> None:
    """Show a table, whose texts are text whatever they hold.

    formats, options: how its values are written, as of pandas' `Styler.format`; texts are then shown in full. Without
    any of them it is written as pandas writes tables. index: whether the names of the rows are shown.
    """
    with pd.option_context("display.html.use_mathjax", False, "styler.html.mathjax", False):
        if formats is None and index and not options:
            return display(texts(frame, escape.plain))  # which pandas escapes itself
        if isinstance(formats, Mapping):
            formats = {escape.html(name): how for name, how in formats.items()}
        style = texts(frame, escape.html).style.format(formats, **options)
        display(style if index else style.hide(axis="index"))


def texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """A copy of a table, all texts in it changed: its cells, and the labels of rows and columns with their names."""
    def changed(value: object) -> object:
        return change(value) if isinstance(value, str) else value

    def cell(value: object) -> object:
        return change(str(value)) if isinstance(value, list | tuple | dict | set) else changed(value)

    found = frame.rename(index=changed, columns=changed)
    found = found.rename_axis(index=[changed(name) for name in frame.index.names],
                              columns=[changed(name) for name in frame.columns.names])
    for place, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            cells = [cell(value) for value in frame.iloc[:, place]]
            found.isetitem(place, pd.Series(cells, found.index, object if dtype == "category" else dtype))
    return found
