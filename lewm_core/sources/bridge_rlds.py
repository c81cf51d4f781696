"""BridgeData V2 in its RLDS/TFDS forms: one record of a TFRecord shard is one episode.

The release, `bridge_dataset/1.0.0/bridge_dataset-{train,val}.tfrecord-00000-of-0NNNN` (`Bridge`): per step a JPEG from
each of four cameras, `state` and `action` (7 numbers each, 5 Hz) and `language_instruction`. A camera that was not
there has constant pictures; the `has_image` flags do not tell (they are 0 in published shards that have pictures).

The older copy in Open X-Embodiment, `bridge/0.1.0/bridge-{train,test}.tfrecord-00000-of-0NNNN` (`BridgeOpenX`): one
camera of 480x640 pixels, the action in parts, the gripper as a truth value (1 is open).
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lewm_core.sources import tfrecord
from lewm_core.sources.bridge_base import Recordings, Stored
from lewm_core.sources.episode import IMAGE_SIZE
from lewm_core.sources.listing import listed, number_in
from lewm_core.utils.errors import InputError, OnError
from lewm_core.utils.files import regular

_MOST_INFO = 2**24  # bytes of a dataset_info.json
_SHARD = r"-(\w+)\.tfrecord-(\d{5,})-of-(\d{5,})"


class _Feature(NamedTuple):
    name: str
    kind: str  # of list in the record
    count: int  # values a step


class Bridge(Recordings):
    """Episodes of `bridge_dataset` shards, in the order of their files' names.

    Ids are `<split>-<shard>-<number in shard>`, such as `train-00000-0007`. Opening reads no shard; `infos` and
    `load` read those they need. Damage to a record's data or a fault in its content concerns that episode alone;
    damage to a file's structure (a length, the file's end) concerns the rest of that file.

    `path` may also be one shard; it is the folder of the shards or at most two levels above. InputError for shards in
    several folders, or of two partitions of one split.
    """

    name = "bridge"
    prefix, version = "bridge_dataset", "1.0.0"
    _image = "steps/observation/image_{}"
    _actions = (_Feature("steps/action", "float_list", 7),)
    _state = _Feature("steps/observation/state", "float_list", 7)
    _instruction = _Feature("steps/language_instruction", "bytes_list", 1)

    def __init__(self, path: str | Path, image_size: int = IMAGE_SIZE, camera: int = 0):
        super().__init__(path, image_size, camera)
        self._shards = _find_shards(self.root, self.prefix)
        self._lengths = _declared_lengths(next(iter(self._shards.values())).parent, self.prefix)
        self._index: dict[str, tuple[list[tfrecord.Span], InputError | None]] = {}

    def _content(self) -> Iterable[str]:
        """Every record's stored length and checksum, with the shards' names: 16 bytes a record are read.

        Since `load` refuses data that do not fit their checksum, the same fingerprint means the same episodes or an
        error, never others.
        """
        for shard, path in self._shards.items():
            spans, damage = self._records(shard)
            yield from (path.name, repr([(s.length, s.crc) for s in spans]), damage.found if damage else "")

    def ids(self, on_error: OnError | None = None) -> Iterator[str]:
        for shard in self._shards:
            spans, damage = self._records(shard)
            yield from (f"{shard}-{number:04d}" for number in range(len(spans)))
            if damage is not None:
                if on_error is None:
                    raise damage
                on_error(shard, damage)

    def _records(self, shard: str) -> tuple[list[tfrecord.Span], InputError | None]:
        """The shard's records, and what is wrong with the file after the last of them."""
        if shard not in self._index:
            path = self._shards[shard]
            spans, damage = tfrecord.scan(path)
            declared = self._lengths.get(path.name)
            if damage is None and not spans:
                damage = InputError(path, "an empty file", "records", "Download or copy the file again.")
            elif damage is None and declared not in (None, len(spans)):
                damage = InputError(path, f"{len(spans)} episodes", f"{declared} as dataset_info.json says",
                                    "Download or copy the file again.")
            self._index[shard] = spans, damage
        return self._index[shard]

    def _find(self, id: str) -> tuple[Path, int]:
        """File and byte offset of an episode; InputError for an unknown id."""
        shard, _, number = id.rpartition("-")
        if shard not in self._shards:
            raise InputError("episode id", repr(id), f"an episode of {listed(list(self._shards))}, such as "
                             f"{next(iter(self._shards))}-0000")
        spans, damage = self._records(shard)
        if number_in(number) not in range(len(spans)):
            if damage is not None:
                raise damage
            raise InputError("episode id", repr(id), f"{shard}-0000 to {shard}-{len(spans) - 1:04d}")
        return self._shards[shard], spans[int(number)].offset

    def _where(self, id: str) -> str:
        path, offset = self._find(id)
        return f"{path}, byte {offset}, episode {id}"

    def _features(self, id: str):
        path, offset = self._find(id)
        return tfrecord.parse(tfrecord.read(path, offset), self._where(id)).features.feature

    def _read(self, id: str) -> Stored:
        """The stored episode; its features are there and their lengths agree, or an InputError lists what is not."""
        features, where = self._features(id), self._where(id)
        image = _Feature(self._image.format(self.camera), "bytes_list", 1)
        wanted = (image, *self._actions, self._state, self._instruction)
        missing = [f for f in wanted if f.name not in features or not features[f.name].HasField(f.kind)]
        if missing:
            absent, there = ", ".join(f"{f.name} ({f.kind})" for f in missing), ", ".join(sorted(features))
            raise InputError(where, f"no {absent} among the features {there}",
                             f"the features of {self.prefix} {self.version}")
        values = {f: getattr(features[f.name], f.kind).value for f in wanted}
        t = len(values[image])
        expected = {f: max(t, 1) if f is image else t * f.count for f in wanted}
        wrong = [f for f in wanted if len(values[f]) != expected[f]]
        if wrong:
            counts = ", ".join(f"{len(values[f])} values of {f.name}" for f in wrong)
            raise InputError(where, f"{t} frames with {counts}", ", ".join(f"{expected[f]} of {f.name}" for f in wrong))
        text = values[self._instruction][0]
        try:
            task = text.decode()
        except UnicodeDecodeError as e:
            raise InputError(f"{where}, {self._instruction.name}", repr(text), "UTF-8 text") from e
        actions = np.concatenate([np.array(values[f], np.float32).reshape(t, -1) for f in self._actions], 1)
        return Stored(list(values[image]), actions, np.array(values[self._state], np.float32).reshape(t, -1), task)

    def _pictures(self, id: str, camera: int) -> Sequence[bytes]:
        features, name = self._features(id), self._image.format(camera)
        return features[name].bytes_list.value if name in features else ()


