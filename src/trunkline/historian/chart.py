"""Buckets for a chart: widths that people read easily, and sums over readings."""

from typing import Any, Final

import numpy as np

from trunkline.historian.rollup.rows import Rows
from trunkline.historian.segments import F64, I64, Readings
from trunkline.model import times
from trunkline.model.quality import SEVERITY_SHIFT, Severity

_MS: Final = 1000
#: From a quarter of an hour on, whole hours: segments never cross an hour, so wider buckets come from headers alone.
WIDTHS: Final = (
    *(step * 10**power for power in range(6) for step in (1, 2, 5)),
    *(step * times.SECOND for step in (1, 2, 5, 10, 15, 30)),
    *(step * times.MINUTE for step in (1, 2, 5, 10, 15)),
    *(step * times.HOUR for step in (1, 2, 3, 4, 6, 8, 12)),
    *(step * times.DAY for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)),
)


def bucket_width(span: int, points: int) -> int:
    """Return the smallest pleasant width, in µs, that cuts `span` µs into at most `points` buckets (one more where the ends are cut)."""
    least = -(-span // points)
    return next((width for width in WIDTHS if width >= least), -(-least // times.DAY) * times.DAY)


class Buckets:
    """Collects buckets from headers and from readings, in any order."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._parts: list[tuple[I64, I64, I64, I64, F64, F64, F64]] = []

    def add_rows(self, rows: list[tuple[Any, ...]]) -> None:
        """Add rows of (start, n, valued, not good, min, max, sum) as SQL grouped them."""
        if rows:
            start, n, valued, bad, low, high, total = zip(*rows, strict=True)
            whole = [np.array(column, np.int64) for column in (start, n, valued, bad)]
            floats = [np.array(column, np.float64) for column in (low, high, total)]
            self._parts.append((whole[0], whole[1], whole[2], whole[3], floats[0], floats[1], floats[2]))

    def add_rollups(self, rows: Rows) -> None:
        """Add rollups, each of which lies wholly in one bucket."""
        rows = rows[rows["n"] > 0]
        if len(rows):
            start = rows["start"] // self._width * self._width
            valued = rows["valued"].astype(np.int64)
            total = np.where(valued > 0, rows["avg"] * valued, np.nan)
            not_good = rows["uncertain"].astype(np.int64) + rows["bad"]
            self._parts.append((start, rows["n"].astype(np.int64), valued, not_good, rows["min"], rows["max"], total))

    def add_readings(self, readings: Readings) -> None:
        """Add single readings."""
        if not len(readings):
            return
        order = np.argsort(readings.time, kind="stable")
        start = readings.time[order] // self._width * self._width
        first = np.flatnonzero(np.append(True, np.diff(start) != 0))
        severity = readings.quality[order] >> SEVERITY_SHIFT
        value = np.where(readings.whole, readings.integer.astype(np.float64), readings.number)[order]
        counted = np.isfinite(value) & (severity < Severity.BAD) & ~readings.absent[order]
        valued = np.add.reduceat(counted, first, dtype=np.int64)
        none = valued == 0
        n = np.diff(np.append(first, len(order)))
        bad = np.add.reduceat(severity > Severity.GOOD, first, dtype=np.int64)
        low = np.where(none, np.nan, np.minimum.reduceat(np.where(counted, value, np.inf), first))
        high = np.where(none, np.nan, np.maximum.reduceat(np.where(counted, value, -np.inf), first))
        total = np.where(none, np.nan, np.add.reduceat(np.where(counted, value, 0.0), first))
        self._parts.append((start[first], n, valued, bad, low, high, total))

    def result(self) -> tuple[I64, I64, I64, F64, F64, F64]:
        """Return start, n, not good, min, max, avg of the buckets that have readings, ascending."""
        if not self._parts:
            none, nothing = np.empty(0, np.int64), np.empty(0, np.float64)
            return none, none, none, nothing, nothing, nothing
        start, n, valued, bad, low, high, total = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        starts, bucket = np.unique(start, return_inverse=True)
        size = len(starts)

        def summed(values: Any) -> Any:  # noqa: ANN401 - integers and floats alike
            sums = np.zeros(size, values.dtype)
            np.add.at(sums, bucket, values)
            return sums

        least, most = np.full(size, np.nan), np.full(size, np.nan)
        np.fmin.at(least, bucket, low)
        np.fmax.at(most, bucket, high)
        count = summed(valued)
        with np.errstate(invalid="ignore"):
            average = np.where(
                count > 0, summed(np.nan_to_num(total, nan=0.0, posinf=np.inf, neginf=-np.inf)) / np.maximum(count, 1), np.nan
            )
        return starts, summed(n), summed(bad), least, most, average
