"""Distinct values of long arrays that hold few, such as the hours or feeds of a flush."""

from typing import Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

#: Values that lie within so wide a range are counted in a table of this many places; `numpy.unique` would sort them.
_TABLE: Final = 1 << 16


def counted(values: npt.NDArray[np.integer]) -> tuple[I64, I64]:
    """Return the distinct values, ascending, and how often each occurs."""
    if not len(values):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    low = int(values.min())
    if int(values.max()) - low >= _TABLE:
        found, counts = np.unique(values, return_counts=True)
        return found.astype(np.int64), counts.astype(np.int64)
    table = np.bincount(values - low)
    places = np.flatnonzero(table)
    return places + low, table[places]
