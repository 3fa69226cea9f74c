"""Seasonal profile: mean and standard deviation of each hour of the day or week, learnt with exponential forgetting."""

from typing import Any, Final

import numpy as np

from trunkline.config.anomalies import Seasonal
from trunkline.log.codec.columns import F64, I64
from trunkline.model import times
from trunkline.model.reading import Value
from trunkline.processing.anomaly import baseline
from trunkline.processing.anomaly.detector import Judgement, Rows, scored
from trunkline.processing.anomaly.hours import HOURS, hour_of

#: Weight of learnt readings below which an hour is not judged.
_FEWEST: Final = 10.0


class SeasonalDetector:
    """Judges a reading by those of the same hour of earlier days or weeks."""

    def __init__(self, options: Seasonal, zone: str) -> None:
        self._options = options
        self._learn = int(options.learn * times.SECOND)
        self._zone = zone

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """A baseline for each hour, and the hour of the newest reading."""
        return [*baseline.fields(HOURS[self._options.season]), ("hour", "<i8")]

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """See `Detector.judge`."""
        hour = hour_of(time, self._zone, self._options.season)
        cells = (at, hour)
        rows["hour"][at] = hour
        mean, spread = rows["mean"][cells], baseline.spread(rows, cells, self._options.min_spread)
        ready = (time - rows["first"][at] >= self._learn) & (rows["weight"][cells] >= _FEWEST)
        with np.errstate(over="ignore"):
            score = np.where(ready, scored(value - mean, spread), np.nan)
        baseline.learn(rows, cells, time, value, self._options.half_life, ready)
        reach = self._options.threshold * spread
        return Judgement(score, mean, mean - reach, mean + reach)

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return the hour that it was compared with, from 0 (midnight, of Monday for a week), and how many readings of it are known."""
        hour = int(row["hour"])
        return {"hour": hour, "season": self._options.season, "hour_readings": round(float(row["weight"][hour]) - 1, 1), "zone": self._zone}
