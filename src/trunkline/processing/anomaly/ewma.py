"""Control chart of an exponentially weighted moving average.

Montgomery, 'Introduction to Statistical Quality Control', section 9.2: z_i = w x_i + (1 - w) z_(i-1), with control limits
target ± L sigma sqrt(w / (2 - w) (1 - (1 - w)^(2i))). The average is kept in standard deviations from the target; the score is its
distance in standard deviations of the average, so that the threshold is L.
"""

from typing import Any

import numpy as np

from trunkline.config.anomalies import Ewma
from trunkline.log.codec.columns import F64, I64
from trunkline.model.reading import Value
from trunkline.processing.anomaly import baseline
from trunkline.processing.anomaly.chart import standardise
from trunkline.processing.anomaly.detector import Judgement, Rows, scored


class EwmaDetector:
    """Judges the weighted average up to and with a reading."""

    def __init__(self, options: Ewma) -> None:
        self._options = options

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """The reference, the average in standard deviations from the target, and how many readings are in it."""
        return [*baseline.fields(), ("average", "<f8"), ("count", "<i8")]

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """See `Detector.judge`."""
        weight = self._options.weight
        z, target, sigma, ready = standardise(self._options, rows, at, time, value)
        count = np.where(ready, rows["count"][at] + 1, 0)
        average = np.where(ready, weight * z + (1 - weight) * rows["average"][at], 0.0)
        rows["count"][at] = count
        rows["average"][at] = average
        width = np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * count)))
        score = np.where(ready, scored(average, width), np.nan)
        reach = self._options.threshold * width * sigma
        return Judgement(score, target, target - reach, target + reach)

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return the average itself: it is what left the band, the reading may lie inside."""
        target, sigma = reference(self._options.target, self._options.sigma, self._options.min_spread, row)
        return {"average": target + float(row["average"]) * sigma, "average_readings": int(row["count"]), "sigma": sigma}


def reference(target: float | None, sigma: float | None, least: float, row: np.void) -> tuple[float, float]:
    """Return target and standard deviation of one row, each the given or the learnt one."""
    weight = float(row["weight"])
    learnt = max(least, (float(row["squares"]) / weight) ** 0.5 if weight else 0.0)
    return (float(row["mean"]) if target is None else target), (learnt if sigma is None else sigma)
