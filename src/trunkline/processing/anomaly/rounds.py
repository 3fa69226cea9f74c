"""Readings in the order that recurrences need, many series at a time: round after round, each with one reading of a series at most."""

from collections.abc import Iterator

import numpy as np

from trunkline.log.codec.columns import I64


def rounds(series: I64) -> Iterator[I64]:
    """Yield positions of readings: first those that are the first of their series, then the second ones, and so on.

    Args:
        series: of each reading, in log order.
    """
    if not len(series):
        return
    order = np.argsort(series, kind="stable")
    ordered = series[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    counts = np.diff(np.append(starts, len(series)))
    longest_first = np.argsort(-counts, kind="stable")
    starts, counts = starts[longest_first], counts[longest_first]
    # counts fall: those with a k-th reading are a prefix
    with_more = np.searchsorted(-counts, -np.arange(int(counts[0])), side="left")
    for number, series_left in enumerate(with_more.tolist()):
        yield order[starts[:series_left] + number]
