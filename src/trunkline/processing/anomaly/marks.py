"""Which reading of each tag was taken last: what was taken is not taken again, what comes too late is history."""

from typing import Final

import numpy as np

from trunkline.log.codec.columns import BOOL, I64
from trunkline.model import times
from trunkline.processing.anomaly.detector import NEVER, Rows
from trunkline.processing.anomaly.readings import Readings

#: A reading this much older than the newest of its tag still counts as if it came in order (E-73).
GRACE: Final = 60 * times.SECOND

#: Fields that every row of a tag begins with: the reading taken last (hash of its origin, position), times of the first and the newest.
FIELDS: Final = (("origin", "<u8"), ("seq", "<i8"), ("first", "<i8"), ("newest", "<i8"))


def blank(*fields: object) -> np.void:
    """Return a row before anything happened, with further fields."""
    row = np.zeros(1, np.dtype([*FIELDS, *fields]))
    row["seq"] = row["newest"] = NEVER
    found: np.void = row[0]
    return found


def heard(rows: Rows) -> BOOL:
    """Return which tags had a reading."""
    known: BOOL = rows["newest"] != NEVER
    return known


def take(rows: Rows, places: I64, at: I64, readings: Readings) -> tuple[BOOL, BOOL]:
    """Note in the rows that readings are taken.

    Args:
        rows: of tags.
        places: row of each reading, no one twice.
        at: positions of the readings.
        readings: where they are.

    Returns:
        Which of them were not taken before, and which of those came too late.
    """
    origin, seq, time = readings.origin[at], readings.seq[at], readings.time[at]
    fresh = (origin != rows["origin"][places]) | (seq > rows["seq"][places])
    newest = rows["newest"][places]
    first = newest == NEVER
    late = fresh & ~first & (time < np.where(first, time, newest) - GRACE)
    places, origin, seq, time, first = places[fresh], origin[fresh], seq[fresh], time[fresh], first[fresh]
    rows["origin"][places], rows["seq"][places] = origin, seq
    rows["first"][places] = np.where(first, time, rows["first"][places])
    rows["newest"][places] = np.maximum(time, rows["newest"][places])
    return fresh, late
