"""Readings of one series over a span of time: overlapping segments merged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np

from trunkline.historian import queries
from trunkline.historian.db import Connection
from trunkline.historian.pgbinary import Time
from trunkline.historian.readings import Raw, ValueAt
from trunkline.historian.segments import Packed, Readings, concatenate, have_ids
from trunkline.log.codec.event_ids import IDS
from trunkline.model import times
from trunkline.model.quality import Severity, severity, worse
from trunkline.model.reading import Kind, Value

#: Segments fetched at once: bounds memory, whatever is asked for.
_CHUNK: Final = 64


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A series that was found."""

    tag: str
    id: int
    kind: Kind
    unit: str

    @property
    def whole(self) -> bool:
        """Whether the values are integers or booleans."""
        return self.kind in {Kind.INTEGER, Kind.BOOLEAN}


def unpacked(connection: Connection, series: SeriesKey, query: str, parameters: Mapping[str, Any]) -> Iterator[Readings]:
    """Yield the readings of each segment of a query of `queries.PACKED`, in its order."""
    with connection.cursor(name="spans", binary=True) as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(_CHUNK):
            for row in rows:
                yield Packed(*row).unpack(whole=series.whole)


def read(connection: Connection, series: SeriesKey, from_time: int, to_time: int, limit: int, *, event_ids: bool = False) -> Raw:
    """Return the first `limit` readings of a span, in order of time, on request with their event ids."""
    if series.kind is Kind.TEXT:
        return _texts(connection, series, from_time, to_time, limit)
    parts: list[Readings] = []
    found = 0
    span = {"series": series.id, "from": Time(from_time), "to": Time(to_time)}
    query = queries.SEGMENTS_WITH_IDS if event_ids else queries.SEGMENTS
    for part in unpacked(connection, series, query, span):
        # readings before this segment's first can come from no later segment: enough of them, and the rest need not be read
        if found > limit and sum(int(np.count_nonzero(one.time < part.time[0])) for one in parts) > limit:
            break
        inside = part.take(np.flatnonzero((part.time >= from_time) & (part.time < to_time)))
        parts.append(inside)
        found += len(inside)
    if not parts:
        return _raw(series, _nothing(), truncated=False)
    merged = concatenate(parts)
    order = np.argsort(merged.time, kind="stable")
    return _raw(series, merged.take(order[:limit]), truncated=len(order) > limit)


def value_at(connection: Connection, series: SeriesKey, time: int, *, linear: bool) -> ValueAt | None:
    """Return the value at a time, see `Reader.at`."""
    before = _last_before(connection, series, time)
    if before is None:
        return None
    from_time, quality, value = before
    if linear and series.kind is Kind.DOUBLE and from_time < time and (after := _first_after(connection, series, time)):
        until, end_quality, end = after
        usable = severity(quality) < Severity.BAD and severity(end_quality) < Severity.BAD
        if isinstance(value, float) and isinstance(end, float) and usable:
            value += (end - value) * ((time - from_time) / (until - from_time))
            quality = worse(quality, end_quality)
    return ValueAt(series.tag, series.kind, value, quality, time, from_time)


def _last_before(connection: Connection, series: SeriesKey, time: int) -> tuple[int, int, Value] | None:
    cursor = connection.cursor(binary=True)
    if series.kind is Kind.TEXT:
        row = cursor.execute(queries.LAST_TEXT, (series.id, Time(time))).fetchone()
        return None if row is None else (row[0], row[1] & 0xFFFF, row[2])
    row = cursor.execute(queries.LAST_HOUR, (series.id, Time(time))).fetchone()
    if row is None:
        return None
    raw = _hour(connection, series, row[0], to_time=time + 1)
    return int(raw.time[-1]), int(raw.quality[-1]), raw.values()[-1]


def _first_after(connection: Connection, series: SeriesKey, time: int) -> tuple[int, int, Value] | None:
    row = connection.cursor(binary=True).execute(queries.NEXT_HOUR, {"series": series.id, "t": Time(time)}).fetchone()
    if row is None:
        return None
    raw = _hour(connection, series, row[0], to_time=row[0] + times.HOUR)
    place = int(np.searchsorted(raw.time, time, side="right"))
    return int(raw.time[place]), int(raw.quality[place]), raw.values()[place]


def _hour(connection: Connection, series: SeriesKey, hour: int, to_time: int) -> Raw:
    span = {"series": series.id, "from": Time(hour), "to": Time(to_time)}
    parts = list(unpacked(connection, series, queries.SEGMENTS, span))
    merged = concatenate(parts)
    order = np.argsort(merged.time, kind="stable")
    return _raw(series, merged.take(order[merged.time[order] < to_time]), truncated=False)


def _raw(series: SeriesKey, readings: Readings, *, truncated: bool) -> Raw:
    return Raw(
        tag=series.tag,
        kind=series.kind,
        unit=series.unit,
        time=readings.time,
        quality=readings.quality,
        number=readings.number,
        integer=readings.integer,
        text=[],
        absent=readings.absent,
        truncated=truncated,
        event_ids=None if readings.ids is None else _uuids(readings.ids),
    )


def _uuids(ids: IDS) -> list[UUID | None]:
    there = have_ids(ids).tolist()
    return [UUID(bytes=one) if here else None for one, here in zip(ids.tolist(), there, strict=True)]


def _texts(connection: Connection, series: SeriesKey, from_time: int, to_time: int, limit: int) -> Raw:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(queries.TEXTS, (series.id, Time(from_time), Time(to_time), limit + 1)).fetchall()
    kept = rows[:limit]
    return Raw(
        tag=series.tag,
        kind=series.kind,
        unit=series.unit,
        time=np.array([row[0] for row in kept], np.int64),
        quality=np.array([row[1] & 0xFFFF for row in kept], np.uint16),
        number=np.zeros(len(kept), np.float64),
        integer=np.zeros(len(kept), np.int64),
        text=[row[2] for row in kept],
        absent=np.array([row[2] is None for row in kept], np.bool_),
        truncated=len(rows) > limit,
        event_ids=[row[3] for row in kept] if any(row[3] for row in kept) else None,
    )


def _nothing() -> Readings:
    ids = np.empty(0, np.int32)
    flags = np.empty(0, np.bool_)
    whole = np.empty(0, np.int64)
    return Readings(ids, ids, ids, whole, np.empty(0, np.uint16), flags, np.empty(0, np.float64), whole, flags)
