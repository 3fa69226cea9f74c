"""Rows of following buckets merged into rows of longer ones: the same figures, percentiles within the error of sketches."""

from collections.abc import Sequence

import numpy as np

from trunkline.historian.rollup.rows import NEVER, Rows
from trunkline.historian.rollup.sketch import merged
from trunkline.historian.rollup.summary import PERCENTILES, empty
from trunkline.historian.segments import I64

_LATEST = np.iinfo(np.int64).max


def merge(rows: Rows, sketches: Sequence[bytes | None], group: I64) -> Rows:
    """Return one row per group, in order.

    Args:
        rows: by group, then start; every group 0..G-1 has at least one.
        sketches: of each row.
        group: per row, ascending.
    """
    begin = np.flatnonzero(np.append(True, np.diff(group) != 0))
    size = np.diff(np.append(begin, len(rows)))
    whole = empty(len(begin))
    for name in ("n", "uncertain", "bad", "valued", "good_us", "uncertain_us", "bad_us", "valued_us"):
        whole[name] = np.add.reduceat(rows[name], begin)
    _moments(rows, begin, size, whole)
    _extremes(rows, begin, size, whole)
    last = begin + size - 1
    for name in ("end_t", "end_q", "end_v", "counted"):
        whole[name] = rows[name][last]
    counters = ~np.isnan(np.fmax.reduceat(rows["total"], begin))
    whole["total"] = np.where(counters, np.add.reduceat(np.nan_to_num(rows["total"]), begin), np.nan)
    _percentiles(sketches, begin, size, whole)
    return whole


def _moments(rows: Rows, begin: I64, size: I64, whole: Rows) -> None:
    """Averages weighted by count and by time; squared distances from the common average (Chan, Golub, LeVeque 1979)."""
    n, weight = rows["valued"], rows["valued_us"]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(n > 0, rows["avg"] * n, 0.0), begin) / whole["valued"]
        apart = np.where(n > 0, rows["avg"] - np.repeat(mean, size), 0.0)
        m2 = np.add.reduceat(np.where(n > 0, rows["m2"], 0.0) + n * apart * apart, begin)
        stepped = np.add.reduceat(np.where(weight > 0, rows["tw_avg"] * weight, 0.0), begin) / whole["valued_us"]
    whole["avg"] = np.where(whole["valued"] > 0, mean, np.nan)
    whole["m2"] = np.where(whole["valued"] > 0, m2, np.nan)
    whole["tw_avg"] = np.where(whole["valued_us"] > 0, stepped, np.nan)


def _extremes(rows: Rows, begin: I64, size: I64, whole: Rows) -> None:
    """Least, greatest, first and last value, each with the earliest time it was seen; the last with its own."""
    some, valued = rows["valued"] > 0, whole["valued"] > 0
    for name, least in (("min", np.fmin), ("max", np.fmax)):
        whole[name] = least.reduceat(rows[name], begin)
        there = some & (rows[name] == np.repeat(whole[name], size))
        earliest = np.minimum.reduceat(np.where(there, rows[f"{name}_t"], _LATEST), begin)
        whole[f"{name}_t"] = np.where(valued, earliest, NEVER)
    places = np.arange(len(rows))
    first = np.minimum.reduceat(np.where(some, places, len(rows) - 1), begin)
    last = np.maximum.reduceat(np.where(some, places, 0), begin)
    for name, place in (("first", first), ("last", last)):
        whole[name] = np.where(valued, rows[name][place], np.nan)
        whole[f"{name}_t"] = np.where(valued, rows[f"{name}_t"][place], NEVER)


def _percentiles(sketches: Sequence[bytes | None], begin: I64, size: I64, whole: Rows) -> None:
    for place, (start, count) in enumerate(zip(begin.tolist(), size.tolist(), strict=True)):
        if not whole["valued"][place]:
            continue
        sketch = merged(sketches[start : start + count])
        low, high = whole["min"][place], whole["max"][place]
        for name, share in PERCENTILES:
            whole[name][place] = min(max(sketch.get_quantile_value(share), low), high)
