"""Control chart of an exponentially weighted moving average.

Montgomery, 'Introduction to Statistical Quality Control', section 9.2: z_i = w x_i + (1 - w) z_(i-1), with control limits
target ± L sigma sqrt(w / (2 - w) (1 - (1 - w)^(2i))). The average is kept in standard deviations from the target; the score is its
distance in standard deviations of the average, so that the threshold is L.

The formula is for independent readings. Those of a process follow each other, and their average wanders further: where the reference is
learnt, so is the deviation of the average, and the larger one of the two counts.
"""

from typing import Any, Final

import numpy as np

from trunkline.config.anomalies import Ewma
from trunkline.log.codec.columns import F64, I64
from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.processing.anomaly.chart import Reference
from trunkline.processing.anomaly.detector import Judgement, Rows, scored

#: An average further off, in its deviations, teaches nothing about them: what is to be found must not become the rule.
_LEARNT_WITHIN: Final = 3.0


class EwmaDetector:
    """Judges the weighted average up to and with a reading."""

    def __init__(self, options: Ewma, zone: str) -> None:
        self._options = options
        self._reference = Reference(options, zone)

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """The reference, the average in standard deviations from the target, how many readings are in it, and its mean square."""
        return [*self._reference.fields, ("average", "<f8"), ("count", "<i8"), ("wander", "<f8"), ("wander_weight", "<f8"), ("last", "<i8")]

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """See `Detector.judge`."""
        weight = self._options.weight
        z, target, sigma, ready = self._reference.standardise(rows, at, time, value)
        count = rows["count"][at] + 1
        average = weight * z + (1 - weight) * rows["average"][at]
        rows["count"][at], rows["average"][at] = count, average
        width = np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * count)))
        if not self._options.known:
            width = np.maximum(width, np.sqrt(self._wander(rows, at, time, average)))
        score = np.where(ready, scored(average, width), np.nan)
        reach = self._options.threshold * width * sigma
        return Judgement(score, target, target - reach, target + reach)

    def _wander(self, rows: Rows, at: I64, time: I64, average: F64) -> F64:
        """Return the mean square of the averages before, and take the present one into it."""
        before, known = rows["wander"][at], rows["wander_weight"][at]
        elapsed = np.maximum(time - np.where(known > 0, rows["last"][at], time), 0)
        heavier = known * np.exp2(-elapsed / (self._options.half_life * times.SECOND)) + 1
        settled = (known > 1 / self._options.weight) & (before > 0)
        square = np.where(settled & (average**2 > _LEARNT_WITHIN**2 * before), before, average**2)
        rows["wander"][at] = before + (square - before) / heavier
        rows["wander_weight"][at], rows["last"][at] = heavier, time
        return before

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return the average itself: it is what left the band, the reading may lie inside."""
        average = float(row["target"]) + float(row["average"]) * float(row["sigma"])
        return {"average": average, "average_readings": int(row["count"]), "sigma": float(row["sigma"])}
