"""The wire format of Protocol Buffers: numbered fields, each a varint, four or eight bytes, or a length and so many bytes.

Source: Protocol Buffers, 'Encoding'. Only what Sparkplug B needs: no groups (deprecated before Sparkplug was written), no packed lists.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

UINT32_MASK: Final = 0xFFFF_FFFF
UINT64_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF

_FIXED: Final = {FIXED64: 8, FIXED32: 4}
#: 64 bits in groups of seven.
_MOST_VARINT_BYTES: Final = 10

#: A field as read: its number, its wire type, and an int (varint) or the bytes it holds.
Field: TypeAlias = tuple[int, int, int, memoryview]

_NOTHING: Final = memoryview(b"")


class Undecodable(ValueError):
    """Bytes are not what the protocol says they should be; the text is the reason."""


def fields(data: memoryview) -> Iterator[Field]:
    """Yield (number, wire type, varint, content) of every field; the one of the last two that the wire type does not have is empty.

    Nothing is copied, and no length is believed before the bytes are there. Raises Undecodable.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise Undecodable(f"field number 0 before byte {at}")
        if wire_type == VARINT:
            value, at = _varint(data, at)
            yield number, wire_type, value, _NOTHING
            continue
        if wire_type == LENGTH:
            size, at = _varint(data, at)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise Undecodable(f"field {number} has wire type {wire_type}, which is not in use")
        if size > end - at:
            raise Undecodable(f"field {number} claims {size} bytes where {end - at} are left: the message is cut off")
        yield number, wire_type, 0, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at` and the place behind it."""
    if at < len(data) and data[at] < 0x80:  # most are: keys, lengths, flags
        return data[at], at + 1
    value = shift = 0
    for place in range(at, min(at + _MOST_VARINT_BYTES, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & UINT64_MASK, place + 1
        shift += 7
    if len(data) - at < _MOST_VARINT_BYTES:
        raise Undecodable(f"the message is cut off within a number at byte {at}")
    raise Undecodable(f"the number at byte {at} is longer than {_MOST_VARINT_BYTES} bytes")


def text(content: memoryview, what: str) -> str:
    """Return UTF-8 text. Raises Undecodable naming `what`."""
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError as error:
        raise Undecodable(f"{what} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def varint(value: int) -> bytes:
    """Return a number from 0 to 2⁶⁴-1 as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """Return a field that holds a number."""
    return varint(number << 3 | VARINT) + varint(value)


def fixed_field(number: int, content: bytes) -> bytes:
    """Return a field of four or eight bytes."""
    return varint(number << 3 | (FIXED64 if len(content) == _FIXED[FIXED64] else FIXED32)) + content


def length_field(number: int, content: bytes) -> bytes:
    """Return a field of any bytes: text, bytes, or a message within the message."""
    return varint(number << 3 | LENGTH) + varint(len(content)) + content
