"""Rows of the table of rollups as numpy records, to and from PostgreSQL's binary COPY."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline.historian.db import PG_EPOCH, Connection
from trunkline.historian.pgbinary import COPY_HEADER, COPY_TRAILER, NULL

#: Stands for no time; PostgreSQL's -infinity.
NEVER: Final = np.iinfo(np.int64).min
TIMES: Final = ("start", "min_t", "max_t", "first_t", "last_t", "end_t")
ROW: Final = np.dtype(
    [
        ("tier", "i2"), ("series_id", "i4"), ("start", "i8"), ("revision", "i4"),
        ("n", "i4"), ("uncertain", "i4"), ("bad", "i4"), ("valued", "i4"),
        ("good_us", "i8"), ("uncertain_us", "i8"), ("bad_us", "i8"), ("valued_us", "i8"),
        ("avg", "f8"), ("m2", "f8"), ("tw_avg", "f8"),
        ("min", "f8"), ("min_t", "i8"), ("max", "f8"), ("max_t", "i8"),
        ("first", "f8"), ("first_t", "i8"), ("last", "f8"), ("last_t", "i8"),
        ("p50", "f8"), ("p95", "f8"), ("p99", "f8"), ("total", "f8"),
        ("end_t", "i8"), ("end_q", "i2"), ("end_v", "f8"), ("counted", "f8"),
    ]
)  # fmt: skip
COLUMNS: Final = ", ".join(ROW.names or ())
COPY_IN: Final = f"COPY rollup ({COLUMNS}, sketch) FROM STDIN (FORMAT BINARY)"

#: Rows of `ROW`. Figures are NaN, and their times NEVER, where no reading has a usable value.
Rows = npt.NDArray[np.void]


def wire_of(fields: Sequence[tuple[str, str]]) -> np.dtype[Any]:
    """Return the record that a row of fixed-size fields is in binary COPY."""
    columns: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in fields:
        columns += [(f"{name}_size", ">i4"), (name, ">" + kind)]
    return np.dtype(columns)


_FIELDS: Final = [(name, ROW[name].str[1:]) for name in ROW.names or ()]
_WIRE: Final = wire_of(_FIELDS)


def to_copy(rows: Rows, sketches: Sequence[bytes | None] | None) -> bytes:
    """Return rows as binary COPY takes them, each with its sketch."""
    wire = np.empty(len(rows), _WIRE)
    wire["fields"] = len(_FIELDS) + 1
    for name, kind in _FIELDS:
        wire[f"{name}_size"] = int(kind[1:])
        wire[name] = _to_postgres(rows[name]) if name in TIMES else rows[name]
    cells, size = wire.tobytes(), _WIRE.itemsize
    fields = [NULL if one is None else len(one).to_bytes(4, "big") + one for one in sketches or [None] * len(rows)]
    body = b"".join(cells[at * size : at * size + size] + field for at, field in enumerate(fields))
    return COPY_HEADER + body + COPY_TRAILER


def from_copy(content: bytes) -> Rows:
    """Return the rows of `COLUMNS` that COPY TO gave."""
    wire = records(content, _WIRE)
    rows = np.empty(len(wire), ROW)
    for name, _ in _FIELDS:
        rows[name] = from_postgres(wire[name]) if name in TIMES else wire[name]
    return rows


def records(content: bytes, wire: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the records of a binary COPY whose rows all have one size."""
    body = len(content) - len(COPY_HEADER) - len(COPY_TRAILER)
    return np.frombuffer(content, wire, body // wire.itemsize, len(COPY_HEADER))


def copied(connection: Connection, query: str, parameters: dict[str, Any]) -> bytes:
    """Return what COPY (query) TO gives in binary form; the parameters are put in as literals."""
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)", parameters) as copy:
        return b"".join(copy)


def from_postgres(moments: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return µs UTC of timestamps as PostgreSQL counts them."""
    found = moments.astype(np.int64)
    return np.where(found == NEVER, NEVER, found + PG_EPOCH)


def _to_postgres(moments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.where(moments == NEVER, NEVER, moments - np.where(moments == NEVER, 0, PG_EPOCH))


def alike(one: Rows, other: Rows) -> npt.NDArray[np.bool_]:
    """Return where two rows agree bit by bit, their revisions aside."""
    same = np.ones(len(one), np.bool_)
    for name in ROW.names or ():
        if name != "revision":
            same &= _bits(one[name]) == _bits(other[name])
    return same


def _bits(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(column).view(np.int64) if column.dtype.kind == "f" else column
