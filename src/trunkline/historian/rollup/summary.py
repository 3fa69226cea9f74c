"""Readings to rows of statistics, many series and buckets at a time: pure numpy, no I/O, no clock.

A reading **holds** until the next one of its series, and at most for the series' `hold`; the reading before the first bucket holds into
it. Times by quality follow OPC UA Part 13 (DurationGood, PercentGood); the time-weighted average is stepped, as its
TimeAverage2 without sloped interpolation. Statistics speak of readings with a finite value that are not BAD; counts of all readings.

Of two readings of one time the one with the greater quality code, then the greater value, comes later: an order that no merging of
segments disturbs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from trunkline.historian.rollup.rows import NEVER, ROW, Rows
from trunkline.historian.rollup.sketch import sketches
from trunkline.historian.segments import BOOL, F64, I64
from trunkline.model.quality import SEVERITY_SHIFT, Severity

PERCENTILES: Final = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
_FIGURES: Final = ("avg", "m2", "tw_avg", "min", "max", "first", "last", "p50", "p95", "p99", "total", "end_v", "counted")


@dataclass(slots=True)
class Points:
    """Readings, by series, time, quality and value.

    Attributes:
        series: index of the series, 0..S-1.
        time: µs UTC.
        quality: 16 bits.
        value: NaN where there is none.
    """

    series: I64
    time: I64
    quality: I64
    value: F64

    def __len__(self) -> int:
        return len(self.series)

    @classmethod
    def of(cls, series: I64, time: I64, quality: I64, value: F64) -> "Points":
        """Sort readings that come in any order."""
        later = (np.diff(series) > 0) | ((np.diff(series) == 0) & (np.diff(time) > 0))
        if later.all():
            return cls(series, time, quality, value)
        order = np.lexsort((value, quality, time, series))
        return cls(series[order], time[order], quality[order], value[order])


@dataclass(slots=True)
class Held:
    """What each series begins with: the reading that is the last before the first bucket, and a counter's last usable value.

    Attributes:
        time: µs UTC, NEVER where there is none.
        quality, value: of that reading.
        counted: NaN where there is none.
    """

    time: I64
    quality: I64
    value: F64
    counted: F64

    @classmethod
    def nothing(cls, size: int) -> "Held":
        """Return what `size` series without any history begin with."""
        return cls(np.full(size, NEVER), np.zeros(size, np.int64), np.full(size, np.nan), np.full(size, np.nan))


@dataclass(slots=True)
class Ways:
    """How each series is summarised.

    Attributes:
        hold: µs that a reading holds at most.
        rollover: of a counter, what is added where its value falls; inf where it starts again from zero; NaN for other series.
    """

    hold: I64
    rollover: F64


def summarise(points: Points, held: Held, ways: Ways, edges: I64, *, sketched: bool = False) -> tuple[Rows, list[bytes | None] | None]:
    """Return a row for each series and bucket, by series and then start, and on request its quantile sketch.

    Rows have neither tier, series nor revision; those where nothing lies and nothing holds have all times zero (`present` tells).

    Args:
        points: readings with edges[0] <= time < edges[-1].
        held: what each of the S series begins with.
        ways: how each is summarised.
        edges: B + 1 ascending times, µs UTC: where the B buckets start, and where the last one ends.
        sketched: return sketches.
    """
    cells = _Cells(points, held, ways, edges)
    rows = empty(cells.size)
    rows["start"] = np.tile(edges[:-1], cells.series)
    _count(cells, rows)
    _times(cells, rows)
    usable = usable_values(points.quality, points.value)
    chosen = np.flatnonzero(usable)
    _values(cells.of[chosen], points.time[chosen], points.value[chosen], rows)
    _end(cells, rows)
    _totals(cells, chosen, rows)
    return rows, sketches(cells.of[chosen], points.value[chosen], cells.size) if sketched else None


def empty(size: int) -> Rows:
    """Return rows that say nothing."""
    rows = np.zeros(size, ROW)
    for name in _FIGURES:
        rows[name] = np.nan
    for name in ("min_t", "max_t", "first_t", "last_t", "end_t"):
        rows[name] = NEVER
    return rows


def present(rows: Rows) -> BOOL:
    """Return which buckets have a reading in them or held into them."""
    return np.asarray((rows["n"] > 0) | (rows["good_us"] + rows["uncertain_us"] + rows["bad_us"] > 0))


def usable_values(quality: I64, value: F64) -> BOOL:
    """Return which readings statistics speak of."""
    return np.asarray(np.isfinite(value) & (quality >> SEVERITY_SHIFT < Severity.BAD))


class _Cells:
    """Which cell (series and bucket) each reading lies in, and which reading each cell begins with."""

    def __init__(self, points: Points, held: Held, ways: Ways, edges: I64) -> None:
        self.points, self.held, self.ways, self.edges = points, held, ways, edges
        self.series = len(held.time)
        self.buckets = len(edges) - 1
        self.size = self.series * self.buckets
        self.owner = np.repeat(np.arange(self.series), self.buckets)
        self.start = np.tile(edges[:-1], self.series)
        self.end = np.tile(edges[1:], self.series)
        bucket = np.searchsorted(edges, points.time, side="right") - 1
        self.of: I64 = points.series * self.buckets + bucket
        #: first reading in the cell or in a later one
        self.first: I64 = np.searchsorted(self.of, np.arange(self.size + 1))

    def before(self, place: I64) -> tuple[I64, I64, F64]:
        """Return time, quality and value of the reading that comes before this place, of each cell's own series."""
        points, held, owner = self.points, self.held, self.owner
        if not len(points):
            return held.time[owner], held.quality[owner], held.value[owner]
        at = np.maximum(place - 1, 0)
        own = (place > 0) & (points.series[at] == owner)
        return (
            np.where(own, points.time[at], held.time[owner]),
            np.where(own, points.quality[at], held.quality[owner]),
            np.where(own, points.value[at], held.value[owner]),
        )


