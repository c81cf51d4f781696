"""BridgeData V2 in its RLDS/TFDS form, a Source: one record of a TFRecord shard is one episode.

Layout: `bridge_dataset/1.0.0/bridge_dataset-{train,val}.tfrecord-00000-of-0NNNN`; per step a JPEG from each of four
cameras, `state` and `action` (7 numbers each, 5 Hz) and `language_instruction`. A camera that was not there has
constant pictures; the `has_image` flags do not tell (they are 0 in published shards that have pictures).
"""

import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from lewm_core import tfrecord
from lewm_core.episodes import ACTION_DIM, Episode, EpisodeInfo
from lewm_core.errors import InputError
from lewm_core.files import digest

CAMERAS = 4
STATE_DIM = 7
_READER = "1"  # part of the fingerprint: raise it when the same records come out as other episodes

_SHARD_GLOB = "bridge_dataset-*.tfrecord-*"
_SHARD_NAME = re.compile(r"bridge_dataset-(\w+)\.tfrecord-(\d{5,})-of-(\d{5,})")
_IMAGE, _ACTION = "steps/observation/image_{}", "steps/action"
_STATE, _INSTRUCTION = "steps/observation/state", "steps/language_instruction"


class _Steps(NamedTuple):
    """An episode as it is stored: T JPEGs, (T, 7) actions and observations, the instruction."""

    jpegs: list[bytes]
    actions: np.ndarray
    observations: np.ndarray
    task: str


