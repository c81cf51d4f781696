"""What befalls bytes and files of any format: flipped bits, lost parts, extreme numbers, something else instead."""

import os
import re
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.fuzz.cases import Damage, Mutation, Place

EXTREMES = (0, 1, -1, 2**7 - 1, 2**7, 2**15 - 1, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**62, 2**63 - 1)


def files(place: Place, *suffixes: str) -> dict[str, list[Path]]:
    """The input's files by kind: those whose names differ in digits only are of one kind."""
    found: dict[str, list[Path]] = {}
    for path in sorted(place.folder.rglob("*")):
        if path.is_file() and (not suffixes or path.name.endswith(suffixes)):
            found.setdefault(re.sub("[0-9a-f]{16}|[0-9]+", "#", path.name), []).append(path)
    return found


def pick(place: Place, *suffixes: str) -> Path:
    """A file at random, each kind of file as often as any other."""
    kinds = files(place, *suffixes)
    if not kinds:
        raise LookupError(f"no file {suffixes} in {place.folder}")
    return place.one(kinds[place.one(sorted(kinds))])


def named(place: Place, path: Path, what: str, forged: bool = False) -> Damage:
    name = path.relative_to(place.folder).as_posix()
    return Damage(f"{name}: {what}", (name,), forged)


def position(place: Place, size: int) -> int:
    """A byte of a file: as often near its start or its end, where formats keep their structure, as anywhere."""
    low, high = place.one(((0, 16), (0, 512), (-64, 0), (-2048, 0), (0, size)))
    low, high = max(0, low + size if low < 0 else low), size if high == 0 else min(size, high)
    return int(place.rng.integers(low, max(high, low + 1)))


def of_bytes(change: Callable[[Place, bytearray], str]) -> Mutation:
    """A mutation of one file's bytes in place; `change` says what it did."""

    def mutate(place: Place) -> Damage:
        path = pick(place)
        data = bytearray(path.read_bytes()) or bytearray(b"\0")
        what = change(place, data)
        path.write_bytes(data)
        return named(place, path, what)

    return mutate


def _flip(place: Place, data: bytearray, n: int = 1) -> str:
    places = [position(place, len(data)) for _ in range(n)]
    for at in places:
        data[at] ^= 1 << int(place.rng.integers(8))
    return f"{n} bits flipped, the first in byte {places[0]}"


def _insert(place: Place, data: bytearray) -> str:
    at, new = position(place, len(data)), place.rng.bytes(int(place.rng.integers(1, 64)))
    data[at:at] = new
    return f"{len(new)} bytes put in at byte {at}"


def _delete(place: Place, data: bytearray) -> str:
    at, n = position(place, len(data)), int(place.rng.integers(1, 64))
    del data[at : at + n]
    return f"{n} bytes taken out at byte {at}"


def _cut(place: Place, data: bytearray) -> str:
    at = position(place, len(data))
    del data[at:]
    return f"cut at byte {at}"


def _zero(place: Place, data: bytearray) -> str:
    at, n = position(place, len(data)), int(2 ** place.rng.integers(2, 13))
    n = min(n, len(data) - at)
    data[at : at + n] = bytes(n)
    return f"{n} zeros from byte {at}"


def _extreme(place: Place, data: bytearray) -> str:
    at, width = position(place, len(data)), place.one((1, 2, 4, 8))
    value = place.one(EXTREMES)
    order = place.one("<>")
    packed = struct.pack(order + "Q", value % 2**64)
    packed = packed[:width] if order == "<" else packed[-width:]
    data[at : at + width] = packed
    return f"{value} as {order}{width} at byte {at}"


def _splice(place: Place, data: bytearray) -> str:
    n = int(2 ** place.rng.integers(2, 10))
    source, target = position(place, len(data)), position(place, len(data))
    data[target : target + n] = data[source : source + n]
    return f"{n} bytes from {source} at {target}"


def _replaced(content: Callable[[Place], bytes], what: str) -> Mutation:
    def mutate(place: Place) -> Damage:
        path = pick(place)
        path.write_bytes(content(place))
        return named(place, path, what)

    return mutate


