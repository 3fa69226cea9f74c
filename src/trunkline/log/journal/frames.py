"""The bytes of a batch: the records of one append to one partition, column by column.

All integers are little-endian. Columns, not records, because a thousand small records then cost a handful of C calls either way::

    u8   version, 1
    u8   flags: 1 some record has a key, 2 some record has headers
    u32  n, number of records
    i64  timestamp[n], µs UTC
    u32  value_length[n]
    i32  key_length[n]                    with flag 1; -1 is "no key"
    u16  names                            with flag 2: distinct header names,
    u16  name_length[names]               their lengths,
    u32  total                            headers of all records together,
    u16  header_count[n]                  headers of each record,
    u16  name[total]                      index of each header's name,
    u32  header_length[total]             and length of its value
    ...  bytes of the names, header values, keys, values: each joined in order

A frame is stored as it is (codec 0) or as one zstd frame (codec 1), whichever is clearly smaller; in a sealed journal either is sealed
(codec 2 and 3, `trunkline.log.journal.sealing`). Integrity is the batch's CRC-32 over what is stored, which is checked before a frame is
opened.
"""

import struct
import threading
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import Final, NamedTuple

import zstandard

from trunkline.log.port import Record
from trunkline.model.errors import CorruptData

RAW: Final = 0
ZSTD: Final = 1
#: Added to either when the bytes are sealed.
SEALED: Final = 2

_VERSION: Final = 1
_KEYS: Final = 1
_HEADERS: Final = 2
_HEAD: Final = struct.Struct("<BBI")
_U32: Final = struct.Struct("<I")
#: Half the time of level 1 for 2 % more bytes: blocks of readings are varints and doubles, with little to find.
_LEVEL: Final = -1
#: Below this many bytes a zstd frame's own header eats the gain.
_WORTHWHILE: Final = 200

Headers = tuple[tuple[str, bytes], ...]


class Opened(NamedTuple):
    """The columns of a frame; all of the same length."""

    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes]
    headers: Sequence[Headers]


class _Zstd(threading.local):
    """Contexts of one thread: they are costly to make and not thread-safe."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_zstd = _Zstd()


def pack(frame: bytes) -> tuple[int, bytes]:
    """Return the codec and the bytes to store."""
    if len(frame) >= _WORTHWHILE:
        small = _zstd.compressor.compress(frame)
        if len(small) < len(frame) * 0.95:
            return ZSTD, small
    return RAW, frame


def unpack(codec: int, stored: bytes) -> bytes:
    """Return the frame. Raises CorruptData."""
    if codec == RAW:
        return stored
    if codec != ZSTD:
        raise CorruptData(f"codec {codec} of a batch is unknown")
    try:
        return _zstd.decompressor.decompress(stored)
    except (zstandard.ZstdError, MemoryError) as error:
        raise CorruptData(f"batch cannot be decompressed: {error}") from error


def encode(records: Sequence[Record], now: int) -> tuple[bytes, list[int]]:
    """Return the frame of `records` and their timestamps; those without one get `now`."""
    values, keys, headers, stamps, _ = zip(*records, strict=True)
    timestamps = [now if stamp is None else stamp for stamp in stamps]
    n = len(records)
    keyed = keys.count(None) < n
    headed = any(headers)
    parts = [
        _HEAD.pack(_VERSION, _KEYS * keyed + _HEADERS * headed, n),
        struct.pack(f"<{n}q", *timestamps),
        struct.pack(f"<{n}I", *map(len, values)),
    ]
    if keyed:
        parts.append(struct.pack(f"<{n}i", *(-1 if key is None else len(key) for key in keys)))
    if headed:
        parts.extend(_encode_headers(headers))
    if keyed:
        parts.extend(filter(None, keys))
    parts.extend(values)
    return b"".join(parts), timestamps


def _encode_headers(headers: Sequence[Headers]) -> list[bytes]:
    flat = list(chain.from_iterable(headers))
    index: dict[str, int] = {}
    names = [index.setdefault(name, len(index)) for name, _ in flat]
    contents = [value for _, value in flat]
    encoded = [name.encode() for name in index]
    return [
        struct.pack(f"<H{len(encoded)}H", len(encoded), *map(len, encoded)),
        _U32.pack(len(flat)),
        struct.pack(f"<{len(headers)}H", *map(len, headers)),
        struct.pack(f"<{len(flat)}H", *names),
        struct.pack(f"<{len(flat)}I", *map(len, contents)),
        *encoded,
        *contents,
    ]


class _Cursor:
    """Reads a frame from front to back."""

    def __init__(self, frame: bytes) -> None:
        self.frame = frame
        self.at = 0

    def numbers(self, count: int, code: str, size: int) -> tuple[int, ...]:
        start, self.at = self.at, self.at + count * size
        if self.at > len(self.frame):
            raise CorruptData(f"batch of {len(self.frame)} bytes is too short for its {count} records")
        return struct.unpack_from(f"<{count}{code}", self.frame, start)

    def pieces(self, lengths: Sequence[int]) -> list[bytes]:
        frame = self.frame
        ends = list(accumulate(lengths, initial=self.at))
        self.at = ends[-1]
        if self.at > len(frame):
            raise CorruptData(f"batch of {len(frame)} bytes is too short for its contents")
        return [frame[start:end] for start, end in pairwise(ends)]


def decode(frame: bytes) -> Opened:
    """Return the columns of a frame.

    Raises:
        CorruptData: the bytes are no frame of this version or do not add up.
    """
    if len(frame) < _HEAD.size:
        raise CorruptData(f"batch of {len(frame)} bytes is too short")
    version, flags, n = _HEAD.unpack_from(frame)
    if version != _VERSION or flags & ~(_KEYS | _HEADERS):
        raise CorruptData(f"batch has version {version} and flags {flags}: written by a newer release, or damaged")
    cursor = _Cursor(frame)
    cursor.at = _HEAD.size
    timestamps = cursor.numbers(n, "q", 8)
    value_lengths = cursor.numbers(n, "I", 4)
    key_lengths = cursor.numbers(n, "i", 4) if flags & _KEYS else None
    headers: Sequence[Headers] = _decode_headers(cursor, n) if flags & _HEADERS else [()] * n
    keys: Sequence[bytes | None] = [None] * n
    if key_lengths is not None:
        found = cursor.pieces([max(length, 0) for length in key_lengths])
        keys = [None if length < 0 else key for length, key in zip(key_lengths, found, strict=True)]
    values = cursor.pieces(value_lengths) if n else []
    if cursor.at != len(frame):
        raise CorruptData(f"batch has {len(frame) - cursor.at} bytes too many")
    return Opened(timestamps, keys, values, headers)


def _decode_headers(cursor: _Cursor, n: int) -> list[Headers]:
    (distinct,) = cursor.numbers(1, "H", 2)
    name_lengths = cursor.numbers(distinct, "H", 2)
    (total,) = cursor.numbers(1, "I", 4)
    counts = cursor.numbers(n, "H", 2)
    indexes = cursor.numbers(total, "H", 2)
    lengths = cursor.numbers(total, "I", 4)
    try:
        names = [name.decode() for name in cursor.pieces(name_lengths)]
        flat = list(zip([names[index] for index in indexes], cursor.pieces(lengths), strict=True))
    except (IndexError, UnicodeDecodeError) as error:
        raise CorruptData(f"batch has headers that cannot be read: {error}") from error
    ends = list(accumulate(counts, initial=0))
    if ends[-1] != total:
        raise CorruptData(f"batch has {total} headers but its records count {ends[-1]}")
    return [tuple(flat[start:end]) for start, end in pairwise(ends)]
