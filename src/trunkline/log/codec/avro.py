"""Avro's binary encoding of the few types that blocks are made of (Avro 1.12 specification, "Binary Encoding").

A generic encoder looks at the schema for every value. Blocks are made of many arrays of longs, so those are encoded here, all at once.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
F64 = npt.NDArray[np.float64]

#: With fewer longs than this, the calls into NumPy cost more than the longs themselves.
_FEW: Final = 64


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


#: Encodings of the longs from 0 to 8191: nearly every length and index.
_SHORT: Final = [_varint(2 * value) for value in range(1 << 13)]


def long(value: int) -> bytes:
    """Encode one long. Raises OverflowError beyond 64 bits."""
    if 0 <= value < len(_SHORT):
        return _SHORT[value]
    zigzag = value << 1 ^ value >> 63
    if not 0 <= zigzag < 1 << 64:
        raise OverflowError(f"{value} does not fit a signed 64-bit integer")
    return _varint(zigzag)


def array(count: int, items: bytes) -> bytes:
    """Encode an array whose items are encoded already."""
    return b"%b%b\0" % (long(count), items) if count else b"\0"


def longs(arrays: Sequence[I64]) -> list[bytes]:
    """Encode arrays of longs (or ints, which look the same); each becomes an array of its own."""
    values = np.concatenate(arrays) if arrays else np.empty(0, np.int64)
    if len(values) < _FEW:
        return [_one_by_one(each) for each in arrays]
    zigzag = (values << 1 ^ values >> 63).view(np.uint64)
    bits = int(zigzag.max()).bit_length()
    if bits > _WIDE.bits:
        return [_one_by_one(arrays[0])] if len(arrays) == 1 else [encoded for each in arrays for encoded in longs([each])]
    items, ends = _side_by_side(zigzag, _NARROW if bits <= _NARROW.bits else _WIDE)
    counts = [len(each) for each in arrays]
    bounds = ends[np.cumsum([0, *counts])].tolist()
    return [array(count, items[start:end]) for count, (start, end) in zip(counts, pairwise(bounds), strict=True)]


def _one_by_one(values: I64) -> bytes:
    return array(len(values), b"".join(map(long, values.tolist())))


class _Lanes(NamedTuple):
    """Unsigned integers in which longs are encoded side by side, one byte for every seven bits.

    Attributes:
        dtype: an integer as wide as the longest encoding; the first byte of an encoding is its lowest.
        bits: how many bits of a number have room.
        spread: steps that move the number's bits apart: what stays, what moves, and how far. After the last, each byte holds seven.
        ones: 1 in every byte.
    """

    dtype: str
    bits: int
    spread: tuple[tuple[int, int, int], ...]
    ones: int


_NARROW: Final = _Lanes("<u4", 28, ((0x3FFF, 0xFFFC000, 2), (0x007F007F, 0x3F803F80, 1)), 0x01010101)
_WIDE: Final = _Lanes(
    "<u8",
    56,
    (
        (0xFFFFFFF, 0xFFFFFFF0000000, 4),
        (0x00003FFF00003FFF, 0x0FFFC0000FFFC000, 2),
        (0x007F007F007F007F, 0x3F803F803F803F80, 1),
    ),
    0x0101010101010101,
)


def _side_by_side(zigzag: U64, lanes: _Lanes) -> tuple[bytes, I64]:
    """Return the encodings joined, and where each begins, with the end of the last after them."""
    sevens = zigzag.astype(lanes.dtype)
    for stays, moves, distance in lanes.spread:
        sevens = sevens & stays | (sevens & moves) << distance
    above = sevens  # becomes, in each byte: whether this one or a later one holds bits
    for distance in (8, 16, 32)[: len(lanes.spread)]:
        above = above | above >> distance
    used = (above + 0x7F * lanes.ones & 0x80 * lanes.ones) >> 7
    sevens |= used >> 8 << 7  # a byte with a later one is marked so
    used |= 1  # a zero takes a byte as well
    items: bytes = sevens.view(np.uint8).compress(used.view(np.bool_)).tobytes()
    bounds = np.zeros(len(zigzag) + 1, np.int64)
    np.cumsum(used * lanes.ones >> lanes.bits // 7 * 8 - 8, out=bounds[1:])  # the product's top byte counts the bytes used
    return items, bounds


def doubles(values: F64) -> bytes:
    """Encode an array of doubles."""
    return array(len(values), values.astype("<f8", copy=False).tobytes())


def string(value: str) -> bytes:
    """Encode one string."""
    encoded = value.encode()
    return long(len(encoded)) + encoded


def strings(values: Sequence[str]) -> bytes:
    """Encode an array of strings."""
    return array(len(values), b"".join(map(string, values)))
