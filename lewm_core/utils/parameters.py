"""Notebook parameters: what a notebook declares, and the values that a run gives it."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular
from lewm_core.utils.plain import parse_yaml, shown

MOST_BYTES = 1_000_000  # of a profile
MOST = 2**63  # what seeds and sizes stay below
KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def declared(source: str, where: object) -> dict[str, Any]:
    """Names and defaults in the code of a parameters cell: plain assignments of literals, in order."""
    found: dict[str, Any] = {}
    for node in ast.parse(source).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        try:
            found[target.id] = ast.literal_eval(node.value)
        except (AttributeError, ValueError, TypeError):
            raise InputError(
                f"{where}, parameters cell", ast.unparse(node), "assignments of plain values, such as n_top = 300"
            ) from None
    return found


def read_profile(path: Path) -> dict[str, Any]:
    """The mapping parameter → value in a profile's YAML file (an empty file is an empty mapping)."""
    expected = "a YAML file of parameter: value lines"
    try:
        text = regular(path, MOST_BYTES).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, " ".join(str(error).split()), expected) from None
    values = parse_yaml(text, path, expected)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise InputError(path, f"a {type(values).__name__}", "parameter: value lines")
    return {str(name): value for name, value in values.items()}


def read_setting(text: str) -> tuple[str, str]:
    """`name=value` of a --set option, the value still as text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise InputError("--set", shown(text), "NAME=VALUE", "For example: --set n_seeds=5")
    return name.strip(), value.strip()


def fit(name: str, value: Any, default: Any, where: object) -> Any:
    """`value` for a parameter whose default is `default`, of the same type; InputError if it is of another.

    A whole number is a number, too, and so is YAML's 5e-5, which the YAML parser takes for a text.
    Numbers stay below MOST. A default of None accepts anything.
    """
    if default is None:
        return value
    kind = type(default)
    if kind is float and (isinstance(value, str) and value.isascii() or type(value) is int):
        try:
            value = float(value)
        except (ValueError, OverflowError):
            pass
    if kind in (list, tuple) and isinstance(value, list | tuple):
        return [fit(f"{name}[{i}]", v, default[0], where) if default else v for i, v in enumerate(value)]
    if type(value) is not kind or kind in (int, float) and not abs(value) < MOST:
        raise InputError(f"parameter {name} ({where})", shown(value), f"{KINDS[kind]}, such as {default!r}")
    return value


def fit_text(name: str, text: str, default: Any) -> Any:
    """`fit` for a value typed on the command line: YAML, but verbatim where a text is wanted."""
    if isinstance(default, str):
        return text
    value = parse_yaml(text, f"parameter {name} (--set)", "a value in YAML, such as 3, 0.5 or [A, B]")
    return fit(name, value, default, "--set")


def check_names(names: Mapping[str, Any], known: set[str], where: object) -> None:
    """InputError that lists the known names if one is unknown."""
    if unknown := [n for n in names if n not in known]:
        raise InputError(where, "unknown parameter " + ", ".join(unknown), "one of " + ", ".join(sorted(known)))
