"""The reader: everything that others may ask of history. Every call is bounded in rows and in time."""

from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np

from trunkline.historian import books, queries, spans
from trunkline.historian.chart import Buckets, bucket_width
from trunkline.historian.db import Connection
from trunkline.historian.event_rows import event_of
from trunkline.historian.pgbinary import Time
from trunkline.historian.pool import Pool
from trunkline.historian.readings import (
    Chart,
    Discrepancy,
    LatestValue,
    LedgerRow,
    LedgerSnapshot,
    Node,
    Raw,
    Removal,
    Tag,
    TagPage,
    ValueAt,
)
from trunkline.historian.rollup import reading
from trunkline.historian.rollup.reading import RollupSeries
from trunkline.historian.rollup.tiers import BY_NAME, TierName
from trunkline.historian.spans import SeriesKey
from trunkline.ledger.coverage import Range
from trunkline.ledger.status import GatewayStatus, decode_status
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind

#: Most rows that any call returns.
MAX_ROWS: Final = 1_000_000
MAX_POINTS: Final = 20_000
_LAST_ID: Final = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class UnknownTag(LookupError):
    """No series has this path."""


class Reader:
    """Reads history. Thread-safe.

    Args:
        conninfo: PostgreSQL connection string; a role that may only read is enough.
        connections: most connections at once.
        timeout: seconds after which a call is given up with RetryLater.
    """

    def __init__(self, conninfo: str, *, connections: int = 4, timeout: float = 30.0) -> None:
        self._pool = Pool(conninfo, connections, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close()

    # -- tags ---------------------------------------------------------------------------------------------------------------------

    def tags(self, search: str = "", under: str = "", limit: int = 500, cursor: str = "") -> TagPage:
        """Return tags whose path or description contains every word of `search`, at or below the path `under`."""
        filters = {"under": under, "below": _below(under), "words": _words(search), "cursor": cursor, "limit": _bounded(limit) + 1}
        with self._pool.connection() as connection:
            total = _rows(connection, queries.COUNT_TAGS, filters)[0][0]
            rows = _rows(connection, queries.TAGS, filters)
        found = [Tag(row[0], Kind(row[1]), *row[2:]) for row in rows[:limit]]
        return TagPage(found, found[-1].tag if len(rows) > limit else None, total)

    def tree(self, under: str = "") -> list[Node]:
        """Return the next level of the tree below a path; '' is the top."""
        prefix = f"{under}." if under else ""
        filters = {"under": under, "below": _below(under), "skip": len(prefix) + 1, "limit": MAX_ROWS}
        with self._pool.connection() as connection:
            return [Node(name, prefix + name, branch, tags) for name, branch, tags in _rows(connection, queries.TREE, filters)]

    def latest(self, tags: Sequence[str] = (), *, under: str | None = None) -> list[LatestValue]:
        """Return the newest reading of these tags, or of everything at or below a path ('' is everything)."""
        filters = {
            "tags": list(tags),
            "all": under == "",
            "under": under or "",
            "below": _below(under or ""),
            "limit": MAX_ROWS,
        }
        with self._pool.connection() as connection:
            rows = _rows(connection, queries.LATEST, filters)
        return [_latest(row) for row in rows]

    # -- readings -----------------------------------------------------------------------------------------------------------------

    def raw(self, tag: str, from_time: int, to_time: int, limit: int = 10_000, *, event_ids: bool = False) -> Raw:
        """Return the first `limit` readings with from_time <= time < to_time (µs UTC), in order of time.

        Event ids, which readings of third parties have, are fetched when asked for.

        Raises:
            UnknownTag: there is no such series.
        """
        with self._pool.connection() as connection:
            return spans.read(connection, _series(connection, tag), from_time, to_time, _bounded(limit), event_ids=event_ids)

    def chart(self, tag: str, from_time: int, to_time: int, points: int = 500) -> Chart:
        """Return count, least, most and average of about `points` buckets of one width; always exact.

        Rollups are taken where whole ones make up a bucket and are up to date; of the rest, segments that lie wholly in a bucket are taken
        from their headers and the others are unpacked.

        Raises:
            UnknownTag: there is no such series.
            ValueError: the time runs backwards.
        """
        if to_time <= from_time:
            raise ValueError(f"the time asked for runs backwards: from {from_time} to {to_time}")
        width = bucket_width(to_time - from_time, max(1, min(points, MAX_POINTS)))
        buckets, resolution = Buckets(width), "raw"
        with self._pool.connection() as connection:
            series = _series(connection, tag)
            if series.kind is Kind.TEXT:
                buckets.add_rows(_rows(connection, queries.TEXT_BUCKETS, _span(series, from_time, to_time, width)))
            else:
                resolution = _fill(connection, series, buckets, from_time, to_time, width)
        start, n, bad, least, most, average = buckets.result()
        return Chart(tag, series.kind, series.unit, width, start, n, bad, least, most, average, resolution)

    def rollup(self, tag: str, tier: TierName, from_time: int, to_time: int) -> RollupSeries:
        """Return the buckets of a tier ('1s', '10s', '1min', '1h' or '1day') with from_time <= start < to_time (µs UTC).

        The newest appear some seconds after they are over; '1s' and '10s' are kept for tags that the site file names.

        Raises:
            UnknownTag: there is no such series.
            ValueError: there is no such tier.
        """
        if tier not in BY_NAME:
            raise ValueError(f"there is no tier {tier!r}: use one of {', '.join(BY_NAME)}")
        with self._pool.connection() as connection:
            series = _series(connection, tag)
            rows, stop = reading.read(connection, series.id, BY_NAME[tier], from_time, to_time)
        return RollupSeries(tag, series.kind, series.unit, BY_NAME[tier], rows, stop)

    def at(self, tag: str, time: int, interpolate: Literal["hold", "linear"] = "hold") -> ValueAt | None:
        """Return a tag's value at a time: of the last reading not after it, or on the line to the next one.

        A line is drawn between two double values that are not BAD; anything else is held. None before the first reading.

        Raises:
            UnknownTag: there is no such series.
        """
        with self._pool.connection() as connection:
            return spans.value_at(connection, _series(connection, tag), time, linear=interpolate == "linear")

    # -- events -------------------------------------------------------------------------------------------------------------------

    def events(
        self,
        from_time: int,
        to_time: int,
        *,
        category: Category | None = None,
        under: str = "",
        search: str = "",
        limit: int = 200,
        cursor: str = "",
    ) -> tuple[list[tuple[Event, str]], str | None]:
        """Return events and alarms, newest first, each with its gateway; and the cursor of the next page or None.

        Args:
            from_time: µs UTC, first time of interest.
            to_time: µs UTC, first time after it.
            category: EVENT or ALARM; None for both.
            under: only of this asset and those below, or of this tag.
            search: every word must be in type, asset, tag, text, actor or source.
            limit: events on a page.
            cursor: as returned with the page before.
        """
        before_t, _, before_id = cursor.partition(":")
        filters = {
            "from": Time(from_time),
            "to": Time(to_time),
            "categories": [int(Category.EVENT), int(Category.ALARM)] if category is None else [int(category)],
            "under": under,
            "below": _below(under),
            "words": _words(search),
            "before_t": Time(int(before_t) if before_t else to_time),
            "before_id": before_id or _LAST_ID,
            "limit": _bounded(limit) + 1,
        }
        with self._pool.connection() as connection:
            rows = _rows(connection, queries.EVENTS, filters)
        found = [(event_of(row[:-1]), row[-1]) for row in rows[:limit]]
        more = len(rows) > limit
        return found, f"{found[-1][0].time}:{found[-1][0].id}" if more else None

    # -- accounts -----------------------------------------------------------------------------------------------------------------

    def ledger(self, from_time: int, to_time: int) -> list[LedgerRow]:
        """Return the ledger's cells of the hours that touch the time asked for, and of impossible times."""
        with self._pool.connection() as connection:
            return books.ledger(connection, from_time, to_time)

    def ledger_snapshot(self, *, recount: bool = False) -> LedgerSnapshot:
        """Return the whole ledger with positions and holes, of one moment; `recount` counts the tables again (`Counts.kept`)."""
        with self._pool.connection() as connection:
            return books.snapshot(connection, recount=recount)

    def audit(self) -> list[Discrepancy]:
        """Count every table again and return the cells where the ledger says otherwise; empty when all is well."""
        with self._pool.connection() as connection:
            return books.audit(connection)

    def holes(self) -> list[tuple[str, int, Range]]:
        """Return (gateway, partition, range) of journal positions that never arrived and were not given up on record."""
        with self._pool.connection() as connection:
            return books.holes(connection)

    def gateway_status(self) -> list[GatewayStatus]:
        """Return the newest report of each gateway."""
        with self._pool.connection() as connection:
            return [decode_status(text.encode()) for (text,) in _rows(connection, queries.GATEWAY_STATUS)]

    def removals(self, limit: int = 1000) -> list[Removal]:
        """Return what was taken out of history on purpose, newest first."""
        with self._pool.connection() as connection:
            return [Removal(*row) for row in _rows(connection, queries.REMOVALS, (_bounded(limit),))]


def _rows(connection: Connection, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:  # noqa: ANN401 - as psycopg takes them
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, parameters).fetchall()


def _series(connection: Connection, tag: str) -> SeriesKey:
    rows = _rows(connection, queries.SERIES, (tag,))
    if not rows:
        raise UnknownTag(f"there is no tag {tag!r} in the historian")
    return SeriesKey(tag, rows[0][0], Kind(rows[0][1]), rows[0][2])


def _span(series: SeriesKey, from_time: int, to_time: int, width: int) -> dict[str, Any]:
    return {"series": series.id, "from": Time(from_time), "to": Time(to_time), "width": timedelta(microseconds=width)}


def _fill(connection: Connection, series: SeriesKey, buckets: Buckets, from_time: int, to_time: int, width: int) -> str:
    """Fill the buckets of a numeric series; return what most of the time was taken from."""
    tier = reading.tier_for(width)
    known = [] if tier is None else reading.known_spans(connection, series.id, tier, from_time, to_time)
    for begin, end in known:
        assert tier is not None, "it has spans"
        buckets.add_rollups(reading.read(connection, series.id, tier, begin, end)[0])
    for begin, end in reading.between(known, from_time, to_time):
        span = _span(series, begin, end, width)
        buckets.add_rows(_rows(connection, queries.BUCKETS, span))
        for readings in spans.unpacked(connection, series, queries.SPLIT, span):
            buckets.add_readings(readings.take(np.flatnonzero((readings.time >= begin) & (readings.time < end))))
    covered = sum(end - begin for begin, end in known)
    return tier.title if tier is not None and 2 * covered > to_time - from_time else "raw"


def _latest(row: tuple[Any, ...]) -> LatestValue:
    tag, kind, time, gateway_time, quality, number, integer, text = row
    value = {Kind.DOUBLE: number, Kind.INTEGER: integer, Kind.TEXT: text}.get(Kind(kind), None if integer is None else bool(integer))
    return LatestValue(tag, Kind(kind), value, quality & 0xFFFF, time, gateway_time)


def _bounded(limit: int) -> int:
    return max(1, min(limit, MAX_ROWS))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _below(under: str) -> str:
    return f"{_escaped(under)}.%" if under else "%"


def _words(search: str) -> list[str]:
    return [f"%{_escaped(word)}%" for word in search.split()]
