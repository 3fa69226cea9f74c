"""Avro's binary encoding of the few types that blocks are made of (Avro 1.12 specification, "Binary Encoding").

A generic encoder looks at the schema for every value. Blocks are made of many arrays of longs, so those are encoded here, all at once.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

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
    bits = int(zigzag[zigzag.argmax()]).bit_length()
    if bits > _WIDE.bits:
        return [_one_by_one(arrays[0])] if len(arrays) == 1 else [encoded for each in arrays for encoded in longs([each])]
    items, ends = _side_by_side(zigzag, _NARROW if bits <= _NARROW.bits else _WIDE)
    counts = [len(each) for each in arrays]
    bounds = ends[np.cumsum([0, *counts])].tolist()
    return [array(count, items[start:end]) for count, (start, end) in zip(counts, pairwise(bounds), strict=True)]


def _one_by_one(values: I64) -> bytes:
    return array(len(values), b"".join(map(long, values.tolist())))


class _Lanes:
    """Unsigned integers in which longs are encoded side by side, one byte for every seven bits.

    Constants are arrays of no dimension: NumPy takes them twice as fast as Python's integers.

    Attributes:
        dtype: an integer as wide as the longest encoding; the first byte of an encoding is its lowest.
        bits: how many bits of a number have room.
        spread: steps that move the number's bits apart until each byte holds seven: what stays, what moves, and how far.
        smear: steps that carry every byte into all bytes below it.
        ones, sevens, tops: 1, 0x7F and 0x80 in every byte.
        last: how far the last byte is from the first, in bits.
    """

    def __init__(self, dtype: str, spread: Sequence[tuple[int, int, int]], ones: int) -> None:
        self.dtype = np.dtype(dtype)
        self.bits = 7 * self.dtype.itemsize
        self.spread = [(self._constant(stays), self._constant(moves), self._constant(by)) for stays, moves, by in spread]
        self.smear = [self._constant(8 << step) for step in range(len(spread))]
        self.ones, self.sevens, self.tops = (self._constant(ones * byte) for byte in (1, 0x7F, 0x80))
        self.last = self._constant(8 * self.dtype.itemsize - 8)
        self.one, self.seven, self.eight = (self._constant(number) for number in (1, 7, 8))

    def _constant(self, value: int) -> U64:
        return np.array(value, self.dtype)


_NARROW: Final = _Lanes("<u4", [(0x3FFF, 0xFFFC000, 2), (0x007F007F, 0x3F803F80, 1)], 0x01010101)
_WIDE: Final = _Lanes(
    "<u8",
    [
        (0x0FFFFFFF, 0x00FFFFFFF0000000, 4),
        (0x00003FFF00003FFF, 0x0FFFC0000FFFC000, 2),
        (0x007F007F007F007F, 0x3F803F803F803F80, 1),
    ],
    0x0101010101010101,
)


def _side_by_side(zigzag: U64, lanes: _Lanes) -> tuple[bytes, I64]:
    """Return the encodings joined, and where each begins, with the end of the last after them."""
    parts: U64 = zigzag.astype(lanes.dtype)
    for stays, moves, by in lanes.spread:
        low = parts & stays
        parts &= moves
        parts <<= by
        parts |= low
    used = parts.copy()
    for by in lanes.smear:
        used |= used >> by
    used += lanes.sevens
    used &= lanes.tops
    parts |= used >> lanes.eight  # a byte with a later one says so in its top bit
    used >>= lanes.seven
    used |= lanes.one  # the first byte is there even in a zero
    items: bytes = parts.view(np.uint8).compress(used.view(np.bool_)).tobytes()
    bounds = np.zeros(len(zigzag) + 1, np.int64)
    used *= lanes.ones
    used >>= lanes.last
    np.cumsum(used, out=bounds[1:])  # the product's last byte is the sum of all
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
