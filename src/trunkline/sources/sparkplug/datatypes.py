"""What the value of a metric means: Sparkplug's data types (Eclipse Sparkplug 3.0.0, 6.4, 'Data Types') against values of ours."""

import struct
from enum import IntEnum
from typing import Final

from trunkline.model.reading import Value
from trunkline.sources.sparkplug.codec import Form, Metric, Raw
from trunkline.sources.sparkplug.wire import Undecodable


class DataType(IntEnum):
    """Index of a data type, as births carry it."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


class NoScalar(Undecodable):
    """The data type holds more than one value, or none that a reading can carry."""


_SIGNED: Final = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED: Final = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64, DataType.DATETIME: 64}
_TEXTS: Final = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
_WIDTHS: Final = {Form.INT: 32, Form.LONG: 64}

_BITS: Final = {**_SIGNED, **_UNSIGNED}
_KINDS: Final[dict[int, str]] = {
    **dict.fromkeys(_BITS, "integer"),
    DataType.FLOAT: "double",
    DataType.DOUBLE: "double",
    DataType.BOOLEAN: "boolean",
    **dict.fromkeys(_TEXTS, "text"),
}


def name(datatype: int | None) -> str:
    """Return a data type in words, for messages."""
    try:
        return DataType(datatype or 0).name
    except ValueError:
        return f"number {datatype}"


def kind(datatype: int | None) -> str:
    """Return the kind of tag that holds the data type; empty where none does."""
    return _KINDS.get(datatype or 0, "")


def value_of(metric: Metric, datatype: int | None) -> Value:
    """Return the value of a metric; a DateTime is in ms since 1970. Not for metrics that are null.

    Raises:
        NoScalar: the data type is a list, a table, a structure or a file.
        Undecodable: the value is not of the data type.
    """
    if datatype not in _KINDS:
        raise NoScalar(f"values of data type {name(datatype)} cannot be read into a tag")
    known, form, raw = DataType(datatype), metric.form, metric.raw
    if form in _WIDTHS and isinstance(raw, int):
        if known in _SIGNED:
            return _signed(raw, _SIGNED[known], _WIDTHS[form])
        if known in _UNSIGNED and raw < 1 << _UNSIGNED[known]:
            return raw
    elif (
        (form in {Form.FLOAT, Form.DOUBLE} and known in {DataType.FLOAT, DataType.DOUBLE})
        or (form is Form.BOOLEAN and known is DataType.BOOLEAN)
        or (form is Form.STRING and known in _TEXTS)
    ) and not isinstance(raw, bytes):
        return raw
    shown = f"the value {raw!r:.40}" if form in _WIDTHS else "a value"
    raise Undecodable(f"{shown} in the field {form.name.lower() if form else 'none'} is not of data type {known.name}")


def _signed(raw: int, bits: int, width: int) -> int:
    """Return a signed number out of an unsigned field.

    Senders write the two's complement of the data type's own width (255 for the Int8 -1), or the one of the field (4294967295).
    """
    if raw < 1 << bits:
        return raw - (1 << bits) if raw >> (bits - 1) else raw
    if raw >= (1 << width) - (1 << (bits - 1)):
        return raw - (1 << width)
    raise Undecodable(f"the value {raw} does not fit {bits} bits")


def written(value: Value, datatype: int | None) -> tuple[Form, Raw]:
    """Return how a value is written as a data type; the opposite of `value_of`.

    Raises:
        NoScalar: the data type cannot be written.
        OverflowError: the number does not fit.
        TypeError: the value is of another kind.
    """
    if datatype not in _KINDS:
        raise NoScalar(f"values of data type {name(datatype)} cannot be written")
    known = DataType(datatype)
    if known in _TEXTS and isinstance(value, str):
        return Form.STRING, value
    if known is DataType.BOOLEAN and isinstance(value, bool):
        return Form.BOOLEAN, value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if known is DataType.DOUBLE:
            return Form.DOUBLE, float(value)
        if known is DataType.FLOAT:
            return Form.FLOAT, single(value)
        if isinstance(value, int) or value.is_integer():
            return _integer(int(value), known)
    raise TypeError(f"{value!r:.80} cannot be written as data type {known.name}")


def _integer(value: int, datatype: DataType) -> tuple[Form, int]:
    if datatype not in _BITS:
        raise TypeError(f"{value} cannot be written as data type {datatype.name}")
    bits = _BITS[datatype]
    low, high = (-(1 << (bits - 1)), 1 << (bits - 1)) if datatype in _SIGNED else (0, 1 << bits)
    if not low <= value < high:
        raise OverflowError(f"{value} does not fit data type {datatype.name}")
    return Form.LONG if bits == 64 else Form.INT, value & ((1 << bits) - 1)


def single(value: float) -> float:
    """Return a number as a 32-bit float holds it. Raises OverflowError."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
