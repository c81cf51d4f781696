"""Hostile content in well-formed recordings: BridgeData's raw folders, arrays and records."""

import io
import pickle
import struct
from collections.abc import Callable

import numpy as np

from tests import bridge_fixtures as bridge
from tests.fuzz import inputs
from tests.fuzz.cases import Damage, Mutation, Place
from tests.fuzz.damage import named, pick
from tests.fuzz.documents import NUMBERS, TEXTS
from tests.fuzz.pickles import bomb, gadget, odd_numbers
from tests.fuzz.pictures import picture


def text(place: Place) -> str:
    return place.one(TEXTS)


def _encoded(words: str) -> bytes:
    return words.encode("utf-8", "surrogatepass")


# --- the raw release ---------------------------------------------------------------------------------------------

def _pickled(make: Callable[[Place, bytes], tuple[bytes, str]]) -> Mutation:
    """A mutation of a pickle file; `make` gets what was in it."""

    def mutate(place: Place) -> Damage:
        path = pick(place, "obs_dict.pkl", "policy_out.pkl", "content.pkl")
        data, what = make(place, path.read_bytes())
        path.write_bytes(data)
        return named(place, path, what, forged=True)

    return mutate


def _bomb_inside(place: Place, before: bytes) -> tuple[bytes, str]:
    code, name = bomb(place)
    return b"}X\x0a\0\0\0full_state" + code[:-1] + b"s.", f"{name} as full_state"


def _numbers(place: Place, before: bytes) -> tuple[bytes, str]:
    content = pickle.loads(before)  # ours
    protocol = int(place.rng.integers(6))
    if isinstance(content, dict):
        content["full_state"], what = odd_numbers(place.rng, np.asarray(content["full_state"]))
    else:
        rows = [step["actions"] if isinstance(step, dict) else step for step in content]
        content, what = odd_numbers(place.rng, np.asarray(rows))
    return pickle.dumps(content, protocol), f"{what}, protocol {protocol}"


def _one_picture(place: Place) -> Damage:
    path = pick(place, ".jpg")
    data, what = picture(place)
    for file in path.parent.iterdir() if place.rng.integers(2) else [path]:
        file.write_bytes(data)
    return named(place, path, what, forged=True)


def _instruction(place: Place) -> Damage:
    path, words = pick(place, "lang.txt"), text(place)
    path.write_bytes(_encoded(words))
    return named(place, path, repr(words[:40]), forged=True)


PICKLES = {
    "gadget": _pickled(lambda place, before: gadget(place, before)), "bomb": _pickled(lambda place, _: bomb(place)),
    "bomb inside": _pickled(_bomb_inside), "numbers": _pickled(_numbers),
}
RAW = {**PICKLES, "picture": _one_picture, "text": _instruction}


# --- the numpy form ----------------------------------------------------------------------------------------------

HEADERS = (
    "{'descr': '|O', 'fortran_order': False, 'shape': (1099511627776,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (-1,), }",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '|O', 'fortran_order': True, 'shape': (2, 1), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': 'x', }",
    "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2,), }",
    "{'descr': '|S2147483647', 'fortran_order': False, 'shape': (9,), }", "[" * 300, "1" * 9000, "__import__('os')",
    "{}", "", "\n",
    "{'descr': '|O', 'fortran_order': False, 'shape': (1" + "0" * 5000 + ",), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2.0,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (True,), }",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2,), 'more': " + "(" * 90 + ")" * 90 + ", }", "-" * 5000 + "1",
)


def npy(header: str, data: bytes, version: int = 1) -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + b"\n" + data


def _objects(place: Place) -> Damage:
    """An out.npy whose pickle, numbers, pictures or header are hostile."""
    path = pick(place, ".npy")
    before = path.read_bytes()
    start = before.index(b"\n") + 1
    plain = "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"
    what = place.one(("gadget", "bomb", "row", "header", "version", "numbers", "picture"))
    if what == "gadget":
        data, more = gadget(place, before[start:])
        new = npy(plain, data)
    elif what == "bomb":
        data, more = bomb(place)
        new = npy(plain, data)
    elif what == "row":  # the row of objects itself has another state
        code, more = bomb(place)
        new = npy(plain, b"(" + code[:-1] + code[:-1] + b"l.")
    elif what == "header":
        more = place.one(HEADERS)
        new = npy(more, before[start:])
    elif what == "version":
        more = str(place.rng.integers(6))
        new = npy(plain, before[start:], int(more))
    else:
        new, more = _trajectories(place, what)
    path.write_bytes(new)
    return named(place, path, f"{what} {more[:80]}", forged=True)


