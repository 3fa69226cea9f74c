"""Mean and standard deviation with exponential forgetting, in rows of state.

The recurrence is Welford's with weights (West, 'Updating mean and variance estimates', CACM 22(9), 1979): before a reading is added, all
earlier ones lose weight by 2^(-elapsed / half-life). Forgetting goes by source time, so that neither the rate of readings nor a gap in
them changes how long the past counts.
"""

from typing import Any, Final

import numpy as np

from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.processing.anomaly.detector import LARGEST_LEARNT, Rows

#: Fields of a row, each with `shape` cells.
_FIELDS: Final = (("weight", "<f8"), ("mean", "<f8"), ("squares", "<f8"), ("updated", "<i8"))
#: A reading further from the mean counts as one that far, in standard deviations: an anomaly does not become the rule overnight.
_LEARNT_WITHIN: Final = 3.0

#: What picks cells: rows, or rows and places in them.
Cells = I64 | tuple[I64, I64]


def fields(*shape: int) -> list[tuple[Any, ...]]:
    """Return the fields of a baseline, or of one for each of `shape` cells."""
    return [(*field, shape) if shape else field for field in _FIELDS]


def spread(rows: Rows, cells: Cells, least: float) -> F64:
    """Return the standard deviation of each cell, at least `least`; 0 while nothing was learnt."""
    weight = rows["weight"][cells]
    return np.maximum(np.sqrt(rows["squares"][cells] / np.where(weight > 0, weight, 1.0)), least)


def learn(rows: Rows, cells: Cells, time: I64, value: F64, half_life: float, settled: BOOL) -> None:
    """Take one reading into each cell.

    Args:
        rows: state; `cells` picks cells, no one twice.
        cells: where to learn.
        time: of each reading, µs UTC.
        value: finite numbers.
        half_life: seconds until a reading weighs half.
        settled: where the cell is known well enough to take wild readings for less than they are.
    """
    weight, mean, squares = rows["weight"][cells], rows["mean"][cells], rows["squares"][cells]
    elapsed = np.where(weight > 0, np.maximum(time - rows["updated"][cells], 0), 0)
    kept = np.exp2(-elapsed / (half_life * times.SECOND))
    deviation = np.sqrt(squares / np.where(weight > 0, weight, 1.0))
    near = settled & (deviation > 0)
    value = np.where(near, np.clip(value, mean - _LEARNT_WITHIN * deviation, mean + _LEARNT_WITHIN * deviation), value)
    use = np.abs(value) < LARGEST_LEARNT
    value = np.where(use, value, mean)
    heavier = weight * kept + use
    delta = value - mean
    moved = mean + delta * use / np.where(heavier > 0, heavier, 1.0)
    rows["weight"][cells] = heavier
    rows["mean"][cells] = moved
    rows["squares"][cells] = squares * kept + delta * (value - moved)
    rows["updated"][cells] = np.maximum(time, np.where(weight > 0, rows["updated"][cells], time))
