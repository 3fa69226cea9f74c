"""Robust z-score: distance from the median of a window in units of its median absolute deviation.

Iglewicz and Hoaglin, 'How to detect and handle outliers' (ASQC Basic References in Quality Control 16, 1993): 1.4826 MAD estimates the
standard deviation of normal data; where more than half of a window is one value, 1.2533 times the mean absolute deviation stands in.
"""

from typing import Any, Final

import numpy as np

from trunkline.config.anomalies import RobustZ
from trunkline.log.codec.columns import F64, I64
from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.processing.anomaly.detector import Judgement, Rows, scored

_MAD: Final = 1.4826
_MEAN_AD: Final = 1.2533
#: Share of a window that has to differ from its median for the mean distance to say anything.
_MOVED: Final = 0.2
#: Fewer readings in the window have no spread to speak of.
_FEWEST: Final = 10


class RobustZDetector:
    """Judges a reading by the window before it, then adds it: a lasting shift is the rule once it fills half the window."""

    def __init__(self, options: RobustZ) -> None:
        self._options = options
        self._window = int(options.window * times.SECOND)
        self._learn = int(options.learn * times.SECOND)

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """A ring of values with their times, how many were ever put into it, and oldest time and size of the window last judged by."""
        size = self._options.readings
        return [("values", "<f8", (size,)), ("times", "<i8", (size,)), ("count", "<i8"), ("oldest", "<i8"), ("number", "<i8")]

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """See `Detector.judge`; sorts two windows a reading."""
        size = self._options.readings
        count = rows["count"][at]
        filled = np.arange(size) < np.minimum(count, size)[:, None]
        stamps = rows["times"][at]
        use = filled & (stamps >= (time - self._window)[:, None])
        window = np.where(use, rows["values"][at], np.nan)
        number = use.sum(axis=1)
        middle = _median(window, number)
        with np.errstate(over="ignore", invalid="ignore"):
            away = np.abs(window - middle[:, None])
            spread = _MAD * _median(away, number)
            flat = np.flatnonzero(spread == 0)
            if len(flat):
                spread[flat] = _mean_spread(np.where(use[flat], away[flat], 0.0), number[flat])
            spread = np.maximum(spread, self._options.min_spread)
            ready = (number >= _FEWEST) & (time - rows["first"][at] >= self._learn)
            score = np.where(ready, scored(value - middle, spread), np.nan)
            reach = self._options.threshold * spread
        slot = count % size
        rows["values"][at, slot] = value
        rows["times"][at, slot] = time
        rows["count"][at] = count + 1
        rows["oldest"][at] = np.where(use, stamps, time[:, None]).min(axis=1)
        rows["number"][at] = number
        return Judgement(score, middle, middle - reach, middle + reach)

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return the window that the reading was judged by."""
        return {"window_from": int(row["oldest"]), "window_to": int(row["newest"]), "window_readings": int(row["number"])}


def _mean_spread(away: F64, number: I64) -> F64:
    """Return the spread by the mean distance; 0 where too few readings moved at all: a set point that is changed once is no anomaly."""
    moved = (away > 0).sum(axis=1) >= _MOVED * number
    return np.where(moved, _MEAN_AD * away.sum(axis=1) / np.maximum(number, 1), 0.0)


def _median(values: F64, number: I64) -> F64:
    """Return the median of each row's numbers; NaN for rows without any. Rows are sorted with NaN last."""
    ordered = np.sort(values, axis=1)
    here = np.arange(len(values))
    last = np.maximum(number - 1, 0)
    found: F64 = ordered[here, last // 2] / 2 + ordered[here, (last + 1) // 2] / 2
    return found
