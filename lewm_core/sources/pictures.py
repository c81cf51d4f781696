"""Stored pictures as frames: decoded whole or not at all, and resized."""

import struct
from numbers import Integral
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

MOST_PIXELS = 4096 * 4096  # of a picture or a video's frame; a header may claim any number, and its memory is taken
MOST_SCANS = 100  # of a JPEG: each goes over all pixels; ten are usual
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_MOST_BYTES = 2**26  # of a picture's file

Picture = bytes | Path | np.ndarray  # a JPEG or PNG, the file of one, or (H, W, 3) uint8 RGB


def checked_size(image_size: object) -> int:
    """A height and width of frames, px; InputError where it is no whole number of at least 1."""
    if not isinstance(image_size, Integral) or image_size < 1:
        raise InputError("image_size", repr(image_size), "a whole number of pixels, at least 1")
    return int(image_size)


def decode(picture: Picture, where: str) -> np.ndarray:
    """(H, W, 3) uint8 RGB; InputError for bytes that are no JPEG or PNG, or not all of one."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3 or 0 in picture.shape:
            raise InputError(where, f"{picture.dtype} {picture.shape}", "a picture, uint8 (H, W, 3)")
        return np.asarray(picture)
    if isinstance(picture, Path):
        where = f"{where}, {picture.name}"
        try:
            picture = regular(picture, _MOST_BYTES).read_bytes()
        except OSError as e:
            raise InputError(where, f"that {picture} cannot be read ({e.strerror or e})", "a readable file") from e
    decoded, reason = None, ""
    try:
        _check_header(picture, where)
        if picture.startswith(_JPEG):  # not by OpenCV, which fills what is damaged with grey and says nothing
            return simplejpeg.decode_jpeg(picture, "RGB", strict=True)
        if picture.startswith(_PNG) and picture.rstrip(b"\0").endswith(b"IEND\xaeB`\x82"):
            decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    except InputError:
        raise
    except (ValueError, struct.error, cv2.error) as e:
        reason = f" ({e})"
    if decoded is None:
        raise InputError(where, f"{len(picture)} bytes that do not decode{reason}", "a whole JPEG or PNG picture")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)


def check_pixels(where: str, width: int, height: int) -> None:
    """InputError for a picture of more than MOST_PIXELS, as its header says it."""
    if width * height > MOST_PIXELS:
        raise InputError(where, f"a picture of {width} x {height} pixels", f"at most {MOST_PIXELS:,} pixels")


def _check_header(picture: bytes, where: str) -> None:
    """`check_pixels` of a JPEG or PNG; ValueError for a header that is none."""
    if picture.startswith(_JPEG):
        height, width = simplejpeg.decode_jpeg_header(picture)[:2]
        check_pixels(where, width, height)
        scans = picture.count(b"\xff\xda")
        if scans > MOST_SCANS:
            raise InputError(where, f"a JPEG of {scans} scans", f"at most {MOST_SCANS}")
    elif picture.startswith(_PNG):
        if picture[12:16] != b"IHDR":
            raise ValueError("no IHDR")
        check_pixels(where, *struct.unpack(">II", picture[16:24]))


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) from (H, W, 3): area average where that has more pixels, else bicubic; the same size as it is."""
    height, width = picture.shape[:2]
    if (height, width) == (size, size):
        return picture
    down = height * width > size * size
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if down else cv2.INTER_CUBIC)


def centre(picture: np.ndarray) -> np.ndarray:
    """The square in the middle of a picture (H, W, 3)."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def constant(picture: np.ndarray) -> bool:
    """Whether all pixels are the same colour."""
    return bool((picture == picture[0, 0]).all())


def shows_something(picture: Picture) -> bool:
    """Whether a stored picture decodes and is not of one colour."""
    try:
        return not constant(decode(picture, ""))
    except InputError:
        return False
