"""The roller: makes due buckets anew from the segments, and deletes their marks in the transaction that stores the results.

A mark is written with the readings, so a kill anywhere loses nothing: a bucket is either marked or equal to its readings. Nothing is ever
adjusted: late, corrected and ordinary readings go the same way. A bucket begins with what the row before it says was held at its end; where
that changes, the next bucket is marked, and so on until a row stays as it was. Minutes mark their hour, hours their day.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, NamedTuple, Self
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.historian.db import Connection, connect, translated
from trunkline.historian.pgbinary import INT4, ArrayParameter, Time, register
from trunkline.historian.rollup import statements, table
from trunkline.historian.rollup.merge import merge
from trunkline.historian.rollup.publishing import Outlet, Publisher
from trunkline.historian.rollup.rows import NEVER, Rows
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.rollup.summary import Held, Points, held_at_end, present, summarise
from trunkline.historian.rollup.tiers import FINE, Tier, day_after, day_of
from trunkline.historian.segments import I64
from trunkline.model import times
from trunkline.model.errors import RetryLater

#: Readings and buckets looked at in one transaction, about: they bound memory and what a kill sets back.
_READINGS_AT_ONCE: Final = 300_000
_CELLS_AT_ONCE: Final = 60_000
_MOST_SERIES: Final = 2_000
#: Readings a series and minute, until the first are seen.
_GUESS: Final = 600.0


@dataclass(slots=True)
class Rolled:
    """What one pass did: buckets that are new, that were revised, that were published; readings looked at (once for each tier)."""

    made: int = 0
    revised: int = 0
    published: int = 0
    readings: int = 0


class _Mark(NamedTuple):
    id: int
    start: int
    stop: int
    series: I64


@dataclass(slots=True)
class _Window:
    """Buckets of one tier that are made together, low <= start < high, of these series (ascending); and the marks that ask for them."""

    tier: Tier
    low: int
    high: int
    series: list[int]
    marks: list[_Mark] = field(default_factory=list)


class Roller:
    """Makes rollups. At most one works on a database at a time; others find nothing to do.

    Args:
        conninfo: PostgreSQL connection string.
        settings: what the site file says of tags.
        zone: in which days begin.
        outlet: where new and revised buckets are published; None publishes nothing.
    """

    def __init__(self, conninfo: str, settings: Settings, zone: ZoneInfo, outlet: Outlet | None = None) -> None:
        self._conninfo = conninfo
        self._settings = settings
        self._zone = zone
        self._shelf = table.Shelf(frozenset() if outlet is None else frozenset(outlet.topics))
        self._publisher = None if outlet is None else Publisher(outlet, zone)
        self._connection: Connection | None = None
        self._per_minute = _GUESS
        self._dropped: dict[Tier, int] = {}
        self._known = 0
        self._raw_dropped = NEVER

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; a transaction under way is undone by the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run_once(self, stop: threading.Event | None = None, now: int | None = None) -> Rolled:
        """Make what is due now.

        Raises:
            RetryLater: PostgreSQL is unable now; nothing is half done.
        """
        done = Rolled()
        now = times.now() if now is None else now
        try:
            connection = self._connected()
            with translated():
                if connection.execute(statements.ALONE).fetchone() != (True,):
                    return done
                self._look_around(connection)
                for tier in (Tier.MINUTE, Tier.HOUR, Tier.DAY):
                    for window in self._due(connection, tier, now):
                        if stop is not None and stop.is_set():
                            return done
                        self._make(connection, window, done)
                if self._publisher is not None:
                    done.published = self._publisher.run_once(connection, stop)
        except RetryLater:
            self.close()
            raise
        return done

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._conninfo, name="trunkline roller", autocommit=True)
            register(self._connection)
            self._shelf.forget()
            if self._publisher is not None:
                self._publisher.forget()
        return self._connection

    def _look_around(self, connection: Connection) -> None:
        """Learn of new series and of what retention has dropped."""
        self._learn(connection)
        cursor = connection.cursor(binary=True)
        self._raw_dropped, zone = cursor.execute(statements.STATE).fetchone() or (NEVER, "")
        if zone != self._zone.key:
            self._move_days(connection)
        dropped = {Tier(tier): before for tier, before in cursor.execute(statements.TIERS_DROPPED).fetchall()}
        if dropped != self._dropped:
            self._dropped = dropped
            self._shelf.forget()

    def _learn(self, connection: Connection) -> None:
        """Learn of series that are new to this roller; what was summarised otherwise than the site file says now is made anew."""
        new: dict[int, str] = dict(connection.execute(statements.SERIES, (self._known,)).fetchall())
        if not new:
            return
        self._settings.add(new)
        holds = self._settings.ways(list(new)).hold.tolist()
        told = {"series": list(new), "ways": [self._settings.words(one) for one in new], "holds": holds}
        with connection.transaction():
            changed = connection.execute(statements.CHANGED, told).fetchall()
            if changed:
                reach = -(-max(hold for _, hold in changed) // times.MINUTE)
                connection.execute(statements.MARK_HISTORY, ([one for one, _ in changed], reach))
            connection.execute(statements.TELL_WAYS, told)
        self._known = max(new)

    def _move_days(self, connection: Connection) -> None:
        """The site's zone changed: make its days anew from the hours that are there."""
        with connection.transaction():
            connection.execute(statements.FORGET_DAYS)
            for hour, series in connection.cursor(binary=True).execute(statements.HOURS).fetchall():
                for day in sorted({day_of(self._zone, hour), day_of(self._zone, hour + times.HOUR - 1)}):
                    self._mark(connection, Tier.DAY, day, day_after(self._zone, day), series.tolist())
            connection.execute(statements.TELL_ZONE, (self._zone.key,))

    # -- what is due --------------------------------------------------------------------------------------------------------------

    def _due(self, connection: Connection, tier: Tier, now: int) -> Iterator[_Window]:
        """Yield what is due of a tier, earliest first, until nothing is; making one window may mark the next."""
        config = self._settings.config
        patience = config.grace_seconds if tier is Tier.MINUTE else config.repair_seconds
        over = now - round(config.grace_seconds * times.SECOND)
        span = {"tier": int(tier), "patience": patience, "latest": Time(over - tier.width)}
        while True:
            cursor = connection.cursor(binary=True)
            first = cursor.execute(statements.FIRST_DUE, span).fetchone()
            if first is None:
                return
            low, high = self._together(tier, first[0])
            if tier is Tier.DAY and high > over:  # a day of 25 hours
                return
            rows = cursor.execute(statements.DUE, span | {"from": Time(low), "to": Time(high)}).fetchall()
            marks = [_Mark(*row) for row in rows]
            yield self._window(tier, marks, low, min(high, over // tier.width * tier.width if tier is Tier.MINUTE else high))

    def _together(self, tier: Tier, start: int) -> tuple[int, int]:
        """Return the span whose buckets are made together: minutes by the hour, hours and days one by one."""
        if tier is Tier.DAY:
            return start, day_after(self._zone, start)
        low = start // times.HOUR * times.HOUR
        return low, low + times.HOUR

    def _window(self, tier: Tier, marks: list[_Mark], low: int, high: int) -> _Window:
        series = np.unique(np.concatenate([mark.series for mark in marks])).tolist()
        known = [one for one in series if self._settings.knows(one)]
        begin = max(low, min(mark.start for mark in marks))
        end = min(high, max(mark.stop for mark in marks))
        return _Window(tier, begin, end if tier is Tier.MINUTE else high, known, marks)

    # -- making -------------------------------------------------------------------------------------------------------------------

    def _make(self, connection: Connection, window: _Window, done: Rolled) -> None:
        """Make a window, some series at a time; the last transaction deletes its marks."""
        left = window.series if window.low >= self._raw_dropped or window.tier is Tier.DAY else []
        while True:
            part, left = _split(left, self._series_at_once(window))
            with connection.transaction():
                if part:
                    self._make_part(connection, window, part, done)
                if not left:
                    self._unmark(connection, window)
                    return

    def _series_at_once(self, window: _Window) -> int:
        minutes = (window.high - window.low) // times.MINUTE
        by_readings = int(_READINGS_AT_ONCE / self._per_minute / minutes)
        if window.tier is Tier.MINUTE:
            return max(1, min(_MOST_SERIES, by_readings, _CELLS_AT_ONCE // 60 // minutes))
        return _MOST_SERIES if window.tier is Tier.DAY else max(1, min(_MOST_SERIES, by_readings))

    def _unmark(self, connection: Connection, window: _Window) -> None:
        """Delete the marks; what they ask for beyond the window is marked again."""
        connection.execute(statements.UNMARK, ([mark.id for mark in window.marks],))
        for mark in window.marks:
            if mark.stop > window.high:
                rest = (int(window.tier), Time(window.high), Time(mark.stop), ArrayParameter(mark.series, INT4))
                connection.execute(statements.MARK_AT_ONCE, rest)

    def _make_part(self, connection: Connection, window: _Window, series: list[int], done: Rolled) -> None:
        if window.tier is Tier.DAY:
            self._make_day(connection, window, series, done)
            return
        points = table.readings(connection, series, window.low, window.high)
        done.readings += len(points)
        self._per_minute = max(0.1, len(points) / len(series) / ((window.high - window.low) // times.MINUTE))
        if window.low - window.tier.width >= self._dropped.get(window.tier, NEVER):
            self._make_buckets(connection, window, series, points, done)
        if window.tier is Tier.MINUTE:
            hour = window.low // times.HOUR * times.HOUR
            self._mark(connection, Tier.HOUR, hour, hour + times.HOUR, series)
        else:
            for day in sorted({day_of(self._zone, window.low), day_of(self._zone, window.high - 1)}):
                self._mark(connection, Tier.DAY, day, day_after(self._zone, day), series)

    def _make_buckets(self, connection: Connection, window: _Window, series: list[int], points: Points, done: Rolled) -> None:
        tier, low, high = window.tier, window.low, window.high
        old = table.rows_of(connection, tier, series, low - tier.width, high)
        held = self._held(connection, tier, series, low, old[old["start"] < low])
        new = self._summarise(connection, tier, series, points, held, (low, high), old[old["start"] >= low], done)
        self._mark_next(connection, tier, series, new, old, high)
        if tier is not Tier.MINUTE:
            return
        for fine in FINE:
            chosen = self._settings.fine(fine, series)
            if chosen and low >= self._dropped.get(fine, NEVER):
                places = np.searchsorted(series, chosen)
                own = _only(points, places)
                part = Held(held.time[places], held.quality[places], held.value[places], held.counted[places])
                there = table.rows_of(connection, fine, chosen, low, high)
                self._summarise(connection, fine, chosen, own, part, (low, high), there, done)

    def _summarise(
        self,
        connection: Connection,
        tier: Tier,
        series: list[int],
        points: Points,
        held: Held,
        span: tuple[int, int],
        old: Rows,
        done: Rolled,
    ) -> Rows:
        """Make and store the rows of a span; return all of them, by series and start."""
        edges = span[0] + tier.width * np.arange((span[1] - span[0]) // tier.width + 1)
        sketched = tier is Tier.HOUR
        rows, sketches = summarise(points, held, self._settings.ways(series), edges, sketched=sketched)
        rows["series_id"] = np.repeat(np.array(series, np.int32), len(edges) - 1)
        old_sketches = table.sketches_of(connection, tier, series, *span) if sketched and len(old) else []
        stored = self._shelf.store(connection, tier, rows, old, sketches, old_sketches)
        done.made += len(stored.rows) - stored.revised
        done.revised += stored.revised
        return rows

    def _held(self, connection: Connection, tier: Tier, series: list[int], low: int, before: Rows) -> Held:
        """Return what each series begins with; a counter's last value is looked for further back where the row before is missing."""
        held = table.held_by(before, np.array(series))
        counters = ~np.isnan(self._settings.ways(series).rollover) & np.isnan(held.counted)
        if counters.any():
            wanted = [one for one, here in zip(series, counters.tolist(), strict=True) if here]
            span = {"tier": int(tier), "series": wanted, "before": Time(low)}
            for one, counted in connection.execute(statements.LAST_COUNTED, span).fetchall():
                held.counted[np.searchsorted(series, one)] = counted
        return held

    def _mark_next(self, connection: Connection, tier: Tier, series: list[int], new: Rows, old: Rows, high: int) -> None:
        """Mark the bucket after the window for the series whose last row says something new of what it begins with."""
        last = new[new["start"] == high - tier.width]
        known = np.isin(last["series_id"], old["series_id"][old["start"] == high - tier.width])
        differs = table.ends_differ(last, old) & (known | present(last))
        ways = self._settings.ways(series)
        # what was held before may have reached further than what is held now
        reaches = known | (held_at_end(last).time + ways.hold > high)
        self._mark(connection, tier, high, high + tier.width, _chosen(series, differs & reaches))
        counters = _chosen(series, differs & ~np.isnan(ways.rollover))
        if counters:
            span = {"tier": int(tier), "series": counters, "from": Time(high)}
            for one, start in connection.cursor(binary=True).execute(statements.NEXT_ROWS, span).fetchall():
                self._mark(connection, tier, start, start + tier.width, [one])

    def _mark(self, connection: Connection, tier: Tier, start: int, stop: int, series: Sequence[int]) -> None:
        if not len(series):
            return
        parameters = (int(tier), Time(start), Time(stop), ArrayParameter(np.array(series, np.int32), INT4))
        follows = tier is Tier.MINUTE
        connection.execute(statements.MARK_AT_ONCE if follows else statements.MARK, parameters)

    # -- days ---------------------------------------------------------------------------------------------------------------------

    def _make_day(self, connection: Connection, window: _Window, series: list[int], done: Rolled) -> None:
        """Merge a day from its hours; where the zone cuts an hour in two, its part is made from the readings."""
        low, high = window.low, window.high
        if low < self._dropped.get(Tier.HOUR, NEVER) or low < self._dropped.get(Tier.DAY, NEVER):
            return
        first, last = -(-low // times.HOUR) * times.HOUR, high // times.HOUR * times.HOUR
        if (first > low or last < high) and min(low, last) < self._raw_dropped:
            return
        rows = [table.rows_of(connection, Tier.HOUR, series, first, last)]
        sketches = table.sketches_of(connection, Tier.HOUR, series, first, last)
        for begin, end in ((low, first), (last, high)):
            if begin < end:
                piece, found = self._piece(connection, series, begin, end)
                rows.append(piece)
                sketches += found
        parts = np.concatenate(rows)
        if not len(parts):
            return
        order = np.lexsort((parts["start"], parts["series_id"]))
        found_series, group = np.unique(parts["series_id"][order], return_inverse=True)
        whole = merge(parts[order], [sketches[place] for place in order.tolist()], group)
        whole["series_id"], whole["start"] = found_series, low
        old = table.rows_of(connection, Tier.DAY, series, low, low + 1)
        stored = self._shelf.store(connection, Tier.DAY, whole, old, None, [])
        done.made += len(stored.rows) - stored.revised
        done.revised += stored.revised

    def _piece(self, connection: Connection, series: list[int], begin: int, end: int) -> tuple[Rows, list[bytes | None]]:
        """Return a row for each series of a part of one hour."""
        hour = begin // times.HOUR * times.HOUR
        before = table.rows_of(connection, Tier.HOUR, series, hour - times.HOUR, hour)
        held = self._held(connection, Tier.HOUR, series, hour, before)
        points = table.readings(connection, series, hour, end)
        edges = np.unique(np.array([hour, begin, end]))
        rows, sketches = summarise(points, held, self._settings.ways(series), edges, sketched=True)
        rows["series_id"] = np.repeat(np.array(series, np.int32), len(edges) - 1)
        assert sketches is not None, "asked for"
        chosen = np.flatnonzero((rows["start"] == begin) & present(rows))
        return rows[chosen], [sketches[place] for place in chosen.tolist()]


def _split(series: list[int], size: int) -> tuple[list[int], list[int]]:
    return series[:size], series[size:]


def _chosen(series: list[int], mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[int]:
    return [one for one, here in zip(series, mask.tolist(), strict=True) if here]


def _only(points: Points, places: I64) -> Points:
    """Return the readings of some series, numbered anew."""
    mine = np.isin(points.series, places)
    return Points(np.searchsorted(places, points.series[mine]), points.time[mine], points.quality[mine], points.value[mine])
