"""A notebook's source, and what its parameters cell declares."""

import re
from dataclasses import dataclass
from functools import cached_property
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
    declared: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def node(self) -> Any:
        """The notebook as nbformat has it."""
        import jupytext  # takes over a second; a wrong option is to be answered before

        node = jupytext.reads(self.source, fmt="py:percent")
        node.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        return node


def paths(folder: Path = FOLDER) -> list[Path]:
    """The notebooks in `folder`, in the order in which they run."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def read_notebook(path: Path) -> Notebook:
    """InputError if it is no percent script, or its parameters are more than plain values."""
    try:
        source = path.read_text()
        declared = parameters.declared(tagged(source, "parameters"), path.name)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise InputError(path, str(error), "a notebook as a jupytext percent script") from None
    return Notebook(path, source, declared)


def tagged(source: str, tag: str) -> str:
    """The code in the cells of a percent script that carry this tag."""
    cells = [cell.partition("\n") for cell in re.split(r"^# %%", source, flags=re.MULTILINE)[1:]]
    return "".join(code for head, _, code in cells if re.search(rf"tags=\[.*\"{tag}\".*\]", head))
