"""TFRecord files: both checksums of every record, on written files of which any bit may flip."""

import struct
from pathlib import Path

import numpy as np
import pytest

from lewm_core.sources import tfrecord
from lewm_core.sources.bridge_rlds import Bridge
from lewm_core.utils.errors import InputError
from tests.bridge_fixtures import crc32c, masked, record, write

SAMPLE = Path(__file__).parents[3] / "shared" / "bridge_sample"
SHARD = SAMPLE / "bridge_dataset-train.tfrecord-00000-of-00001"
real = pytest.mark.skipif(not SHARD.exists(), reason="the real Bridge shard (../shared/bridge_sample) is not here")
TASKS = {"put carrot on plate", "put cup from counter or drying rack into sink", "flip pot upright which is in sink",
         "turn lever vertical to front"}


def test_checksum_is_the_published_one():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    for data in b"", b"123456789", bytes(range(256)):
        assert struct.pack("<I", tfrecord.masked_crc(data)) == masked(data)


def test_random_records_come_back_and_any_flipped_bit_is_found(tmp_path):
    """Random lengths and contents; then single flipped bits: no record that differs is ever returned."""
    rng = np.random.default_rng(0)
    path = tmp_path / "records"
    for _ in range(60):
        records = [rng.bytes(int(n)) for n in rng.integers(0, 40, size=rng.integers(1, 6))]
        data = b"".join(map(record, records))
        path.write_bytes(data)
        spans, damage = tfrecord.scan(path)
        assert damage is None and [tfrecord.read(path, s.offset) for s in spans] == records
        assert [s.crc for s in spans] == [struct.unpack("<I", masked(r))[0] for r in records]

        for bit in rng.choice(8 * len(data), size=8):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            spans, damage = tfrecord.scan(path)
            hit = next(i for i, s in enumerate(spans) if s.offset <= bit // 8 < s.offset + 16 + s.length) \
                if damage is None else len(spans)
            for i, s in enumerate(spans):
                if i == hit:
                    with pytest.raises(InputError, match=f"byte {s.offset}: found data whose checksum"):
                        tfrecord.read(path, s.offset)
                else:
                    assert tfrecord.read(path, s.offset) == records[i]
            if damage is not None:  # the header of record `hit`
                assert f"byte {sum(16 + len(r) for r in records[:hit])}: " in str(damage)

        cut = int(rng.integers(1, len(data)))
        path.write_bytes(data[:cut])
        spans, damage = tfrecord.scan(path)
        whole = np.cumsum([16 + len(r) for r in records])
        assert [tfrecord.read(path, s.offset) for s in spans] == records[:len(spans)]
        assert len(spans) == (whole <= cut).sum() and (damage is None) == (cut in whole)


def test_a_false_length_with_a_right_checksum(tmp_path):
    length = struct.pack("<Q", 2**62)
    path = tmp_path / "records"
    path.write_bytes(length + masked(length) + b"short")
    with pytest.raises(InputError) as raised:
        tfrecord.read(path, 0)
    for damage in tfrecord.scan(path)[1], raised.value:
        assert damage.found == "5 bytes before the file ends" and str(2**62 + 4) in damage.expected


def test_unreadable_file_and_foreign_message(tmp_path):
    assert "cannot be read" in tfrecord.scan(tmp_path / "absent")[1].found
    with pytest.raises(InputError, match="absent: found that it cannot be read"):
        tfrecord.read(tmp_path / "absent", 0)
    path, = write(tmp_path, [[b"no protobuf"]])
    with pytest.raises(InputError, match=r"byte 0, episode train-00000-0000: found 11 bytes that are no tf.train"):
        list(Bridge(path).infos())
