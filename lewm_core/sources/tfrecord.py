"""TFRecord files and `tf.train.Example` messages without TensorFlow; both checksums of every record are verified.

A file is a row of records: length (u64), masked CRC-32C of the length (u32), data, masked CRC-32C of the data
(u32), all little-endian. An error names the file and the byte at which the record at fault begins.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError, Message

from lewm_core.utils.errors import InputError
from lewm_core.utils.files import regular

_HEADER, _FOOTER = struct.Struct("<QI"), struct.Struct("<I")
MOST_BYTES = 2**26  # of a record: it is held in memory, and its parts take ten times that
_REMEDY = "Download or copy the file again."

# The public schema of tf.train.Example (tensorflow/core/example/{example,feature}.proto).
_SCHEMA = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List" field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type {
  name: "Feature" oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.BytesList" }
  field { name: "float_list" number: 2 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.FloatList" }
  field { name: "int64_list" number: 3 oneof_index: 0 type: TYPE_MESSAGE type_name: ".tensorflow.Int64List" }
}
message_type {
  name: "Features"
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".tensorflow.Feature" }
  }
  field {
    name: "feature" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".tensorflow.Features.FeatureEntry"
  }
}
message_type {
  name: "Example" field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".tensorflow.Features" }
}
"""


def _example_class() -> type[Message]:
    pool = descriptor_pool.DescriptorPool()  # our own, so that an imported TensorFlow does not collide with it
    pool.Add(text_format.Parse(_SCHEMA, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


_Example = _example_class()


class Span(NamedTuple):
    """Where a record lies in its file."""

    offset: int  # of the record's first byte, its length field
    length: int  # bytes of data
    crc: int  # masked CRC-32C of the data as stored, not yet compared with the data


def masked_crc(data: bytes) -> int:
    """CRC-32C of `data`, rotated and shifted as TFRecord stores it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def scan(path: str | Path) -> tuple[list[Span], InputError | None]:
    """Find the records of a file, reading 16 bytes of each and no data.

    Returns the records that lie before the first damage to the file's structure, and that damage: a bad length
    checksum or a file cut short, after which no record can be found; None where there is none.
    """
    spans, offset = [], 0
    try:
        with open(regular(path), "rb", buffering=0) as f:  # a buffer would read thousands of bytes for each 16
            size = os.fstat(f.fileno()).st_size
            header = f.read(_HEADER.size)
            while offset < size:
                length = _length(header, path, offset, size)
                end = offset + _HEADER.size + length
                between = os.pread(f.fileno(), _FOOTER.size + _HEADER.size, end)  # this record's and the next one's
                spans.append(Span(offset, length, *_FOOTER.unpack(between[: _FOOTER.size])))
                header, offset = between[_FOOTER.size :], end + _FOOTER.size
    except OSError as e:
        return spans, _unreadable(path, e)
    except InputError as e:
        return spans, e
    return spans, None


def read(path: str | Path, offset: int) -> bytes:
    """The data of the record that begins at byte `offset`; InputError unless both checksums are right."""
    try:
        with open(regular(path), "rb", buffering=0) as f:
            f.seek(offset)
            length = _length(f.read(_HEADER.size), path, offset, os.fstat(f.fileno()).st_size)
            data, (crc,) = f.read(length), _FOOTER.unpack(f.read(_FOOTER.size))
    except OSError as e:
        raise _unreadable(path, e) from e
    if masked_crc(data) != crc:
        raise InputError(f"{path}, byte {offset}", f"data whose checksum is {masked_crc(data):08x}",
                         f"{crc:08x} as stored behind it", _REMEDY)
    return data


def parse(data: bytes, where: str) -> Message:
    """The `tf.train.Example` in a record's data; `where` names it if it is none (InputError)."""
    try:
        return _Example.FromString(data)
    except DecodeError as e:
        raise InputError(where, f"{len(data)} bytes that are no tf.train.Example ({e})",
                         "the records of an RLDS/TFDS data set") from e


def _length(header: bytes, path: str | Path, offset: int, size: int) -> int:
    """The length in the header of the record at `offset`, checked against its checksum and the file's size."""
    where = f"{path}, byte {offset}"
    if len(header) < _HEADER.size:
        raise InputError(where, f"{len(header)} bytes before the file ends", f"a record's header of {_HEADER.size}",
                         _REMEDY)
    length, crc = _HEADER.unpack(header)
    if masked_crc(header[:8]) != crc:
        raise InputError(where, f"a record length whose checksum is {masked_crc(header[:8]):08x}",
                         f"{crc:08x} as stored behind it (is this a TFRecord file?)", _REMEDY)
    rest = size - offset - _HEADER.size
    if rest < length + _FOOTER.size:
        raise InputError(where, f"{rest} bytes before the file ends",
                         f"{length + _FOOTER.size}: the record's data and its checksum", _REMEDY)
    if length > MOST_BYTES:
        raise InputError(where, f"a record of {length:,} bytes", f"at most {MOST_BYTES:,}")
    return length


def _unreadable(path: str | Path, error: OSError) -> InputError:
    return InputError(path, f"that it cannot be read ({error.strerror or error})", "a readable file")
