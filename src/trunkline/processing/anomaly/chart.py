"""The reference of control charts: given by the rule, or learnt with forgetting, for each hour of a season where there is one."""

from typing import Any, Final, NamedTuple

import numpy as np

from trunkline.config.anomalies import Chart
from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.processing.anomaly import baseline
from trunkline.processing.anomaly.detector import Rows
from trunkline.processing.anomaly.hours import HOURS, hour_of

#: Weight of learnt readings below which a reference is no reference.
_FEWEST: Final = 30.0
#: A single reading counts at most this far off, in standard deviations: spikes are for other detectors.
_WILD: Final = 8.0


class Standardised(NamedTuple):
    """Readings beside their reference.

    Attributes:
        z: distance from the target in standard deviations, within ±8; 0 where there is no spread.
        target, sigma: the reference, in the tag's unit.
        ready: where the reference is known.
    """

    z: F64
    target: F64
    sigma: F64
    ready: BOOL


class Reference:
    """What readings are compared with."""

    def __init__(self, options: Chart, zone: str) -> None:
        self._options = options
        self._learn = int(options.learn * times.SECOND)
        self._zone = zone

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """A baseline for each hour of the season, and target and deviation that the newest reading was compared with."""
        return [*baseline.fields(HOURS[self._options.season]), ("target", "<f8"), ("sigma", "<f8")]

    def standardise(self, rows: Rows, at: I64, time: I64, value: F64) -> Standardised:
        """Return readings beside the reference of what was before them, and learn from them. Arguments as of `Detector.judge`."""
        options = self._options
        cells = (at, hour_of(time, self._zone, options.season))
        target = rows["mean"][cells] if options.target is None else np.full(len(at), options.target)
        sigma = baseline.spread(rows, cells, options.min_spread) if options.sigma is None else np.full(len(at), options.sigma)
        ready: BOOL = np.ones(len(at), np.bool_)
        if not options.known:
            ready = (time - rows["first"][at] >= self._learn) & (rows["weight"][cells] >= _FEWEST)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            z = np.where(sigma > 0, np.clip((value - target) / sigma, -_WILD, _WILD), 0.0)
        if not options.known:
            baseline.learn(rows, cells, time, value, options.half_life, ready)
        rows["target"][at], rows["sigma"][at] = target, sigma
        return Standardised(z, target, sigma, ready)
