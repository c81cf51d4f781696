"""A notebook's source, and what its parameters cell declares."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lewm_core.utils import parameters
from lewm_core.utils.errors import InputError
from lewm_core.utils.workspace import ROOT

FOLDER = ROOT / "notebooks"


@dataclass(frozen=True)
class Notebook:
    """One notebook source: a jupytext percent script and its parameters with their defaults."""

    path: Path
    source: str
    node: Any = field(repr=False)  # nbformat notebook
    declared: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


def paths(folder: Path = FOLDER) -> list[Path]:
    """The notebooks in `folder`, in the order in which they run."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def read_notebook(path: Path) -> Notebook:
    """InputError if it is no percent script, or its parameters are more than plain values."""
    import jupytext

    try:
        source = path.read_text()
        node = jupytext.reads(source, fmt="py:percent")
        declared = parameters.declared(node.cells, path.name)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise InputError(path, str(error), "a notebook as a jupytext percent script") from None
    node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return Notebook(path, source, node, declared)
