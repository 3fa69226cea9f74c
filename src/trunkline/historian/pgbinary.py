"""PostgreSQL's binary formats from and to numpy: rows for COPY, arrays as parameters, arrays as results.

A binary value is its length (int32) and its bytes, big-endian. An array's bytes are dimensions, has-nulls flag, element type, length and
lower bound (int32 each), then every element with its own length; a NULL is the length -1 alone
(PostgreSQL documentation, "COPY: Binary Format"; src/backend/utils/adt/arrayfuncs.c, array_recv).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from psycopg import Connection
from psycopg.abc import Buffer, DumperKey
from psycopg.adapt import Dumper, Loader, PyFormat
from psycopg.pq import Format

from trunkline.historian.db import PG_EPOCH
from trunkline.log.codec.event_ids import UUID_BYTES

COPY_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
COPY_TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
_ARRAY_HEAD: Final = 20

Array = npt.NDArray[Any]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ElementType:
    """An element type that arrays are made of.

    Attributes:
        oid: of the element type.
        array_oid: of its array type.
        dtype: the numpy type in memory.
    """

    oid: int
    array_oid: int
    dtype: np.dtype[Any]

    @property
    def wire(self) -> np.dtype[Any]:
        """One element with its length in front, as it goes over the wire."""
        return np.dtype([("size", ">i4"), ("value", self.dtype.newbyteorder(">"))])


INT2: Final = ElementType(21, 1005, np.dtype(np.int16))
INT4: Final = ElementType(23, 1007, np.dtype(np.int32))
INT8: Final = ElementType(20, 1016, np.dtype(np.int64))
UUID: Final = ElementType(2950, 2951, UUID_BYTES)
FLOAT8: Final = ElementType(701, 1022, np.dtype(np.float64))
#: Times as µs since 2000-01-01.
TIMESTAMPTZ: Final = ElementType(1184, 1185, np.dtype(np.int64))


def elements(values: Array, kind: ElementType) -> bytes:
    """Return the elements of `values` one after the other, `element_size` bytes each."""
    wire = np.empty(len(values), kind.wire)
    wire["size"] = kind.dtype.itemsize
    wire["value"] = values
    return wire.tobytes()


def element_size(kind: ElementType) -> int:
    """Return the bytes of one element on the wire."""
    return 4 + kind.dtype.itemsize


def array_heads(lengths: npt.NDArray[np.int64], kind: ElementType) -> bytes:
    """Return, for arrays without NULLs of these lengths, what goes before their elements: 24 bytes each, the field's length first."""
    heads = np.empty((len(lengths), 6), ">i4")
    heads[:, 0] = _ARRAY_HEAD + lengths * element_size(kind)
    heads[:, 1] = 1
    heads[:, 2] = 0
    heads[:, 3] = kind.oid
    heads[:, 4] = lengths
    heads[:, 5] = 1
    return heads.tobytes()


def array_field(values: Array, kind: ElementType, absent: Bool | None = None) -> bytes:
    """Return one array with its field length in front; elements where `absent` is True are NULL."""
    if absent is None or not absent.any():
        return array_heads(np.array([len(values)]), kind) + elements(values, kind)
    size = element_size(kind)
    cells = np.frombuffer(elements(values, kind), np.uint8).reshape(len(values), size).copy()
    cells[absent, :4] = 0xFF
    keep = np.ones((len(values), size), np.bool_)
    keep[absent, 4:] = False
    body = cells[keep].tobytes()
    head = np.array([_ARRAY_HEAD + len(body), 1, 1, kind.oid, len(values), 1], ">i4")
    return head.tobytes() + body


@dataclass(frozen=True, slots=True)
class ArrayParameter:
    """A numpy array as a query parameter. Positions where `absent` is True are NULL."""

    values: Array
    kind: ElementType
    absent: Bool | None = None


#: psycopg tells dumpers of one class apart by further classes; these stand for element types.
_ELEMENT_CLASSES: Final[dict[int, type]] = {
    kind.array_oid: type(f"Elements{kind.oid}", (), {}) for kind in (INT2, INT4, INT8, FLOAT8, TIMESTAMPTZ)
}


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def get_key(self, obj: ArrayParameter, format: PyFormat) -> DumperKey:  # noqa: A002, ARG002 - psycopg's signature
        return (self.cls, _ELEMENT_CLASSES[obj.kind.array_oid])

    def upgrade(self, obj: ArrayParameter, format: PyFormat) -> Dumper:  # noqa: A002, ARG002 - psycopg's signature
        dumper = type(self)(self.cls)
        dumper.oid = obj.kind.array_oid
        return dumper

    def dump(self, obj: ArrayParameter) -> Buffer:
        return array_field(obj.values, obj.kind, obj.absent)[4:]


def parse_array(data: Buffer, kind: ElementType) -> Array:
    """Return the elements of a one-dimensional binary array; a masked array if some are NULL."""
    raw = bytes(data)
    if len(raw) <= _ARRAY_HEAD:
        return np.empty(0, kind.dtype)
    has_nulls, length = (int.from_bytes(raw[at : at + 4], "big") for at in (4, 12))
    if not has_nulls:
        return np.frombuffer(raw, kind.wire, length, _ARRAY_HEAD)["value"].astype(kind.dtype)
    values, absent = np.zeros(length, kind.dtype), np.zeros(length, np.bool_)
    wire, at = kind.dtype.newbyteorder(">"), _ARRAY_HEAD
    for place in range(length):
        absent[place] = raw[at : at + 4] == NULL
        if not absent[place]:
            values[place] = np.frombuffer(raw, wire, 1, at + 4)[0]
        at += 4 if absent[place] else element_size(kind)
    return np.ma.MaskedArray(values, absent)


class Time(int):
    """A time in µs UTC as a timestamptz parameter."""


class _TimeDumper(Dumper):
    format = Format.BINARY
    oid = TIMESTAMPTZ.oid

    def dump(self, obj: Time) -> Buffer:
        return int(obj - PG_EPOCH).to_bytes(8, "big", signed=True)


class _TimeLoader(Loader):
    """Times as µs UTC: exact and free of the limits of `datetime`."""

    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        return int.from_bytes(data, "big", signed=True) + PG_EPOCH


def _loader(kind: ElementType) -> type[Loader]:
    class ArrayLoader(Loader):
        format = Format.BINARY

        def load(self, data: Buffer) -> Array:
            return parse_array(data, kind)

    return ArrayLoader


def register(connection: Connection[Any]) -> None:
    """Let this connection send `ArrayParameter` and `Time`, and receive numpy arrays and µs where it asks for binary results."""
    connection.adapters.register_dumper(ArrayParameter, _ArrayDumper)
    connection.adapters.register_dumper(Time, _TimeDumper)
    connection.adapters.register_loader(TIMESTAMPTZ.oid, _TimeLoader)
    for kind in (INT2, INT4, INT8, FLOAT8, UUID, TIMESTAMPTZ):
        connection.adapters.register_loader(kind.array_oid, _loader(kind))
