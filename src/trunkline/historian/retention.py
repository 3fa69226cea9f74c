"""Taking history away on purpose: by age, whole months at a time, or a tag's readings that were wrong. Always on record."""

from collections import Counter
from datetime import date
from typing import Final

import numpy as np

from trunkline.historian import spans, statements
from trunkline.historian.catalogue import Series
from trunkline.historian.db import PG_EPOCH, Connection, connect, translated
from trunkline.historian.pgbinary import INT4, TIMESTAMPTZ, ArrayParameter, Time, register
from trunkline.historian.rewriting import ONE_REWRITER, TAKEN, replace, take
from trunkline.historian.segments import concatenate
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.reading import Kind

#: Members of the historian's group retire history one at a time; the lock ends with the connection.
_ALONE: Final = "SELECT pg_try_advisory_lock(7211, 5)"
_MONTHS: Final = "SELECT stored_months()"
_DROP_MONTH: Final = "SELECT drop_month(%s, %s, %s)"
_DROP_EVENTS: Final = "SELECT drop_events(%s, %s, %s)"
_SERIES: Final = "SELECT id, kind FROM series WHERE tenant = 'default' AND tag = %s"
_TOUCHED: Final = f"""
    SELECT {TAKEN} FROM segment g JOIN series s ON s.id = g.series_id
    WHERE g.series_id = %(series)s AND g.t0 >= date_bin('1 hour', %(from)s, '1970-01-01T00:00:00Z') AND g.t0 < %(to)s AND g.t1 >= %(from)s
    FOR UPDATE OF g
"""  # noqa: S608 - made of constants
_DELETE_TEXTS: Final = "DELETE FROM text_reading WHERE series_id = %s AND t >= %s AND t < %s RETURNING feed_id, hour"
_DELETE_ROWS: Final = "DELETE FROM reading_row WHERE series_id = %s AND t >= %s AND t < %s"
_COUNT_REMOVED: Final = "UPDATE ledger SET removed = removed + %s WHERE feed_id = %s AND category = 0 AND hour = %s"
_RECORD: Final = """
    INSERT INTO removal (kind, actor, reason, tag, from_t, to_t, records) VALUES ('correction', %s, %s, %s, %s, %s, %s)
"""
_FORGET_LATEST: Final = "DELETE FROM latest WHERE series_id = %s AND t >= %s AND t < %s"
_RECALL_LATEST: Final = """
    INSERT INTO latest (series_id, t, gateway_t, q, v, i, s) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (series_id) DO NOTHING
"""


def drop_old(conninfo: str, retention_days: float, now: int | None = None) -> int:
    """Drop the months of readings, and the events, that are wholly older than `retention_days`; return the records dropped.

    Nothing is dropped while another process is at it.

    Raises:
        RetryLater: PostgreSQL is away, or a long query holds a table; try again later.
    """
    before = (times.now() if now is None else now) - int(retention_days * times.DAY)
    edge = times.to_datetime(before)
    reason = f"older than {retention_days:g} days"
    dropped = 0
    with translated(), connect(conninfo, name="trunkline retention", autocommit=True) as connection:
        if connection.execute(_ALONE).fetchone() != (True,):
            return 0
        months = [row[0] for row in connection.execute(_MONTHS).fetchall()]
        for month in months:
            if _next_month(month) <= edge.date():
                dropped += _number(connection, _DROP_MONTH, (month, "retention", reason))
        dropped += _number(connection, _DROP_EVENTS, (edge, "retention", reason))
    return dropped


def remove_readings(conninfo: str, tag: str, from_time: int, to_time: int, *, actor: str, reason: str) -> int:
    """Remove a tag's readings with from_time <= time < to_time (µs UTC) and return how many there were.

    Raises:
        Misconfigured: there is no such tag.
        RetryLater: PostgreSQL is unable now.
    """
    with translated(), connect(conninfo, name="trunkline correction") as connection:
        register(connection)
        row = connection.execute(_SERIES, (tag,)).fetchone()
        if row is None:
            raise Misconfigured(f"there is no tag {tag!r} in the historian")
        series = Series(row[0], Kind(row[1]))
        if series.kind is Kind.TEXT:
            cells = connection.execute(_DELETE_TEXTS, (series.id, Time(from_time), Time(to_time))).fetchall()
        else:
            cells = _cut_out(connection, series, from_time, to_time)
            connection.execute(_DELETE_ROWS, (series.id, Time(from_time), Time(to_time)))
        for (feed, hour), removed in sorted(Counter(cells).items()):
            connection.execute(_COUNT_REMOVED, (removed, feed, hour))
        connection.execute(_RECORD, (actor, reason, tag, Time(from_time), Time(to_time), len(cells)))
        if connection.execute(_FORGET_LATEST, (series.id, Time(from_time), Time(to_time))).rowcount:
            _recall_latest(connection, tag, series, to_time)
        return len(cells)


def _cut_out(connection: Connection, series: Series, from_time: int, to_time: int) -> list[tuple[int, int]]:
    """Rewrite the segments touched without these readings; return (feed, ledger hour) of each reading removed."""
    with connection.cursor() as cursor:
        cursor.execute(ONE_REWRITER)
        old = take(cursor, _TOUCHED, {"series": series.id, "from": Time(from_time), "to": Time(to_time)})
        if not old:
            return []
        readings = concatenate([one.readings() for one in old])
        gone = (readings.time >= from_time) & (readings.time < to_time)
        replace(cursor, old, readings.take(np.flatnonzero(~gone)))
        minutes = np.unique(readings.time[gone] // times.MINUTE) * times.MINUTE - PG_EPOCH
        of = np.full(len(minutes), series.id, np.int32)
        cursor.execute(statements.MARK_MINUTES, (ArrayParameter(minutes, TIMESTAMPTZ), ArrayParameter(of, INT4)))
        return list(zip(readings.feed[gone].tolist(), readings.hour[gone].tolist(), strict=True))


def _recall_latest(connection: Connection, tag: str, series: Series, before: int) -> None:
    """Put the newest reading that is left into `latest`."""
    last = spans.value_at(connection, spans.SeriesKey(tag, series.id, series.kind, ""), before, linear=False)
    if last is None:
        return
    value, whole = last.value, series.kind in {Kind.INTEGER, Kind.BOOLEAN}
    number = value if series.kind is Kind.DOUBLE else None
    integer = int(value) if whole and isinstance(value, int) else None
    text = value if series.kind is Kind.TEXT else None
    quality = last.quality - (last.quality >> 15 << 16)
    connection.execute(_RECALL_LATEST, (series.id, Time(last.from_time), Time(last.from_time), quality, number, integer, text))


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _number(connection: Connection, query: str, parameters: tuple[object, ...]) -> int:
    row = connection.execute(query, parameters).fetchone()
    return int(row[0]) if row else 0