def _count(cells: _Cells, rows: Rows) -> None:
    severity = np.minimum(cells.points.quality >> SEVERITY_SHIFT, Severity.BAD)
    rows["n"] = np.bincount(cells.of, minlength=cells.size)
    rows["uncertain"] = np.bincount(cells.of[severity == Severity.UNCERTAIN], minlength=cells.size)
    rows["bad"] = np.bincount(cells.of[severity == Severity.BAD], minlength=cells.size)


def _times(cells: _Cells, rows: Rows) -> None:
    """Spread the time that each reading holds, within its cell and at most for `hold`, over qualities; weigh the values with it."""
    points, hold = cells.points, cells.ways.hold
    time, quality, value = cells.before(cells.first[:-1])
    # the reading that each cell begins with stands for one more reading at its start
    of = np.concatenate([np.arange(cells.size), cells.of])
    begin = np.concatenate([cells.start, points.time])
    held_since = np.concatenate([time, points.time])
    codes = np.concatenate([quality, points.quality])
    values = np.concatenate([value, points.value])
    order = np.argsort(of, kind="stable")  # stable: the stand-in comes before the readings
    of, begin, held_since, codes, values = of[order], begin[order], held_since[order], codes[order], values[order]
    until = cells.end[of]
    follows = np.flatnonzero(of[:-1] == of[1:])
    until[follows] = begin[follows + 1]
    limit = np.where(held_since == NEVER, begin, held_since + hold[cells.owner[of]])
    lasting = np.maximum(np.minimum(until, limit) - begin, 0)
    severity = np.minimum(codes >> SEVERITY_SHIFT, Severity.BAD)

    def seconds(chosen: BOOL) -> I64:
        return np.bincount(of[chosen], weights=lasting[chosen], minlength=cells.size).astype(np.int64)

    rows["good_us"] = seconds(severity == Severity.GOOD)
    rows["uncertain_us"] = seconds(severity == Severity.UNCERTAIN)
    rows["bad_us"] = seconds(severity == Severity.BAD)
    weighed = usable_values(codes, values) & (lasting > 0)
    rows["valued_us"] = seconds(weighed)
    with np.errstate(over="ignore", invalid="ignore"):
        integral = np.bincount(of[weighed], weights=values[weighed] * lasting[weighed], minlength=cells.size)
        rows["tw_avg"] = np.where(rows["valued_us"] > 0, integral / np.maximum(rows["valued_us"], 1), np.nan)


