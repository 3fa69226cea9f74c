"""Rollups as the reader hands them out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from trunkline.historian.db import Connection
from trunkline.historian.pgbinary import Time
from trunkline.historian.rollup import table
from trunkline.historian.rollup.rows import NEVER, Rows
from trunkline.historian.rollup.tiers import Tier, ends
from trunkline.historian.segments import F64, I64
from trunkline.model import times
from trunkline.model.reading import Kind

_ZONE: Final = "SELECT zone FROM rollup_state"
_DROPPED: Final = "SELECT dropped_before FROM rollup_tier WHERE tier = %s"
_DUE: Final = """
    SELECT start, stop FROM rollup_due
    WHERE tier <= %(tier)s AND start < %(to)s AND stop > %(from)s AND %(series)s = ANY(series) ORDER BY start
"""
#: Spans that a chart takes from readings beside those that it takes from rollups; with more, readings are taken throughout.
_MOST_SPANS: Final = 12


@dataclass(slots=True)
class RollupSeries:
    """Buckets of one tag and tier, ascending: those in which a reading lay, or into which one was held.

    Attributes:
        rows: see `trunkline.historian.rollup.rows.ROW`: figures are NaN, and their times NEVER, where no reading has a usable value.
        stop: per bucket, its end (exclusive), µs UTC.
    """

    tag: str
    kind: Kind
    unit: str
    tier: Tier
    rows: Rows
    stop: I64

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def start(self) -> I64:
        """Where the buckets begin, µs UTC."""
        return np.ascontiguousarray(self.rows["start"])

    @property
    def stddev(self) -> F64:
        """Sample standard deviation; NaN for less than two values (D-50)."""
        n = self.rows["valued"]
        return np.where(n > 1, np.sqrt(np.where(n > 1, self.rows["m2"], 0.0) / np.maximum(n - 1, 1)), np.nan)

    @property
    def percent_good(self) -> F64:
        """Share of the bucket in which the value was GOOD, 0 to 100 (OPC UA Part 13, PercentGood)."""
        return np.asarray(100.0 * self.rows["good_us"] / (self.stop - self.rows["start"]))


def read(connection: Connection, series: int, tier: Tier, from_time: int, to_time: int) -> tuple[Rows, I64]:
    """Return the rows of one series whose buckets start in from_time <= start < to_time, and where each ends."""
    rows = table.rows_of(connection, tier, [series], from_time, to_time)
    zone = ZoneInfo(str((connection.execute(_ZONE).fetchone() or ("UTC",))[0]))
    return rows, ends(tier, zone, rows["start"])


def tier_for(width: int) -> Tier | None:
    """Return the longest tier of which buckets of this width (µs) are made of whole ones; None if readings have to be taken."""
    return next((tier for tier in (Tier.HOUR, Tier.MINUTE) if width % tier.width == 0), None)


def known_spans(connection: Connection, series: int, tier: Tier, from_time: int, to_time: int) -> list[tuple[int, int]]:
    """Return the spans of a time in which this tier's rows say all that the readings say: what is marked as due, and the ends, left out.

    Empty where readings would have to be taken in too many places.
    """
    cursor = connection.cursor(binary=True)
    (dropped,) = cursor.execute(_DROPPED, (int(tier),)).fetchone() or (NEVER,)
    low = -(-max(from_time, dropped) // tier.width) * tier.width
    high = to_time // tier.width * tier.width
    asked: dict[str, Any] = {"tier": int(tier), "series": series, "from": Time(low), "to": Time(high)}
    due = cursor.execute(_DUE, asked).fetchall() if low < high else []
    # with much due here and there, whole hours or days around it are taken from readings
    for grain in (tier.width, times.HOUR, times.DAY):
        outward = [(start // grain * grain, -(-stop // grain) * grain) for start, stop in due]
        spans = between(outward, low, high)
        if len(spans) <= _MOST_SPANS:
            return spans
    return []


def between(spans: Iterable[tuple[int, int]], from_time: int, to_time: int) -> list[tuple[int, int]]:
    """Return what is left of a time without these spans, which come by their start."""
    left, at = [], from_time
    for begin, end in spans:
        if begin > at:
            left.append((at, min(begin, to_time)))
        at = max(at, end)
    return [*left, (at, to_time)] if at < to_time else left
