"""Texts that are data: JSON, JSON lines, YAML and CSV with other types, extreme numbers, hostile words and paths."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

from tests.fuzz.cases import Damage, Mutation, Place
from tests.fuzz.damage import named, pick
from tests.hostile import TEXTS as HOSTILE

LOOKALIKES = (  # texts that a reader may take for something else
    "NaN", "-Infinity", "1e400", "null", "yes", "0x10", "2020-13-45", "2020-01-01", "1:30:00", "=1+1", '"', "'", "\\",
    "{", "}", "{{", "}}", "[", "CON", "../..", "\ud800", "é" * 300, "😀" * 200,
    "$\\frac{1}{0}$ \\input{/etc/passwd}", "'; DROP TABLE episodes;--", "%s%n%d{0}{x.__class__}",
    "${HOME} $(touch canary) `touch canary`",
)
TEXTS = ("", *HOSTILE.values(), *LOOKALIKES)
PATHS = (  # templates: {bait} is a file outside the folder
    "{bait}", "../outside/{name}", "../../../../../../etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/environ",
    "/dev/fd/0",
    "data/../../outside/{name}", "//etc//passwd", "file:///etc/passwd", "http://127.0.0.1:9/x", "s3://bucket/x",
    "~root/x",
    "data/{{x.foo}}.parquet", "{{0}}", "{{episode_index.__class__.__mro__}}", "{{episode_index:999999999}}", "{{",
    "}}", "{{!r}}",
    "{{episode_index!r:>1000000000}}", "{{episode_chunk:%s}}", "concat:a|b", "a\0b", "x" * 5000, "", ".", "/",
    "C:\\x", "data/\n.parquet",
)
NUMBERS = (0, -1, 1, 2, 7, 10**5, 10**9, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**30, 0.5, -0.0, 1e300, -1e300,
           5e-324, 1e-40)
RAW = (  # what no parser's value becomes: written into the text as it is
    "NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9" * 5000, "[" * 100_000, '{"a":' * 100_000,
    "[" * 5000 + "]" * 5000,
    '"\\ud800"', '"\\u0000"', "'a'", "1,2", "// no", "0123", "+1", "tru", '{"a":1,"a":2}', "[1,]", "\x00", "\x1b[2J",
)
VALUES = (None, True, False, [], {}, [[]], [None], {"": None}, {"a": {"b": {}}}, ["a", 1, None], *NUMBERS)


def value(place: Place) -> object:
    """A value that was not expected: of another type, a text, or a number."""
    groups = (VALUES, NUMBERS, TEXTS)
    group = groups[place.rng.integers(3)]
    return place.one(group)


def path_like(place: Place, bait: Path | None) -> str:
    """A path that leads out of the folder, or is none. bait: a whole file of the right kind, to be copied out of it."""
    template = place.one(PATHS)
    name = bait.name if bait else "bait"
    target = place.outside / name
    if bait is not None:
        target.write_bytes(bait.read_bytes())
    return template.format(bait=target, name=name)


def nodes(tree: object) -> Iterator[tuple[object, object]]:
    """Every place in a JSON tree: (container, key)."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, child in list(items):
        yield tree, key
        yield from nodes(child)


def changed(place: Place, tree: object, bait: Callable[[], Path | None] = lambda: None) -> tuple[str, str]:
    """A JSON tree with one place changed, as text; and what was done."""
    places = list(nodes(tree))
    what = place.one(("value", "raw", "gone", "renamed", "copied", "path", "number", "top"))
    if not places or what == "top":
        new = place.one(RAW) if place.rng.integers(2) else json.dumps(value(place))
        return new, f"all replaced by {new[:40]!r}"
    holder, key = place.one(places)
    before = holder[key]
    if what == "gone":
        del holder[key]
    elif what == "renamed" and isinstance(holder, dict):
        holder[place.one(TEXTS)] = holder.pop(key)
    elif what == "copied":
        other, at = place.one(places)
        holder[key] = deepcopy(other[at])
    elif what == "path" or isinstance(before, str) and place.rng.integers(2):
        holder[key] = path_like(place, bait())
    elif what == "number":
        holder[key] = place.one(NUMBERS)
    elif what == "raw":
        holder[key] = "@raw@"
        raw = place.one(RAW)
        return json.dumps(tree).replace('"@raw@"', raw), f"{key!r} is {raw[:40]!r}"
    else:
        holder[key] = value(place)
    after = holder.get(key) if isinstance(holder, dict) else ""
    return json.dumps(tree), f"{what}: {key!r} was {str(before)[:40]!r}, is {str(after)[:60]!r}"


