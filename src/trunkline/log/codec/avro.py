"""Avro's binary encoding of the few types that blocks are made of (Avro 1.12 specification, "Binary Encoding"), fast in plain Python.

A generic encoder looks at the schema for every value; a block is a handful of long arrays, so each array is one comprehension here.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_HALF: Final = 1 << 13
_WHOLE: Final = 1 << 14


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


#: Longs from here to 2**27 - 1 take four bytes each, and an array of nothing else is encoded several times faster.
FOUR_BYTES: Final = 1 << 20
#: Encoding of the longs from -8192 to 8191; Python's negative indexes find the negative ones.
_SHORT: Final = [_varint(2 * value) for value in range(_HALF)] + [_varint(-2 * value - 1) for value in range(-_HALF, 0)]
#: The longs from 0 to 63 take one byte each: twice themselves.
_ONE_BYTE: Final = bytes(2 * value & 0xFF for value in range(256))
#: Fourteen bits with more to follow, as two bytes; and the last fourteen bits or fewer.
_MORE: Final = [bytes((low & 0x7F | 0x80, low >> 7 | 0x80)) for low in range(_WHOLE)]
_LAST: Final = [_varint(high) for high in range(_WHOLE)]


def long(value: int) -> bytes:
    """Encode one long. Raises OverflowError beyond 64 bits."""
    if -_HALF <= value < _HALF:
        return _SHORT[value]
    zigzag = 2 * value if value >= 0 else -2 * value - 1
    if zigzag < 1 << 28:
        return _MORE[zigzag & 0x3FFF] + _LAST[zigzag >> 14]
    if zigzag >= 1 << 64:
        raise OverflowError(f"{value} does not fit a signed 64-bit integer")
    return _varint(zigzag)


def longs(values: Sequence[int]) -> bytes:
    """Encode an array of longs (or ints, which look the same)."""
    if not values:
        return b"\0"
    if isinstance(values, range):
        return _counting(values)
    return _longs(values)


@lru_cache(maxsize=64)
def _counting(values: range) -> bytes:
    return _longs(values)


def _longs(values: Sequence[int]) -> bytes:
    least, most = min(values), max(values)
    if least >= 0 and most < 64:
        body = bytes(values).translate(_ONE_BYTE)
    elif least >= -_HALF and most < _HALF:
        body = b"".join(map(_SHORT.__getitem__, values))
    elif least >= FOUR_BYTES and most < 1 << 27:
        body = _four_bytes_each(values)
    elif least >= 0 and most < 1 << 27:
        # 2 * value has up to 28 bits: the upper and lower 14 from a table each
        body = b"".join([_SHORT[value] if value < _HALF else _MORE[2 * value & 0x3FFF] + _LAST[value >> 13] for value in values])
    else:
        body = b"".join(map(long, values))
    return b"%b%b\0" % (long(len(values)), body)


def _four_bytes_each(values: Sequence[int]) -> bytes:
    """Encode longs from `FOUR_BYTES` to 2**27 - 1, all at once, as lanes of one large integer."""
    count = len(values)
    lanes = int.from_bytes(struct.pack(f"<{count}I", *values), "little") << 1
    low14, high14, low7, high7, more = _masks(count)
    lanes = (lanes & high14) << 2 | lanes & low14
    lanes = (lanes & high7) << 1 | lanes & low7
    return (lanes | more).to_bytes(4 * count, "little")


@lru_cache(maxsize=256)
def _masks(count: int) -> tuple[int, ...]:
    return tuple(int.from_bytes(struct.pack("<I", mask) * count, "little") for mask in (0x3FFF, 0xFFFC000, 0x7F007F, 0x3F803F80, 0x808080))


def doubles(values: Sequence[float]) -> bytes:
    """Encode an array of doubles. Raises struct.error for what is no number."""
    return b"%b%b\0" % (long(len(values)), struct.pack(f"<{len(values)}d", *values)) if values else b"\0"


def string(value: str) -> bytes:
    """Encode one string."""
    encoded = value.encode()
    return long(len(encoded)) + encoded


def strings(values: Sequence[str]) -> bytes:
    """Encode an array of strings."""
    return b"%b%b\0" % (long(len(values)), b"".join(map(string, values))) if values else b"\0"
