"""Hostile tables and videos of LeRobot datasets."""

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.cases import Damage, Place
from tests.fuzz.damage import named, pick
from tests.fuzz.documents import NUMBERS, TEXTS
from tests.fuzz.pictures import picture


def text(place: Place) -> str:
    return place.one(TEXTS)


def _column(place: Place, table: pa.Table, name: str) -> tuple[pa.Table, str]:
    """A table with one column of other values."""
    n, old = len(table), table[name].to_pylist()
    number = place.one(NUMBERS)
    odd = (lambda: pa.array([None] * n), lambda: pa.array([text(place)[:100].replace("\ud800", "")] * n),
           lambda: pa.array([[]] * n),
           lambda: pa.array([float(number)] * n), lambda: pa.array([[float("nan")] * 7] * n),
           lambda: pa.array([[float("inf")] * 7] * n),
           lambda: pa.array([[float(number)] * 7] * n), lambda: pa.array([{"a": 1}] * n),
           lambda: pa.array([b"\xff\xd8"] * n),
           lambda: pa.array(old[::-1]), lambda: pa.array([old[0]] * n), lambda: pa.array([[old[0]]] * n),
           lambda: pa.nulls(n),
           lambda: pa.array([-1] * n), lambda: pa.array([2**62] * n), lambda: pa.array([True] * n))
    i = int(place.rng.integers(len(odd)))
    return table.set_column(table.column_names.index(name), name, odd[i]()), f"{name}, way {i}"


def _table(place: Place) -> Damage:
    path = pick(place, ".parquet")
    table = pq.read_table(path, partitioning=None)
    what = place.one(("column", "column", "column", "rows", "gone", "renamed", "long", "twice", "schema"))
    name = place.one(table.column_names)
    if what == "column":
        table, name = _column(place, table, name)
    elif what == "rows":
        table = table.slice(0, int(place.rng.integers(len(table))))
    elif what == "gone":
        table = table.drop([name])
    elif what == "renamed":
        table = table.rename_columns([text(place)[:50].replace("\ud800",
                                                               "") if c == name else c for c in table.column_names])
    elif what == "long":  # 10^8 equal numbers are a few bytes
        table = pa.table({c: pa.repeat(table[c][0], 40_000_000 if c == name else 0).slice(0, 40_000_000)
                          if c == name else pa.nulls(40_000_000) for c in (name,)})
    elif what == "twice":
        table = table.append_column(name, table[name])
    else:
        table = table.replace_schema_metadata({b"ARROW:schema": place.rng.bytes(100), b"huggingface": b"{" * 1000})
    pq.write_table(table, path)
    return named(place, path, f"{what}: {name}", forged=True)


VIDEOS = {
    "a playlist": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\nfile://{bait}\n#EXT-X-ENDLIST\n",
    "a list of files": b"ffconcat version 1.0\nfile '{bait}'\n",
    "a relative list": b"ffconcat version 1.0\nfile ../../../../outside/bait.mp4\n",
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "MPD": b"<?xml version='1.0'?><MPD>"
    b"<Period><BaseURL>file://{bait}</BaseURL></Period></MPD>",
    "subtitles": b"1\n00:00:00,000 --> 00:00:09,000\nhello\n",
    "an image list": b"ffconcat version 1.0\nfile %d.png\n", "raw": bytes(100_000),
}


def _video(place: Place) -> Damage:
    path = pick(place, ".mp4")
    bait = place.outside / "bait.mp4"
    bait.write_bytes(path.read_bytes())
    known = list(VIDEOS)
    i = int(place.rng.integers(len(known) + 1))
    if i < len(known):
        path.write_bytes(VIDEOS[known[i]].replace(b"{bait}", str(bait).encode()))
        return named(place, path, known[i], forged=True)
    data, what = picture(place)
    path.write_bytes(data)
    return named(place, path, f"a picture: {what}", forged=True)


LEROBOT = {"table": _table, "table again": _table, "video": _video}