def _trajectories(place: Place, what: str) -> tuple[bytes, str]:
    made = [bridge.trajectory(inputs._square(i)) for i in range(2)]
    if what == "numbers":
        step = made[0]["observations"][1]
        step["state"], more = odd_numbers(place.rng, np.asarray([step["state"]]))
        if place.rng.integers(2):
            made[1]["actions"], more = odd_numbers(place.rng, np.asarray(made[1]["actions"]))
    else:
        odd = (np.zeros((24, 24, 3), np.float32), np.zeros((24, 24), np.uint8), np.zeros((0, 0, 3), np.uint8), None,
               "text",
               np.zeros((24, 24, 4), np.uint8), np.zeros((1, 1, 3), np.uint8), np.zeros((2, 5000, 3), np.uint8),
               b"\xff\xd8\xff",
               np.broadcast_to(np.uint8(7), (24, 24, 3)), [[[1, 2, 3]]], np.zeros((24, 24, 3), np.int64), {"a": 1},
               picture(place)[0])
        i = int(place.rng.integers(len(odd)))
        made[0]["observations"][1]["images0"], more = odd[i], f"{i}: {type(odd[i]).__name__}"
    out, row = io.BytesIO(), np.empty(2, object)
    row[:] = made
    np.save(out, row)
    return out.getvalue(), more


NUMPY = {"objects": _objects, "objects again": _objects, "and again": _objects}


# --- records -----------------------------------------------------------------------------------------------------

def _record(prefix: str) -> Mutation:
    """A shard with right checksums and one episode of hostile content."""

    def mutate(place: Place) -> Damage:
        path, rng, t = pick(place, *(f"-of-{n:05d}" for n in (1, 2))), np.random.default_rng(9), 5
        make = bridge.episode if prefix == "bridge_dataset" else bridge.openx_episode
        names = {"image": "image_0", "state": "state", "text": "language_instruction", "action": "action"}
        if make is bridge.openx_episode:
            names |= {"image": "image", "text": "natural_language_instruction", "action": "world_vector"}
        what = place.one(("image", "state", "text", "action", "absent", "message"))
        data, more = b"", ""
        if what == "image":
            one, more = picture(place)
            plain = [bridge.jpeg(p) for p in rng.integers(256, size=(t, 8, 8, 3), dtype=np.uint8)]
            data = bridge.example(make(rng, t, **{names[what]: [one,
                                                                *plain[1:]] if place.rng.integers(2) else [one] * t}))
        elif what in ("state", "action"):
            number = np.float32(place.one(NUMBERS))
            values = place.one((np.full(t * 7, number, np.float32), np.full(t * 7, np.nan, np.float32),
                      np.full(t * 7, np.inf, np.float32),
                      np.zeros(0, np.float32), np.zeros(3, np.float32), [1] * t * 7, [b"x"] * t))
            data, more = bridge.example(make(rng, t, **{names[what]: values})), str(values)[:60]
        elif what == "text":
            more = text(place)
            data = bridge.example(make(rng, t, **{names[what]: [_encoded(more)] * t}))
        elif what == "absent":
            more = list(names.values())[place.rng.integers(4)]
            data = bridge.example(make(rng, t, **{more: None}))
        else:
            messages = {"nothing": b"", "groups": b"\x0b" * 100_000, "deep": _deep(5000),
                        "long": b"\x0a\xff\xff\xff\xff\x0f",
                        "unknown": b"\xfa\x7f\x05hello", "two": bridge.example(make(rng, t)) * 2,
                        "noise": rng.bytes(500),
                        "many": bridge.example({"steps/is_first": [0] * 10**6})}
            more = place.one(list(messages))
            data = messages[more]
        path.write_bytes(bridge.record(data))
        return named(place, path, f"{what}: {more[:60]!r}", forged=True)

    return mutate


def _deep(n: int) -> bytes:
    data = b""
    for _ in range(n):
        data = bridge.field(1, data)
    return data


RLDS = {"record": _record("bridge_dataset"), "record again": _record("bridge_dataset")}
OPENX = {"record": _record("bridge"), "record again": _record("bridge")}
