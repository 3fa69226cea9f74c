"""What the registers of one tag mean, and values into registers. Pure: no I/O. The Modbus source decodes whole scans (`sheet.py`)."""

import math
import struct
from collections.abc import Callable
from typing import NamedTuple

from trunkline.model.quality import Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Kind, Value
from trunkline.sources.registers.address import Format, WordOrder

GOOD = int(Quality.GOOD)
Judged = tuple[Value, int]


class Layout(NamedTuple):
    """How one tag's value is made of its registers.

    Attributes:
        path: tag path of the readings.
        format: what the bits mean.
        order: how the bytes lie in the registers.
        kind: kind of the tag's values.
        scale, offset: value = raw * scale + offset.
        invalid: raw values that mean 'no value'.
        encoding: characters of a string.
    """

    path: str
    format: Format
    order: WordOrder = "ABCD"
    kind: Kind = Kind.DOUBLE
    scale: float = 1.0
    offset: float = 0.0
    invalid: tuple[int | float, ...] = ()
    encoding: str = "utf-8"

    @property
    def scaled(self) -> bool:
        """True where raw and value differ."""
        return (self.scale, self.offset) != (1.0, 0.0)


def byte_order(layout: Layout) -> list[int]:
    """Return, for every byte in big-endian order, its position on the wire.

    Strings keep the sequence of their registers; only the two bytes within each are swapped by BADC and DCBA.
    """
    words = range(layout.format.registers)
    reverse = layout.order in ("CDAB", "DCBA") and layout.format.name != "string"
    swap = layout.order in ("BADC", "DCBA")
    return [2 * word + byte for word in (reversed(words) if reverse else words) for byte in ((1, 0) if swap else (0, 1))]


def _finite(value: float) -> Judged:
    return (value, GOOD) if math.isfinite(value) else (None, Quality.BAD_NOT_FINITE)


def _single(value: float) -> float:
    """Return a number as a float32 holds it, so that it can be compared with one."""
    return float(struct.unpack(">f", struct.pack(">f", value))[0])


def _meaning(layout: Layout) -> Callable[..., Judged]:
    """Return a function from a raw value to value and quality, sentinels apart."""
    shape, scale, offset = layout.format, layout.scale, layout.offset
    if shape.name == "string":
        return lambda raw: decode_text(raw[: shape.length], layout.encoding)
    if shape.name == "bool":
        return lambda raw: (raw != 0, GOOD)
    if shape.name == "bits":
        first, mask, as_kind = shape.first, (1 << shape.bits) - 1, {Kind.BOOLEAN: bool, Kind.DOUBLE: float}.get(layout.kind, int)
        return lambda raw: (as_kind(raw >> first & mask), GOOD)
    if layout.kind is Kind.INTEGER:
        factor, shift = int(scale), int(offset)

        def whole(raw: int) -> Judged:
            value = raw * factor + shift
            return (value, GOOD) if INT64_MIN <= value <= INT64_MAX else (None, Quality.BAD_TYPE)

        return whole
    return lambda raw: _finite(raw * scale + offset)


def judge(layout: Layout) -> Callable[..., Judged]:
    """Return a function from a raw value to value and quality."""
    meaning = _meaning(layout)
    if not layout.invalid:
        return meaning
    marks = frozenset(map(_single, layout.invalid) if layout.format.name == "float32" else layout.invalid)
    if layout.format.name == "bits":  # a mark is a value of the field, not of the register around it
        return lambda raw: (None, Quality.BAD_SENSOR_FAULT) if (judged := meaning(raw))[0] in marks else judged
    return lambda raw: (None, Quality.BAD_SENSOR_FAULT) if raw in marks else meaning(raw)


def decode_text(raw: bytes, encoding: str) -> Judged:
    """Return the text up to the first NUL, without the spaces that fill it up."""
    try:
        return raw.partition(b"\0")[0].decode(encoding).rstrip(" "), GOOD
    except UnicodeDecodeError:
        return None, Quality.BAD_DECODING


def is_plain(layout: Layout) -> bool:
    """Return whether the raw number is the value, whatever it is."""
    if not layout.format.is_number or layout.invalid or layout.scaled:
        return False
    return layout.format.is_float if layout.kind is Kind.DOUBLE else layout.format.name != "uint64"


def is_linear(layout: Layout) -> bool:
    """Return whether raw * scale + offset is the value, whatever the raw number is."""
    return layout.format.is_number and not layout.invalid and layout.kind is Kind.DOUBLE


def encode(value: Value, layout: Layout) -> bytes:
    """Return the bytes on the wire for a value of any format but a bit field.

    Raises:
        ValueError: the value does not fit the format; says what does.
    """
    shape = layout.format
    if value is None:
        raise ValueError("nothing to write")
    if shape.name == "string":
        canonical = _encode_text(value, layout)
    elif shape.name == "bool":
        canonical = struct.pack(">H", _truth(value))
    else:
        canonical = _encode_number(value, layout)
    wire = bytearray(len(canonical))
    for byte, position in zip(canonical, byte_order(layout), strict=True):
        wire[position] = byte
    return bytes(wire)


def _truth(value: Value) -> bool:
    if isinstance(value, str) or value not in (0, 1):
        raise ValueError(f"{value!r} is neither true nor false")
    return bool(value)


def _encode_text(value: Value, layout: Layout) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")  # noqa: TRY004 -- one error type tells the caller 'does not fit'
    raw, room = value.encode(layout.encoding, errors="strict"), layout.format.length
    if len(raw) > room:
        raise ValueError(f"a text of {len(raw)} bytes does not fit string({room})")
    return raw.ljust(2 * layout.format.registers, b"\0")


def _encode_number(value: Value, layout: Layout) -> bytes:
    shape = layout.format
    if isinstance(value, str | bool) or value is None or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number that {shape.name} can hold")
    raw: float = (value - layout.offset) / layout.scale if layout.scaled else value
    if shape.is_float:
        try:
            return struct.pack(">" + shape.code, raw)
        except OverflowError:
            raise ValueError(f"{value!r} is too large for {shape.name}") from None
    whole, (low, high) = round(raw), shape.limits
    if not low <= whole <= high:
        raise ValueError(f"{value!r} needs the raw value {whole}, but {shape.name} holds {low} to {high}")
    if not layout.scaled and whole != raw:
        raise ValueError(f"{value!r} is not a whole number, and {shape.name} holds nothing else")
    return struct.pack(">" + shape.code, whole)


def encode_bits(value: Value, layout: Layout) -> tuple[int, int]:
    """Return the AND and OR mask (function code 22, V1.1b3 6.16) that set a bit field and leave its register's other bits alone.

    Raises:
        ValueError: the value does not fit the field.
    """
    shape = layout.format
    if value is None or isinstance(value, str) or not float(value).is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    whole, (low, high) = int(value), shape.limits
    if not low <= whole <= high:
        raise ValueError(f"{value!r} does not fit {shape.bits} bits ({low} to {high})")
    masks = (0xFFFF & ~(high << shape.first), whole << shape.first)
    if layout.order in ("BADC", "DCBA"):
        return _swapped(masks[0]), _swapped(masks[1])
    return masks


def _swapped(register: int) -> int:
    """Return a register with its two bytes exchanged."""
    return (register & 0xFF) << 8 | register >> 8
