"""The seal of a dataset file: what its episodes were when it was written, compared with what is read of them.

Reading makes the digest of each episode anyway (`Data.digests`), so the comparison costs nothing, whatever is read: all
of the file, or its first episodes. The seal is in attributes, which other tools do not see, BATCH digests each, since
an attribute holds 64 kB at most; `sealed` is the digest of them all and of what the file says of itself. A file without
a seal, of another tool or of an earlier version, is not compared.
"""

from collections.abc import Sequence
from pathlib import Path

import h5py

from lewm_core.utils.files import digest
from lewm_core.utils.sealed import Damaged

BATCH = 2000
SEAL, DIGESTS, MADE = "sealed", "digests_{}", "made"
REMEDY = ("Delete it and make it again: in a study, ./run_all.sh with the same options does. If it was changed on "
          "purpose, lewm_core.dataset.seal.remove takes the seal away.")


def write(f: h5py.File, digests: Sequence[str]) -> None:
    """Seal a file whose content has these digests, one an episode. `made` is written by then."""
    for start in range(0, len(digests), BATCH):
        f.attrs[DIGESTS.format(start)] = "".join(digests[start : start + BATCH])
    f.attrs[SEAL] = _digest(f, digests)


def remove(path: str | Path) -> None:
    """Take the seal away, for whoever changes a file on purpose."""
    with h5py.File(path, "r+") as f:
        for name in [name for name in f.attrs if name == SEAL or name.startswith(DIGESTS.format(""))]:
            del f.attrs[name]


def read(path: str | Path, f: h5py.File) -> tuple[str, ...]:
    """The digests in a file's seal, one an episode; none where it has no seal. Damaged where the seal is."""
    try:
        parts = [str(f.attrs[name]) for name in sorted(f.attrs, key=_start) if name.startswith(DIGESTS.format(""))]
        if SEAL not in f.attrs and not parts:
            return ()
        text, size = "".join(parts), len(digest())
        digests = tuple(text[i : i + size] for i in range(0, len(text), size))
        whole = f.attrs.get(SEAL) == _digest(f, digests) and len(digests) == len(f["ep_len"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):  # what h5py raises for damaged attributes
        whole = False
    if not whole:
        raise Damaged(path, "a seal, or attributes, other than were written", remedy=REMEDY)
    return digests


def check(path: str | Path, written: Sequence[str], found: Sequence[str], first: int = 0) -> None:
    """Damaged, naming file and episode, where an episode is not what was written.

    written: of the whole file, as from `read`. found: of what was read, from episode number `first` on.
    """
    for i, (now, then) in enumerate(zip(found, written[first:], strict=False), first):
        if now != then:
            raise Damaged(f"{path}, episode number {i}", remedy=REMEDY)


def _digest(f: h5py.File, digests: Sequence[str]) -> str:
    return digest(str(f.attrs.get(MADE, "")), *digests)


def _start(name: str) -> int:
    text = name.rpartition("_")[2]
    return int(text) if text.isdecimal() else -1
