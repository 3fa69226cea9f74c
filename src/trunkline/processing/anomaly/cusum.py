"""Two-sided cumulative sum chart.

Montgomery, 'Introduction to Statistical Quality Control', section 9.1: C+_i = max(0, z_i - k + C+_(i-1)) and
C-_i = max(0, -z_i - k + C-_(i-1)) in standard deviations, out of control from h. The time since a sum was last zero estimates when the
shift came, slack plus the sum over the readings since then how large it is (equation 9.6).
"""

from typing import Any

import numpy as np

from trunkline.config.anomalies import Cusum
from trunkline.log.codec.columns import F64, I64
from trunkline.model.reading import Value
from trunkline.processing.anomaly.chart import Reference
from trunkline.processing.anomaly.detector import Judgement, Rows


class CusumDetector:
    """Judges the sums up to and with a reading. A sum is held at twice the threshold, so that it comes down again in time."""

    def __init__(self, options: Cusum, zone: str) -> None:
        self._options = options
        self._reference = Reference(options, zone)

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """The reference; for each side the sum, how many readings are in it and when it left zero; readings in a row within the slack."""
        sides = [(f"{side}_{name}", kind) for side in ("up", "down") for name, kind in (("sum", "<f8"), ("count", "<i8"), ("since", "<i8"))]
        return [*self._reference.fields, *sides, ("inside", "<i8")]

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """See `Detector.judge`."""
        slack, threshold = self._options.slack, self._options.threshold
        z, target, sigma, ready = self._reference.standardise(rows, at, time, value)
        inside = np.where(np.abs(z) <= slack, rows["inside"][at] + 1, 0)
        rows["inside"][at] = inside
        score = np.zeros(len(at))
        for side, away in (("up", z), ("down", -z)):
            before = rows[f"{side}_sum"][at]
            total = np.where(ready, np.clip(before + away - slack, 0.0, 2 * threshold), 0.0)
            total = np.where((total >= threshold) & (inside >= self._options.reset), 0.0, total)
            rows[f"{side}_sum"][at] = total
            rows[f"{side}_count"][at] = np.where(total > 0, rows[f"{side}_count"][at] + 1, 0)
            rows[f"{side}_since"][at] = np.where((before == 0) & (total > 0), time, rows[f"{side}_since"][at])
            score = np.maximum(score, total)
        reach = slack * sigma
        return Judgement(np.where(ready, score, np.nan), target, target - reach, target + reach)

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return which way it went, since when and by how much."""
        side = "up" if row["up_sum"] >= row["down_sum"] else "down"
        count, sigma = int(row[f"{side}_count"]), float(row["sigma"])
        shift = (self._options.slack + float(row[f"{side}_sum"]) / max(count, 1)) * sigma
        return {
            "direction": side,
            "window_from": int(row[f"{side}_since"]),
            "window_to": int(row["newest"]),
            "window_readings": count,
            "shift": shift if side == "up" else -shift,
            "sigma": sigma,
        }
