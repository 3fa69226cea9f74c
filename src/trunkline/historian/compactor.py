"""The compactor: many short, overlapping segments of a series and hour become few long ones.

One transaction replaces rows and changes no reading, so it may be killed at any instant and readers see either the old or the new rows,
never both. It needs no lock that a reader or writer waits for. An hour is merged once it is quiet, and again after late data; an hour
that is still being written has its short segments gathered now and then, so that charts of the last hour stay quick.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import structlog

from trunkline.historian.db import Connection, connect, translated
from trunkline.historian.pgbinary import Time, register
from trunkline.historian.rewriting import ONE_REWRITER, TAKEN, Taken, replace, take
from trunkline.historian.segments import MAX_READINGS, concatenate
from trunkline.model import times
from trunkline.model.errors import RetryLater

_log = structlog.get_logger(__name__)

_LOCK: Final = "SELECT pg_try_advisory_lock(7211, 3)"
_DIRTY: Final = """
    SELECT hour, writes, extract(epoch FROM clock_timestamp() - last_write)::float8,
           extract(epoch FROM clock_timestamp() - coalesce(compacted_at, '-infinity'))::float8
    FROM dirty_hour ORDER BY hour
"""
_SERIES: Final = "SELECT id FROM series WHERE kind <> 3 ORDER BY id"
_MESSY: Final = """
    SELECT series_id, feed_id, hour, count(*), sum(n) FROM segment
    WHERE series_id = ANY(%(series)s) AND t0 >= %(from)s AND t0 < %(to)s AND n < %(below)s
    GROUP BY 1, 2, 3 HAVING count(*) > 1 ORDER BY 1, 2, 3
"""
_TAKE: Final = f"""
    SELECT {TAKEN}
    FROM unnest(%(series)s::int4[], %(feeds)s::int4[], %(hours)s::int4[]) AS m (series_id, feed_id, hour)
    JOIN segment g USING (series_id, feed_id, hour) JOIN series s ON s.id = g.series_id
    WHERE g.series_id = ANY(%(series)s) AND g.t0 >= %(from)s AND g.t0 < %(to)s AND g.n < %(below)s
    ORDER BY g.series_id, g.feed_id, g.hour, g.t0
    FOR UPDATE OF g SKIP LOCKED
