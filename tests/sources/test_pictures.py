"""Pictures of strangers: what their headers claim is held to a limit before any memory is taken."""

import io
import os
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from lewm_core.sources.pictures import MOST_PIXELS, decode
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import jpeg

PICTURE = np.random.default_rng(0).integers(256, size=(16, 24, 3), dtype=np.uint8)


def claiming(height: int, width: int) -> bytes:
    """A JPEG whose header claims another size."""
    data = jpeg(PICTURE)
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def png(height: int, width: int) -> bytes:
    """A PNG that claims a size and holds a few pixels."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("data, size", [
    (claiming(30_000, 30_000), "30000 x 30000"), (claiming(65_500, 400), "400 x 65500"),
    (png(30_000, 30_000), "30000 x 30000"), (png(2**31 - 1, 2**31 - 1), "2147483647")])
def test_a_header_is_believed_only_to_a_limit(data, size):
    start = time.process_time()
    tracemalloc.start()
    with pytest.raises(InputError, match=f"frame 3: found a picture of {size}.* pixels; expected at most 16,777,216"):
        decode(data, "frame 3")
    assert tracemalloc.get_traced_memory()[1] < 1e6 and time.process_time() - start < 1
    tracemalloc.stop()


def test_the_largest_allowed_is_tried():
    side = int(MOST_PIXELS**0.5)
    with pytest.raises(InputError, match="do not decode"):  # too few data, but not too large
        decode(claiming(side, side), "x")


def test_a_jpeg_of_many_scans_is_refused():
    out = io.BytesIO()
    Image.fromarray(PICTURE).save(out, "JPEG", progressive=True)
    data = out.getvalue()
    assert decode(data, "x").shape == PICTURE.shape
    scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(InputError, match="a JPEG of [0-9]+ scans; expected at most 100"):
        decode(data[:-2] + scan * 200 + data[-2:], "x")


def test_only_regular_files_are_pictures(tmp_path):
    os.mkfifo(tmp_path / "im_0.jpg")
    (tmp_path / "im_1.jpg").symlink_to("/dev/zero")
    for name, found in (("im_0.jpg", "a pipe"), ("im_1.jpg", "a device"), ("im_2.jpg", "No such file")):
        with pytest.raises(InputError, match=found):
            decode(tmp_path / name, "x")


def test_cut_or_changed_pictures_are_errors_or_pictures():
    rng, whole = np.random.default_rng(1), [jpeg(PICTURE), jpeg(PICTURE, "PNG")]
    for data in whole:
        for _ in range(300):
            changed = bytearray(data)
            for at in rng.integers(len(data), size=rng.integers(1, 4)):
                changed[at] ^= 1 << rng.integers(8)
            try:
                decode(bytes(changed[: len(data) if rng.random() < 0.7 else rng.integers(len(data))]), "x")
            except InputError:
                pass
