"""Pictures that cost more than they weigh, or are not what they say; and records and episodes that hold such."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.fuzz.cases import Place


def _jpeg(picture: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", **options)
    return out.getvalue()


def _plain(height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


def claims(data: bytes, height: int, width: int) -> bytes:
    """A JPEG whose header claims another size."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height: int, width: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of any claims, with all checksums right."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _other(form: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(_plain()).save(out, form)
    return out.getvalue()


def pictures() -> dict[str, bytes]:
    """Hostile or unusual pictures by name."""
    plain, progressive = _jpeg(_plain()), _jpeg(_plain(64, 64), progressive=True)
    scan = progressive[progressive.find(b"\xff\xda") : -2]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    return {
        "30,000 squared": claims(plain, 30_000, 30_000), "65,535 squared": claims(plain, 65_535, 65_535),
        "0 high": claims(plain, 0, 8), "0 wide": claims(plain, 8, 0), "65,500 by 1": _jpeg(_plain(65_500, 1)),
        "2 by 3": _jpeg(_plain(2, 3)), "1 by 1": _jpeg(_plain(1, 1)), "grey": _jpeg(_plain()[:, :, 0]),
        "CMYK": _cmyk(),
        "progressive": progressive, "5,000 scans": progressive[:-2] + scan * 5000 + b"\xff\xd9",
        "5,000 scans, 8,000 squared": claims(progressive, 8000, 8000)[:-2] + scan * 2000 + b"\xff\xd9",
        "turned": _jpeg(_plain(), exif=exif),
        "a comment of 60 kB": plain[:2] + b"\xff\xfe\xff\xff" + b"c" * 65_533 + plain[2:],
        "cut": plain[:-20], "two in one": plain + _jpeg(_plain(64, 64)),
        "no tables": plain[:2] + plain[plain.find(b"\xff\xc0") :],
        "only a start": b"\xff\xd8", "start and end": b"\xff\xd8\xff\xd9",
        "12 bits": plain.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
        "black throughout": _jpeg(np.zeros((6, 8, 3), np.uint8)), "PNG": _other("PNG"), "GIF": _other("GIF"),
        "BMP": _other("BMP"),
        "TIFF": _other("TIFF"), "WEBP": _other("WEBP"),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
        "PNG of 30,000 squared": png(30_000, 30_000, b"\0" * 1000), "PNG of 2^31": png(2**31 - 1, 2**31 - 1, b"\0"),
        "PNG bomb": png(12_000, 12_000, bytes(12_000 * 1501), 1, 0), "PNG of 16 bits": png(6, 8, bytes(6 * 49), 16, 2),
        "PNG with alpha": png(6, 8, bytes(6 * 33), 8, 6), "PNG without rows": png(6, 8, b""),
        "PNG of 0": png(0, 0, b""),
    }


def _cmyk() -> bytes:
    out = io.BytesIO()
    Image.fromarray(_plain()).convert("CMYK").save(out, "JPEG")
    return out.getvalue()


def picture(place: Place) -> tuple[bytes, str]:
    """One of `pictures`, and its name."""
    known = pictures()
    name = place.one(list(known))
    return known[name], name