class Bridge:
    """Episodes of BridgeData V2 shards, in the order of their files' names. Nothing but an index is held in memory.

    Ids are `<split>-<shard>-<number in shard>`, such as `train-00000-0007`. Opening reads no shard; `infos` and
    `load` read those they need. Damage to a record's data or a fault in its content concerns that episode alone;
    damage to a file's structure (a length, the file's end) concerns the rest of that file.

    Args:
        path: the folder that holds the shards, a folder one or two levels above (`1.0.0`'s parent, `bridge_dataset`'s
            parent), or one shard.
        image_size: height and width of the frames; pictures of another size are resized (area average down, bicubic
            up).
        camera: 0 to 3; 0 is the fixed camera over the shoulder.

    Raises:
        InputError: no shards there, shards of two partitions of one split, or a setting out of range.
    """

    name = "bridge"

    def __init__(self, path: str | Path, image_size: int = 224, camera: int = 0):
        if not isinstance(image_size, Integral) or image_size < 1:
            raise InputError("image_size", repr(image_size), "a whole number of pixels, at least 1")
        if not isinstance(camera, Integral) or camera not in range(CAMERAS):
            raise InputError("camera", repr(camera), f"0 to {CAMERAS - 1}")
        self.image_size, self.camera = int(image_size), int(camera)
        self._shards = _find_shards(Path(path))
        self._lengths = _declared_lengths(next(iter(self._shards.values())).parent)
        self._index: dict[str, tuple[list[tfrecord.Span], InputError | None]] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the settings and of every record's stored length and checksum, with the shards' names.

        Reads 16 bytes a record. Since `load` refuses data that do not fit their checksum, the same fingerprint means
        the same episodes or an error, never others. Folders and dates do not enter, so that data may be moved.
        """
        parts = [_READER, str(self.image_size), str(self.camera)]
        for shard, path in self._shards.items():
            spans, damage = self._records(shard)
            parts += [path.name, repr([(s.length, s.crc) for s in spans]), damage.found if damage else ""]
        return digest(*parts)

    def infos(self, on_error: Callable[[str, InputError], None] | None = None) -> Iterator[EpisodeInfo]:
        """Every episode's metadata, record by record, without decoding pictures; checksums and shapes are verified.

        The first fault raises. With `on_error`, it is called instead with the episode's id, or the shard's where the
        rest of a file is lost, and the error; the iteration goes on with the next episode or file.
        """
        for shard in self._shards:
            spans, damage = self._records(shard)
            for number in range(len(spans)):
                id = f"{shard}-{number:04d}"
                try:
                    steps = self._read(id)
                    info = EpisodeInfo(id, steps.task, len(steps.jpegs))
                except InputError as error:
                    if on_error is None:
                        raise
                    on_error(id, error)
                else:
                    yield info
            if damage is not None:
                if on_error is None:
                    raise damage
                on_error(shard, damage)

    def load(self, id: str) -> Episode:
        """The episode of that id: frames (T, image_size, image_size, 3) uint8 RGB, actions and observations (T, 7).

        NaN actions are kept (whoever uses them replaces and counts them); intrinsics are unknown.

        Raises:
            InputError: unknown id, damaged record, missing or ragged features, pictures that cannot be decoded, are
                not square or are constant in every frame (a camera that was not there).
        """
        steps = self._read(id)
        where = f"{self._where(id)}, camera {self.camera}"
        frames = [_decode(jpeg, f"{where}, frame {t}") for t, jpeg in enumerate(steps.jpegs)]
        sizes = {f.shape[:2] for f in frames}
        if len(sizes) > 1 or any(h != w for h, w in sizes):
            raise InputError(where, "pictures of " + ", ".join(f"{w}x{h}" for h, w in sorted(sizes)) + " pixels",
                             "square pictures of one size")
        if all(map(_constant, frames)):
            with_pictures = self._cameras_with_pictures(id)
            raise InputError(where, "blank pictures in every frame", "a camera that was there",
                             f"Cameras with pictures in this episode: {', '.join(with_pictures) or 'none'}.")
        return Episode(id, np.stack([_resize(f, self.image_size) for f in frames]), steps.actions,
                       steps.observations, steps.task)

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
            raise InputError("episode id", repr(id), f"an episode of {_listed(list(self._shards))}, such as "
                             f"{next(iter(self._shards))}-0000")
        spans, damage = self._records(shard)
        if not re.fullmatch(r"[0-9]{4,}", number) or f"{int(number):04d}" != number or int(number) >= len(spans):
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

    def _read(self, id: str) -> _Steps:
        """The stored episode; its features are there and their lengths agree, or an InputError lists what is not."""
        features, where, image = self._features(id), self._where(id), _IMAGE.format(self.camera)
        kinds = {image: "bytes_list", _ACTION: "float_list", _STATE: "float_list", _INSTRUCTION: "bytes_list"}
        missing = [name for name, kind in kinds.items() if name not in features or not features[name].HasField(kind)]
        if missing:
            raise InputError(where, f"no {', '.join(f'{n} ({kinds[n]})' for n in missing)} among the features "
                             + ", ".join(sorted(features)), "the features of bridge_dataset 1.0.0")
        values = {name: getattr(features[name], kind).value for name, kind in kinds.items()}
        t = len(values[image])
        expected = {image: max(t, 1), _ACTION: t * ACTION_DIM, _STATE: t * STATE_DIM, _INSTRUCTION: t}
        wrong = [n for n in kinds if len(values[n]) != expected[n]]
        if wrong:
            raise InputError(where, f"{t} frames with " + ", ".join(f"{len(values[n])} values of {n}" for n in wrong),
                             ", ".join(f"{expected[n]} of {n}" for n in wrong))
        try:
            task = values[_INSTRUCTION][0].decode()
        except UnicodeDecodeError as e:
            raise InputError(f"{where}, {_INSTRUCTION}", repr(values[_INSTRUCTION][0]), "UTF-8 text") from e
        actions, observations = (np.array(values[n], np.float32).reshape(t, -1) for n in (_ACTION, _STATE))
        return _Steps(list(values[image]), actions, observations, task)

    def _cameras_with_pictures(self, id: str) -> list[str]:
        """The cameras of which any frame is a picture, for the message about one that is blank."""
        features, found = self._features(id), []
        for camera in range(CAMERAS):
            name = _IMAGE.format(camera)
            for jpeg in features[name].bytes_list.value if name in features else ():
                try:
                    picture = _decode(jpeg, name)
                except InputError:
                    continue
                if not _constant(picture):
                    found.append(str(camera))
                    break
        return found


def _find_shards(path: Path) -> dict[str, Path]:
    """`<split>-<shard>` → file, sorted: of `path` itself, or of the one folder at most two levels below with shards."""
    expected, remedy = ("files named bridge_dataset-<split>.tfrecord-<shard>-of-<shards>",
                        "Give the folder bridge_dataset/1.0.0, one above it, or one such file.")
    if not path.exists():
        raise InputError(path, "no such file or folder", expected, remedy)
    for pattern in (_SHARD_GLOB, f"*/{_SHARD_GLOB}", f"*/*/{_SHARD_GLOB}"):
        files = [path] if path.is_file() else sorted(path.glob(pattern))
        # Unfinished downloads carry a suffix behind the shard's name: they are no shards yet.
        matches = [(f, m) for f in files if f.is_file() and (m := _SHARD_NAME.fullmatch(f.name))]
        if matches:
            break
    else:
        inside = _listed(sorted(p.name for p in path.iterdir())) if path.is_dir() else ""
        found = f"a folder with {inside}" if inside else "a file of another name"
        raise InputError(path, found, expected, remedy)
    folders = sorted({str(f.parent) for f, _ in matches})
    if len(folders) > 1:
        raise InputError(path, f"shards in {_listed(folders)}", "shards in one folder", "Give one of these folders.")
    shards, partitions = {}, {}
    for file, match in matches:
        split, number, count = match.groups()
        if partitions.setdefault(split, count) != count:
            raise InputError(file.parent, f"{split} shards of {partitions[split]} and of {count}",
                             "one partition of each split", "Move one of them elsewhere.")
        shards[f"{split}-{number}"] = file
    return shards


def _declared_lengths(folder: Path) -> dict[str, int]:
    """Shard file name → number of episodes, from the folder's dataset_info.json; empty where it is absent or silent.

    It tells of a shard that was cut exactly between two records, which nothing in the file itself does.
    """
    path, lengths = folder / "dataset_info.json", {}
    if not path.exists():
        return lengths
    try:
        for split in json.loads(path.read_bytes())["splits"]:
            counts = split.get("shardLengths", [])
            for i, n in enumerate(counts):
                lengths[f"bridge_dataset-{split['name']}.tfrecord-{i:05d}-of-{len(counts):05d}"] = int(n)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise InputError(path, f"that it cannot be understood ({type(e).__name__}: {e})", "JSON as TFDS writes it",
                         "Download it again, or remove it: it only serves to check the shards' lengths.") from e
    return lengths


def _decode(jpeg: bytes, where: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB; InputError for bytes that are no JPEG or not all of one."""
    # OpenCV 4 decodes a JPEG that was cut short and says nothing (5 refuses it), so its last marker is looked for.
    whole = jpeg.startswith(b"\xff\xd8") and jpeg.rstrip(b"\0").endswith(b"\xff\xd9")
    try:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if whole else None
    except cv2.error:  # a size beyond OpenCV's limit
        picture = None
    if picture is None:
        raise InputError(where, f"{len(jpeg)} bytes that do not decode", "a whole JPEG picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _resize(picture: np.ndarray, size: int) -> np.ndarray:
    if len(picture) == size:
        return picture
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if len(picture) > size else cv2.INTER_CUBIC)


def _constant(picture: np.ndarray) -> bool:
    return bool((picture == picture[0, 0]).all())


def _listed(names: list[str], n: int = 5) -> str:
    shown = ", ".join(names[:n]) or "nothing in it"
    return shown + (f" and {len(names) - n} more" if len(names) > n else "")
