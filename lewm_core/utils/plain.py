"""JSON and YAML as strangers write it: plain values only, of bounded size and depth.

Text, numbers, true, false, null, lists and mappings with text keys come out; whatever else the formats have (dates,
sets, bytes, aliases, which a few lines can multiply without end) is refused.
"""

import json
import math
from pathlib import Path
from typing import Any

import yaml

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

MOST_BYTES = 16_000_000  # of a file
MOST_DEPTH = 100  # of lists and mappings in each other


class _Loader(yaml.SafeLoader):
    """YAML without aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias (*name)")
        return super().compose_node(parent, index)


# 2020-12-01 is a text, and so is 2020-13-45, for which PyYAML would find no date.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def parse_json(text: str | bytes, where: object, expected: str = "JSON") -> Any:
    """The value of a JSON text; InputError where it is none, or too deep."""
    try:
        return _plain(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InputError(where, _reason(error), expected) from None


def parse_yaml(text: str, where: object, expected: str = "YAML") -> Any:
    """The value of a YAML text; InputError where it is none, too deep, or more than plain values and finite numbers."""
    try:
        return _plain(yaml.load(text, _Loader), finite=True)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, AttributeError, LookupError) as error:  # PyYAML's
        raise InputError(where, _reason(error), expected) from None


def read_json(path: str | Path, expected: str = "a JSON file", most: int = MOST_BYTES) -> Any:
    """The value in a JSON file; InputError where there is no such file, or none that can be read."""
    try:
        content = regular(path, most).read_bytes()
    except OSError as error:
        raise InputError(path, f"that it cannot be read ({error.strerror})", expected) from None
    return parse_json(content, path, expected)


def read_object(path: str | Path, expected: str = "a JSON object", most: int = MOST_BYTES) -> dict[str, Any]:
    """`read_json` of a file that holds an object; InputError for any other value."""
    value = read_json(path, expected, most)
    if not isinstance(value, dict):
        raise InputError(path, f"a {type(value).__name__}", expected)
    return value


def shown(value: object, most: int = 80) -> str:
    """`repr` for an error: a long one is cut."""
    try:
        return cut(repr(value), most)
    except ValueError:  # an integer of thousands of digits
        return f"a {type(value).__name__} that is too long to be shown"


def cut(text: str, most: int = 200) -> str:
    """A text for an error: a long one is cut."""
    return text if len(text) <= most else f"{text[:most]}…"


def _plain(value: Any, finite: bool = False) -> Any:
    """`value`; ValueError unless it holds plain values only (finite: no NaN or infinity), in MOST_DEPTH levels or less.
    """
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict | list) and depth >= MOST_DEPTH:
                raise ValueError(f"lists or mappings in each other, more than {MOST_DEPTH} deep")
            if isinstance(item, dict):
                if odd := [key for key in item if not isinstance(key, str | int | float | bool | None)]:
                    raise ValueError(f"a {type(odd[0]).__name__} as a key")
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif not isinstance(item, str | int | float | bool | None):
                raise ValueError(f"a {type(item).__name__}")
            elif finite and isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"the number {item}")
        level, depth = below, depth + 1
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "lists or mappings in each other, too deep to be read"
    return cut(" ".join(str(error).split())) or type(error).__name__
