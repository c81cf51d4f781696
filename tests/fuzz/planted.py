"""Faults that are planted, to see that the judge tells each: a mutation is named by the outcome that it must have."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from lewm_core.utils.errors import InputError
from tests.fuzz.cases import OUTCOMES, Damage, Found, Mutation, Place

ALSO = {"allocation": "memory", "waits": "hang", "worker": "hang", "control": "unclear", "lost": "silent"}


def make(folder: Path) -> None:
    (folder / "plant").write_text("ok")
    (folder / "signed").write_text("")


def door(folder: Path, work: Path) -> Found:
    """Does what the file says."""
    plant, root = (folder / "plant").read_text(), folder.parent
    same, file = {"a": "1", "b": "2"}, str(folder / "plant")
    if plant == "traceback":
        raise ZeroDivisionError
    if plant == "error":
        raise InputError(file, "a", "b")
    if plant == "unclear":
        raise InputError("something", "a", "b")
    if plant == "control":
        return Found({}, {"": f"{file}: \x1b[2J"})
    if plant == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if plant == "memory":
        np.ones(2**31 + 2**28, np.uint8)
    if plant == "allocation":
        np.ones(2**50)
    if plant == "executed":
        (root / "canary").touch()
    if plant == "outside":
        (root / "outside" / "bait").read_text()
    if plant == "left":
        (work / f".result.{os.getpid()}.json").touch()
        raise InputError(file, "a", "b")
    if plant == "waits":
        time.sleep(1000)
    if plant == "worker" and os.fork():
        os.wait()
    while plant in ("hang", "worker"):
        pass
    if plant == "lost":
        return Found({"a": "1"}, {})
    changed = {"silent": "other", "unsigned": "other", "redone": "redone"}
    return Found(same | {"b": changed.get(plant, "2")}, {})


def _plant(name: str) -> Mutation:
    def mutate(place: Place) -> Damage:
        (place.folder / "plant").write_text(name)
        if name == "broken":
            raise LookupError
        (place.outside / "bait").write_text("bait")
        return Damage(name, ("plant",), name == "unsigned")

    return mutate


PLANTS = {name: _plant(name) for name in (*OUTCOMES, *ALSO)}