def _values(of: I64, time: I64, value: F64, rows: Rows) -> None:
    """Fill in what the usable values of each cell say; they come by cell and time."""
    if not len(of):
        return
    begin = np.flatnonzero(np.append(True, np.diff(of) != 0))
    cell = of[begin]
    n = np.diff(np.append(begin, len(of)))
    last = begin + n - 1
    rows["valued"][cell] = n
    rows["first"][cell], rows["first_t"][cell] = value[begin], time[begin]
    rows["last"][cell], rows["last_t"][cell] = value[last], time[last]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.add.reduceat(value, begin) / n
        rows["avg"][cell] = mean
        distance = value - np.repeat(mean, n)
        rows["m2"][cell] = np.add.reduceat(distance * distance, begin)
    # stable: of equal values the earliest comes first
    order = np.lexsort((value, of))
    ranked = value[order]
    rows["min"][cell], rows["min_t"][cell] = ranked[begin], time[order][begin]
    most = ranked[last]
    rows["max"][cell] = most
    at = np.flatnonzero(value == np.repeat(most, n))
    earliest = at[np.append(True, np.diff(of[at]) != 0)]
    rows["max_t"][cell] = time[earliest]
    for name, share in PERCENTILES:
        rank = share * (n - 1)
        low = np.floor(rank).astype(np.int64)
        below, above = ranked[begin + low], ranked[begin + np.minimum(low + 1, n - 1)]
        with np.errstate(over="ignore", invalid="ignore"):
            rows[name][cell] = below + (rank - low) * (above - below)


def _end(cells: _Cells, rows: Rows) -> None:
    """Note the last reading up to the end of each cell: what the next bucket begins with."""
    rows["end_t"], quality, rows["end_v"] = cells.before(_after(cells))
    rows["end_q"] = quality - (quality >> 15 << 16)


def _after(cells: _Cells) -> I64:
    return cells.first[1:]


def _totals(cells: _Cells, chosen: I64, rows: Rows) -> None:
    """Add up how far counters went, over their roll-overs."""
    rollover, points = cells.ways.rollover, cells.points
    counters = ~np.isnan(rollover)
    if not counters.any():
        return
    series, value = points.series[chosen], points.value[chosen]
    before = np.concatenate([[np.nan], value[:-1]]) if len(value) else value
    begins = np.append(True, np.diff(series) != 0)[: len(series)]
    before = np.where(begins, cells.held.counted[series], before)
    step = value - before
    wraps = rollover[series]
    step = np.where(step >= 0, step, np.where(np.isinf(wraps), value, step + wraps))
    counting = counters[cells.owner]
    of = cells.of[chosen]
    totals = np.bincount(of, weights=np.where(np.isnan(before) | np.isnan(step), 0.0, step), minlength=cells.size)
    rows["total"] = np.where(counting, totals, np.nan)
    place = np.searchsorted(of, np.arange(cells.size), side="right")
    at = np.maximum(place - 1, 0)
    own = (place > 0) & (series[at] == cells.owner) if len(series) else np.zeros(cells.size, np.bool_)
    newest = value[at] if len(value) else np.full(cells.size, np.nan)
    rows["counted"] = np.where(counting, np.where(own, newest, cells.held.counted[cells.owner]), np.nan)


def held_at_end(rows: Rows) -> Held:
    """Return what the buckets after these begin with."""
    return Held(rows["end_t"].copy(), rows["end_q"].astype(np.int64) & 0xFFFF, rows["end_v"].copy(), rows["counted"].copy())