class BridgeOpenX(Bridge):
    """Episodes of Open X-Embodiment's `bridge` shards. All is as with Bridge, but for the layout and one camera.

    Pictures of 480x640 pixels are squashed to squares. Steps are taken as they are stored, the first one with its zero
    action among them.
    """

    name, cameras, squash = "bridge-openx", 1, True
    prefix, version = "bridge", "0.1.0"
    _image = "steps/observation/image"
    _actions = (_Feature("steps/action/world_vector", "float_list", 3),
                _Feature("steps/action/rotation_delta", "float_list", 3),
                _Feature("steps/action/open_gripper", "int64_list", 1))
    _instruction = _Feature("steps/observation/natural_language_instruction", "bytes_list", 1)


def shard_files(path: Path, prefix: str) -> Iterator[Path]:
    """The shards of `prefix` that `path` is, or that lie in it or at most two levels below; unsorted.

    Unfinished downloads carry a suffix behind the shard's name: they are no shards yet.
    """
    name, pattern = re.compile(prefix + _SHARD), f"{prefix}-*.tfrecord-*"
    for level in ("", "*/", "*/*/"):
        candidates = [path] if path.is_file() else path.glob(level + pattern)
        files = [f for f in candidates if f.is_file() and name.fullmatch(f.name)]
        if files:
            yield from files
            return


def _find_shards(path: Path, prefix: str) -> dict[str, Path]:
    """`<split>-<shard>` → file, sorted."""
    files = sorted(shard_files(path, prefix))
    folders = sorted({str(f.parent) for f in files})
    if len(folders) > 1:
        raise InputError(path, f"shards in {listed(folders)}", "shards in one folder", "Give one of these folders.")
    shards, partitions = {}, {}
    for file in files:
        split, number, count = re.fullmatch(prefix + _SHARD, file.name).groups()
        if partitions.setdefault(split, count) != count:
            raise InputError(file.parent, f"{split} shards of {partitions[split]} and of {count}",
                             "one partition of each split", "Move one of them elsewhere.")
        shards[f"{split}-{number}"] = file
    return shards


def _declared_lengths(folder: Path, prefix: str) -> dict[str, int]:
    """Shard file name → number of episodes, from the folder's dataset_info.json; empty where it is absent or silent.

    It tells of a shard that was cut exactly between two records, which nothing in the file itself does.
    """
    path = folder / "dataset_info.json"
    lengths: dict[str, int] = {}
    if not path.exists():
        return lengths
    try:
        for split in json.loads(regular(path, _MOST_INFO).read_bytes())["splits"]:
            counts = split.get("shardLengths", [])
            for i, n in enumerate(counts):
                lengths[f"{prefix}-{split['name']}.tfrecord-{i:05d}-of-{len(counts):05d}"] = int(n)
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as e:
        raise InputError(path, f"that it cannot be understood ({type(e).__name__}: {e})", "JSON as TFDS writes it",
                         "Download it again, or remove it: it only serves to check the shards' lengths.") from e
    return lengths
