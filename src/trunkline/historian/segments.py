"""Readings to segments and back, whole flushes at a time, in numpy.

A **segment** is a run of readings of one series from one feed within one UTC hour, in order of time. How its columns keep times and
values small without loss is told in the comments of `migrations/0001_storage.sql`.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline.historian import pgbinary
from trunkline.historian.db import PG_EPOCH
from trunkline.historian.pgbinary import FLOAT8, INT2, INT4, INT8, NULL, UUID, ElementType
from trunkline.log.codec.event_ids import IDS
from trunkline.model import times
from trunkline.model.quality import SEVERITY_SHIFT, Severity

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
F64 = npt.NDArray[np.float64]
U16 = npt.NDArray[np.uint16]
BOOL = npt.NDArray[np.bool_]

#: Most readings in a segment: enough that its row costs nothing, few enough that a glance at a minute unpacks little.
MAX_READINGS: Final = 8192
#: History ends here, 2201-01-01: a later stamp is refused. It begins at `times.EARLIEST`.
LATEST: Final = 7_289_654_400 * times.SECOND
#: Decimal places tried, and their powers of ten: exact in double precision, so that d / 10^scale gives back the same bits.
POWERS: Final = 10.0 ** np.arange(7)
_ABSENT: Final = -(2**31)
_NO_DECIMALS: Final = -1

COPY_COLUMNS: Final = "series_id, feed_id, hour, n, valued, uncertain, bad, scale, t0, t1, v_min, v_max, v_sum, t_off, d, v, i, q, ids"
_FIXED: Final[tuple[tuple[str, str], ...]] = (
    ("series_id", ">i4"), ("feed_id", ">i4"), ("hour", ">i4"), ("n", ">i4"), ("valued", ">i4"), ("uncertain", ">i4"), ("bad", ">i4"),
    ("scale", ">i4"), ("t0", ">i8"), ("t1", ">i8"), ("v_min", ">f8"), ("v_max", ">f8"), ("v_sum", ">f8"),
)  # fmt: skip
_ROW: Final = np.dtype(
    [("fields", ">i2"), *((f"{name}{part}", form) for name, kind in _FIXED for part, form in (("_size", ">i4"), ("", kind)))]
)
_FIELDS: Final = len(_FIXED) + 6


@dataclass(slots=True)
class Readings:
    """Readings of numeric series, column by column, in any order.

    Attributes:
        series, feed: ids.
        hour: ledger hour, see `trunkline.log.codec.writer.ledger_hour`.
        time: µs UTC.
        quality: 16 bits.
        whole: True where the value is in `integer` (integer and boolean series), else it is in `number`.
        number: NaN where there is no value.
        integer: 0 where there is no value.
        absent: True where there is no value.
        ids: event ids of readings that came with one; None when none of these did.
    """

    series: I32
    feed: I32
    hour: I32
    time: I64
    quality: U16
    whole: BOOL
    number: F64
    integer: I64
    absent: BOOL
    ids: IDS | None = None

    def __len__(self) -> int:
        return len(self.series)

    def take(self, places: I64) -> "Readings":
        """Return the readings at these places, in that order."""
        return Readings(
            self.series[places], self.feed[places], self.hour[places], self.time[places], self.quality[places], self.whole[places],
            self.number[places], self.integer[places], self.absent[places], None if self.ids is None else self.ids[places],
        )  # fmt: skip


def concatenate(parts: list[Readings]) -> Readings:
    """Return all parts as one."""

    def column(name: str) -> Any:  # noqa: ANN401 - columns differ in type
        return np.concatenate([getattr(part, name) for part in parts])

    columns = {name: column(name) for name in Readings.__slots__ if name != "ids"}
    if all(part.ids is None for part in parts):
        return Readings(**columns)
    return Readings(**columns, ids=np.concatenate([no_ids(len(part)) if part.ids is None else part.ids for part in parts]))


def no_ids(size: int) -> IDS:
    """Return `size` event ids that stand for none."""
    return np.zeros(size, UUID.dtype)


def have_ids(ids: IDS) -> BOOL:
    """Return where there is an event id."""
    halves: npt.NDArray[np.uint64] = ids.view(np.uint64)
    there: BOOL = (halves[0::2] | halves[1::2]) != 0
    return there


@dataclass(slots=True)
class Segments:
    """Sorted readings, where each segment starts and ends in them, and where each reading stood before sorting."""

    readings: Readings
    order: I64
    start: I64
    end: I64

    def __len__(self) -> int:
        return len(self.start)

    @property
    def n(self) -> I64:
        """Readings in each segment."""
        return self.end - self.start


def cut(readings: Readings, limit: int = MAX_READINGS) -> Segments:
    """Sort readings by series, feed and time (equal times keep their order) and cut them into segments of at most `limit`."""
    order = _order(readings)
    readings = readings.take(order)
    total = len(readings)
    if not total:
        return Segments(readings, order, np.empty(0, np.int64), np.empty(0, np.int64))
    clock_hour = readings.time // times.HOUR
    new = np.empty(total, np.bool_)
    new[0] = True
    new[1:] = clock_hour[1:] != clock_hour[:-1]
    for column in (readings.series, readings.feed, readings.hour):
        new[1:] |= column[1:] != column[:-1]
    start = np.flatnonzero(new)
    longest = np.diff(np.append(start, total))
    if longest.max() > limit:
        start = np.concatenate(
            [np.arange(begin, begin + length, limit) for begin, length in zip(start.tolist(), longest.tolist(), strict=True)]
        )
    return Segments(readings, order, start, np.append(start[1:], total))


def _order(readings: Readings) -> I64:
    """Return the sorting permutation; a run of few series mostly in order, as logs deliver, is sorted by a radix pass alone."""
    group = _groups(readings)
    if group.size and group.max() < 2**16:
        order = np.argsort(group.astype(np.uint16), kind="stable")
        time, sorted_group = readings.time[order], group[order]
        if not np.any((np.diff(time) < 0) & (np.diff(sorted_group) == 0)):
            return order
    return np.lexsort((readings.time, group))


def _groups(readings: Readings) -> I64:
    """Return a number per reading that grows with series and feed: computed where both lie close together, else their rank."""
    if not len(readings):
        return np.empty(0, np.int64)
    series, feed = readings.series.astype(np.int64), readings.feed.astype(np.int64)
    series -= series.min()
    feed -= feed.min()
    width = int(feed.max()) + 1
    if (int(series.max()) + 1) * width <= 2**16:
        return series * width + feed
    group: I64 = np.unique(series << 32 | feed, return_inverse=True)[1]
    return group


def copy_rows(segments: Segments) -> bytes:
    """Return the segments as rows of a binary COPY into `segment`, columns as in `COPY_COLUMNS`, without header and trailer."""
    if not len(segments):
        return b""
    readings, start = segments.readings, segments.start
    fixed = _fixed_part(segments)
    decimals = _Decimals.of(segments)
    fixed["scale"] = decimals.scale
    offset = (readings.time - np.repeat(readings.time[start], segments.n)).astype(np.uint32)
    graded = np.logical_or.reduceat(readings.quality != 0, start)
    raw = decimals.scale == _NO_DECIMALS
    whole = readings.whole[start]
    columns = [
        _array_column(segments, offset.view(np.int32), INT4, ~_regular(segments, offset)),
        _array_column(segments, decimals.digits, INT4, ~raw),
        _array_column(segments, readings.number, FLOAT8, raw & ~whole),
        _array_column(segments, readings.integer, INT8, raw & whole, readings.absent),
        _array_column(segments, readings.quality.view(np.int16), INT2, graded),
        _id_column(segments),
    ]
    rows, width = fixed.tobytes(), _ROW.itemsize
    parts: list[bytes] = []
    for place, fields in enumerate(zip(*columns, strict=True)):
        parts.append(rows[place * width : (place + 1) * width])
        parts.extend(fields)
    return b"".join(parts)


def _fixed_part(segments: Segments) -> npt.NDArray[Any]:
    readings, start = segments.readings, segments.start
    rows = np.empty(len(segments), _ROW)
    rows["fields"] = _FIELDS
    for name, kind in _FIXED:
        rows[f"{name}_size"] = int(kind[-1])
    rows["series_id"], rows["feed_id"], rows["hour"] = readings.series[start], readings.feed[start], readings.hour[start]
    rows["n"] = segments.n
    rows["t0"] = readings.time[start] - PG_EPOCH
    rows["t1"] = readings.time[segments.end - 1] - PG_EPOCH
    severity = readings.quality >> SEVERITY_SHIFT
    rows["uncertain"] = np.add.reduceat(severity == Severity.UNCERTAIN, start, dtype=np.int32)
    rows["bad"] = np.add.reduceat(severity >= Severity.BAD, start, dtype=np.int32)
    value = np.where(readings.whole, readings.integer.astype(np.float64), readings.number)
    counted = np.isfinite(value) & (severity < Severity.BAD) & ~readings.absent
    valued = np.add.reduceat(counted, start, dtype=np.int32)
    none = valued == 0
    rows["valued"] = valued
    with np.errstate(over="ignore"):
        rows["v_sum"] = np.where(none, np.nan, np.add.reduceat(np.where(counted, value, 0.0), start))
    rows["v_min"] = np.where(none, np.nan, np.minimum.reduceat(np.where(counted, value, np.inf), start))
    rows["v_max"] = np.where(none, np.nan, np.maximum.reduceat(np.where(counted, value, -np.inf), start))
    return rows


def _regular(segments: Segments, offset: npt.NDArray[np.uint32]) -> BOOL:
    """Return which segments lie on the straight line from their first to their last reading, to the microsecond."""
    n, start = segments.n, segments.start
    k = np.arange(len(offset), dtype=np.int64) - np.repeat(start, n)
    span = offset[segments.end - 1].astype(np.int64)
    line = k * np.repeat(span, n) // np.repeat(np.maximum(n - 1, 1), n)
    regular: BOOL = np.logical_and.reduceat(line == offset, start)
    return regular


def _id_column(segments: Segments) -> list[bytes]:
    ids = segments.readings.ids
    if ids is None:
        return [NULL] * len(segments)
    return _array_column(segments, ids, UUID, np.logical_or.reduceat(have_ids(ids), segments.start))


def _array_column(
    segments: Segments, values: npt.NDArray[Any], kind: ElementType, present: BOOL, absent: BOOL | None = None
) -> list[bytes]:
    """Return one field per segment: an array where `present`, else NULL."""
    if not present.any():
        return [NULL] * len(segments)
    if absent is not None and absent.any():
        bounds = zip(segments.start.tolist(), segments.end.tolist(), present.tolist(), strict=True)
        return [pgbinary.array_field(values[a:b], kind, absent[a:b]) if here else NULL for a, b, here in bounds]
    heads, cells, size = pgbinary.array_heads(segments.n, kind), pgbinary.elements(values, kind), pgbinary.element_size(kind)
    ends = (segments.end * size).tolist()
    fields, begin = [], 0
    for place, (end, here) in enumerate(zip(ends, present.tolist(), strict=True)):
        fields.append(heads[place * 24 : place * 24 + 24] + cells[begin:end] if here else NULL)
        begin = end
    return fields


@dataclass(slots=True)
class _Decimals:
    """Values as whole numbers of 10^-scale, where a whole segment allows it without losing a bit.

    Attributes:
        scale: per segment, decimal places; -1 where the values are no short decimals.
        digits: per reading.
    """

    scale: I32
    digits: I32

    @classmethod
    def of(cls, segments: Segments) -> "_Decimals":
        readings, start, n = segments.readings, segments.start, segments.n
        digits = np.zeros(len(readings), np.int32)
        scale = np.full(len(segments), _NO_DECIMALS, np.int32)
        whole = readings.whole[start]
        short = np.logical_and.reduceat((readings.integer > _ABSENT) & (readings.integer < 2**31), start) & whole
        scale[short] = 0
        small = np.repeat(short, n)
        digits[small] = readings.integer[small]
        digits[small & readings.absent] = _ABSENT
        open_segments = np.flatnonzero(~whole)
        for places, power in enumerate(POWERS):
            if not len(open_segments):
                break
            open_segments = _try_scale(segments, open_segments, places, power, scale, digits)
        return cls(scale, digits)


def _try_scale(segments: Segments, candidates: I64, places: int, power: float, scale: I32, digits: I32) -> I64:
    """Settle the candidates whose values all have at most this many decimal places; return the others."""
    number = segments.readings.number
    # one look at three values a segment rules out most scales without touching the rest
    hints = np.stack(
        [segments.start[candidates], (segments.start[candidates] + segments.end[candidates]) // 2, segments.end[candidates] - 1]
    )
    promising = _fits(number[hints], power).all(axis=0)
    chosen = candidates[promising]
    if not len(chosen):
        return candidates
    n = segments.n[chosen]
    begin = np.zeros(len(chosen), np.int64)
    np.cumsum(n[:-1], out=begin[1:])
    rows = np.arange(int(n.sum())) + np.repeat(segments.start[chosen] - begin, n)
    values = number[rows]
    settled = np.logical_and.reduceat(_fits(values, power), begin)
    scale[chosen[settled]] = places
    kept = np.repeat(settled, n)
    final = values[kept]
    digits[rows[kept]] = np.where(np.isnan(final), _ABSENT, np.rint(np.nan_to_num(final) * power)).astype(np.int32)
    return np.concatenate([candidates[~promising], chosen[~settled]])


def _fits(values: F64, power: float) -> BOOL:
    """Return which values come back bit by bit from a 32-bit count of 1/power; NaN does, negative zero does not."""
    with np.errstate(invalid="ignore", over="ignore"):
        count = np.rint(values * power)
        inside = np.abs(count) < 2**31
        back = np.where(inside, count, 0.0).astype(np.int64) / power
    same: BOOL = (inside & (back.view(np.int64) == values.view(np.int64))) | np.isnan(values)
    return same


@dataclass(slots=True)
class Packed:
    """One stored segment as it comes from the database (arrays as numpy, None for NULL)."""

    series: int
    feed: int
    hour: int
    n: int
    scale: int
    t0: int
    t1: int
    t_off: I32 | None
    d: I32 | None
    v: F64 | None
    i: I64 | None
    q: npt.NDArray[np.int16] | None
    ids: IDS | None = None

    def unpack(self, *, whole: bool) -> Readings:
        """Return its readings. `whole` says that the series is of integer or boolean kind."""
        n = self.n
        number, integer, absent = self._values(whole)
        return Readings(
            series=np.full(n, self.series, np.int32),
            feed=np.full(n, self.feed, np.int32),
            hour=np.full(n, self.hour, np.int32),
            time=self.times(),
            quality=np.zeros(n, np.uint16) if self.q is None else self.q.view(np.uint16),
            whole=np.full(n, whole),
            number=number,
            integer=integer,
            absent=absent,
            ids=self.ids,
        )

    def times(self) -> I64:
        """Return the readings' times, µs UTC."""
        if self.t_off is not None:
            return self.t0 + self.t_off.view(np.uint32).astype(np.int64)
        k = np.arange(self.n, dtype=np.int64)
        return self.t0 + k * (self.t1 - self.t0) // max(self.n - 1, 1)

    def _values(self, whole: bool) -> tuple[F64, I64, BOOL]:
        number, integer = np.zeros(self.n, np.float64), np.zeros(self.n, np.int64)
        if self.d is not None:
            absent: BOOL = self.d == _ABSENT
            if whole:
                integer = np.where(absent, 0, self.d).astype(np.int64)
            else:
                number = np.where(absent, np.nan, self.d / POWERS[self.scale])
        elif self.v is not None:
            number, absent = self.v, np.isnan(self.v)
        else:
            assert self.i is not None, "a segment has values in one of d, v and i"
            integer, absent = np.ma.getdata(self.i), np.ma.getmaskarray(self.i)
        return number, integer, absent