def within(part: str, mutations: dict[str, Mutation]) -> dict[str, Mutation]:
    """The mutations, of files in one folder of the input only."""
    return {name: lambda place, mutate=mutate: mutate(replace(place, part=part)) for name, mutate in mutations.items()}


BYTES = {
    "flip": of_bytes(_flip), "flips": of_bytes(lambda p, d: _flip(p, d, 12)), "insert": of_bytes(_insert),
    "delete": of_bytes(_delete), "cut": of_bytes(_cut), "zero": of_bytes(_zero), "extreme": of_bytes(_extreme),
    "splice": of_bytes(_splice), "empty": _replaced(lambda _: b"", "empty"),
    "noise": _replaced(lambda p: p.rng.bytes(1000), "noise"),
    "page": _replaced(lambda _: b"<!DOCTYPE html><html><body>404</body></html>", "a web page"),
}


def instead(make: Callable[[Place, Path], str]) -> Mutation:
    """A mutation that puts something else where a file was; `make` says what."""

    def mutate(place: Place) -> Damage:
        path = pick(place)
        kept = path.with_name("moved away")
        path.rename(kept)
        what = make(place, path)
        kept.unlink()
        return named(place, path, what, forged=True)

    return mutate


def _sparse(_: Place, path: Path) -> str:
    with open(path, "wb") as f:
        f.write(path.with_name("moved away").read_bytes())
        f.truncate(2**41)
    return "2 TB long, all but its start empty"


def _grown(place: Place, path: Path) -> str:
    path.write_bytes(path.with_name("moved away").read_bytes() + place.rng.bytes(5_000_000))
    return "5 MB behind its end"


def _folder(_: Place, path: Path) -> str:
    (path / "in it").mkdir(parents=True)
    return "a folder of that name"


def _linked(target: str) -> Callable[[Place, Path], str]:
    def make(_: Place, path: Path) -> str:
        path.symlink_to(target.format(name=path.name))
        return f"a link to {target}"

    return make


def _pipe(_: Place, path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe"


def _swap(place: Place) -> Damage:
    """Two files of one kind change places; where there is but one, with one of another kind."""
    one = pick(place)
    same = [p for group in files(place).values() if one in group for p in group if p != one]
    other = place.one(same) if same else pick(place)
    between = one.with_name("between")
    one.rename(between)
    if other != one:
        other.rename(one)
    between.rename(other)
    damage = named(place, one, f"swapped with {other.relative_to(place.folder)}", forged=True)
    return damage._replace(files=(*damage.files, other.relative_to(place.folder).as_posix()))


def _twice(place: Place) -> Damage:
    """A file once more beside itself, under a higher number or another name."""
    path = pick(place)
    number = re.search("[0-9]+", path.stem)
    stem = path.stem[: number.start()] + str(int(number[0]) + 1).zfill(len(number[0])) + path.stem[number.end() :] \
        if number else path.stem + " (copy)"
    shutil.copy(path, path.with_name(stem + path.suffix))
    return named(place, path, f"also as {stem + path.suffix}", forged=True)


def _odd_names(place: Place) -> Damage:
    """Files and folders with names that nobody expects, beside a file."""
    path = pick(place)
    for name in ("a\nb", "\x1b[31mred", "~", "%00", "ü" * 100, "-rf", "$x^{", "<img src=x onerror=alert(1)>"):
        (path.parent / name).write_bytes(b"odd")
        shutil.copy(path, path.parent / (name + path.suffix))
    return named(place, path, "odd names beside it", forged=True)


FILES = {
    "missing": instead(lambda *_: "missing"), "folder": instead(_folder), "pipe": instead(_pipe),
    "zero device": instead(_linked("/dev/zero")), "dead link": instead(_linked("nowhere")),
    "own link": instead(_linked("{name}")), "sparse": instead(_sparse), "grown": instead(_grown),
    "swapped": _swap, "twice": _twice, "odd names": _odd_names,
}