def json_value(suffix: str = ".json", bait: str = "") -> Mutation:
    """A mutation of one place in a JSON file. bait: suffix of files of which a copy may lie outside the folder."""

    def mutate(place: Place) -> Damage:
        path = pick(place, suffix)
        text, what = changed(place, json.loads(path.read_text()), lambda: pick(place, bait) if bait else None)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return named(place, path, what, forged=True)

    return mutate


def json_line(suffix: str = ".jsonl") -> Mutation:
    """The same in one line of a file of JSON lines."""

    def mutate(place: Place) -> Damage:
        path = pick(place, suffix)
        lines = path.read_text().splitlines()
        i = int(place.rng.integers(len(lines)))
        lines[i], what = changed(place, json.loads(lines[i] or "null"))
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        return named(place, path, f"line {i + 1}, {what}", forged=True)

    return mutate


def _encoded(place: Place, text: str) -> tuple[bytes, str]:
    codec = place.one(("utf-16", "utf-8-sig", "cp1252", "utf-32", "utf-7"))
    return text.encode(codec, "replace"), f"in {codec}"


def encoding(*suffixes: str) -> Mutation:
    """A text file in another encoding."""

    def mutate(place: Place) -> Damage:
        path = pick(place, *suffixes)
        data, what = _encoded(place, path.read_text(errors="replace"))
        path.write_bytes(data)
        return named(place, path, what)

    return mutate


def csv_cell(*suffixes: str) -> Mutation:
    """A mutation of one cell, row or column of a CSV file."""

    def mutate(place: Place) -> Damage:
        path = pick(place, *(suffixes or (".csv",)))
        rows = list(csv.reader(io.StringIO(path.read_text()))) or [[""]]
        r, c = int(place.rng.integers(len(rows))), int(place.rng.integers(max(1, len(rows[0]))))
        what = place.one(("cell", "row gone", "column gone", "row twice", "ragged", "shuffled", "quote", "header"))
        if what == "row gone":
            del rows[r]
        elif what == "column gone":
            rows = [row[:c] + row[c + 1 :] for row in rows]
        elif what == "row twice":
            rows.append(rows[r])
        elif what == "ragged":
            rows[r] = [*rows[r], "more", "and more"]
        elif what == "shuffled":
            rows = [rows[0], *(rows[i] for i in 1 + place.rng.permutation(len(rows) - 1))]
        elif what in ("cell", "header"):
            r = 0 if what == "header" else r
            rows[r][c : c + 1] = [str(value(place))]
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        text = out.getvalue() + ('"' if what == "quote" else "")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return named(place, path, f"{what} in row {r}, column {c}")

    return mutate


YAML = (
    "!!python/object/apply:os.system ['touch {canary}']", "!!python/name:os.system", "!!binary aGk=", "!!set {{a, b}}",
    "&a [*a]", "*unknown", "2020-01-01", "2020-13-45", "12:30:45", "0o17", "1_000", ".nan", ".inf", "-.inf", "~", "yes",
    "1e400", "9" * 5000, "[" * 2000, "{{a: " * 2000, "? [a, b]\n: c", "- a\n- b", "|\n  text", "\t", "%YAML 9.9",
    "---\n...\n---", "<<: 1", "\x00", "\ud800".encode("utf-8", "surrogatepass").decode("latin1"), "!!float abc",
    "!!int ''", "!!timestamp x", "[1, 2", "'", '"\\x"', "0x" + "f" * 5000, "{{1: 2, [3]: 4}}", "!!omap [a: 1]", "null",
    "{{}}", "''", "&x [a,a,a,a,a,a,a,a]" + "".join(f"\n{new}: &{new} [{f'*{old},' * 8}]" for old, new in zip("xabcdef",
                                                                                                    "abcdefg",
                                                                                                    strict=True)),
)


def yaml_value(place: Place) -> Damage:
    """A mutation of one parameter's value in a YAML file, or of the whole."""
    path = pick(place, ".yaml")
    lines = path.read_text().splitlines()
    at = [i for i, line in enumerate(lines) if ":" in line and not line.startswith(("#", " "))]
    new = place.one(YAML).format(canary=place.canary) if place.rng.integers(2) \
        else json.dumps(value(place))
    if at and place.rng.integers(5):
        i = place.one(at)
        name = lines[i].split(":")[0]
        lines[i] = f"{name}: {new}"
        what = f"{name} is {new[:40]!r}"
    else:
        lines, what = [new], f"all is {new[:40]!r}"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return named(place, path, what, forged=True)


YAML_FILE = {"value": yaml_value, "value again": yaml_value, "encoding": encoding(".yaml")}