"""  # noqa: S608 - made of constants
_DONE: Final = "DELETE FROM dirty_hour WHERE hour = %s AND writes = %s"
_GATHERED: Final = "UPDATE dirty_hour SET compacted_at = clock_timestamp() WHERE hour = %s"

#: Series looked through by one query.
_SERIES_AT_ONCE: Final = 50
#: Segments and readings merged in one transaction, unless one hour of one series has more. They bound how long a kill sets back, and
#: memory: 3 to 5 MB by the bench `historian.memory`, where merging 15,000 segments at once took 52 MB.
_SEGMENTS_AT_ONCE: Final = 500
_READINGS_AT_ONCE: Final = 20_000
#: In an hour still being written, segments shorter than this are gathered.
_SHORT: Final = MAX_READINGS // 8


@dataclass(slots=True)
class Compaction:
    """What one pass did: hours finished, segments replaced and written, readings in them."""

    hours: int = 0
    before: int = 0
    after: int = 0
    readings: int = 0


class Compactor:
    """Merges segments. At most one works on a database at a time; others find nothing to do.

    Args:
        conninfo: PostgreSQL connection string.
        quiet_seconds: an hour is over for good when nothing was written into it for so long.
        gather_seconds: how often short segments of an hour still being written are gathered.
    """

    def __init__(self, conninfo: str, *, quiet_seconds: float = 60.0, gather_seconds: float = 600.0) -> None:
        self._conninfo = conninfo
        self._quiet = quiet_seconds
        self._gather = gather_seconds
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run_once(self, stop: threading.Event | None = None) -> Compaction:
        """Merge what is due now.

        Raises:
            RetryLater: PostgreSQL is unable now; nothing is half done.
        """
        done = Compaction()
        try:
            connection = self._connected()
            with translated():
                if not _one(connection, _LOCK):
                    return done
                for hour, writes, quiet, since_gathered in connection.execute(_DIRTY).fetchall():
                    over = times.now() >= (hour + 1) * times.HOUR and quiet >= self._quiet
                    if over:
                        self._merge_hour(connection, hour, MAX_READINGS + 1, done, stop)
                    elif since_gathered >= self._gather:
                        self._merge_hour(connection, hour, _SHORT, done, stop)
                    if stop is not None and stop.is_set():
                        return done
                    if over:
                        # late data that came meanwhile has raised `writes`: then the hour stays on the list
                        done.hours += connection.execute(_DONE, (hour, writes)).rowcount
                    elif since_gathered >= self._gather:
                        connection.execute(_GATHERED, (hour,))
        except RetryLater:
            self.close()
            raise
        return done

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._conninfo, name="trunkline compactor", autocommit=True)
            register(self._connection)
        return self._connection

    def _merge_hour(self, connection: Connection, hour: int, below: int, done: Compaction, stop: threading.Event | None) -> None:
        span = {"from": Time(hour * times.HOUR), "to": Time((hour + 1) * times.HOUR), "below": below}
        series = [row[0] for row in connection.execute(_SERIES).fetchall()]
        for begin in range(0, len(series), _SERIES_AT_ONCE):
            messy = connection.execute(_MESSY, span | {"series": series[begin : begin + _SERIES_AT_ONCE]}).fetchall()
            for groups in _portions([_Group(*row) for row in messy]):
                if stop is not None and stop.is_set():
                    return
                _merge(connection, groups, span, done)


class _Group(NamedTuple):
    """Short segments of one series, feed and ledger hour: what one merged segment may be made of."""

    series: int
    feed: int
    hour: int
    segments: int
    readings: int


def _portions(groups: list[_Group]) -> Iterator[list[_Group]]:
    """Yield the groups in portions of bounded size; a single group is never divided."""
    portion: list[_Group] = []
    segments = readings = 0
    for group in groups:
        segments, readings = segments + group.segments, readings + group.readings
        if portion and (segments > _SEGMENTS_AT_ONCE or readings > _READINGS_AT_ONCE):
            yield portion
            portion, segments, readings = [], group.segments, group.readings
        portion.append(group)
    if portion:
        yield portion


def _merge(connection: Connection, groups: list[_Group], span: dict[str, int], done: Compaction) -> None:
    """Merge these groups in one transaction."""
    keys = {"series": [one.series for one in groups], "feeds": [one.feed for one in groups], "hours": [one.hour for one in groups]}
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(ONE_REWRITER)
        old = [one for group in _grouped(take(cursor, _TAKE, span | keys)) if _worth_merging(group) for one in group]
        if old:
            readings = concatenate([one.readings() for one in old])
            done.after += replace(cursor, old, readings)
            done.before += len(old)
            done.readings += len(readings)


def _grouped(taken: list[Taken]) -> list[list[Taken]]:
    """Split sorted segments by series, feed and ledger hour."""
    groups: dict[tuple[int, int, int], list[Taken]] = {}
    for one in taken:
        groups.setdefault((one.segment.series, one.segment.feed, one.segment.hour), []).append(one)
    return list(groups.values())


def _worth_merging(group: list[Taken]) -> bool:
    """Return False if these segments follow each other and none but the last has room left: merging would change nothing."""
    apart = all(one.segment.t1 <= other.segment.t0 for one, other in pairwise(group))
    return not (apart and all(one.segment.n >= MAX_READINGS for one in group[:-1]))


def _one(connection: Connection, query: str) -> Any:  # noqa: ANN401 - a single value of any type
    row = connection.execute(query).fetchone()
    assert row is not None, "the query has no FROM"
    return row[0]
