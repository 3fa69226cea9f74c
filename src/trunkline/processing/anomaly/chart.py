"""The reference of control charts: given by the rule, or learnt with forgetting."""

from typing import Final, NamedTuple

import numpy as np

from trunkline.config.anomalies import Chart
from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.processing.anomaly import baseline
from trunkline.processing.anomaly.detector import Rows

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


def standardise(options: Chart, rows: Rows, at: I64, time: I64, value: F64) -> Standardised:
    """Return readings beside the reference of what was before them, and learn from them."""
    target = rows["mean"][at] if options.target is None else np.full(len(at), options.target)
    sigma = baseline.spread(rows, at, options.min_spread) if options.sigma is None else np.full(len(at), options.sigma)
    ready = np.full(len(at), options.known)
    if not options.known:
        ready = (time - rows["first"][at] >= int(options.learn * times.SECOND)) & (rows["weight"][at] >= _FEWEST)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        z = np.where(sigma > 0, np.clip((value - target) / sigma, -_WILD, _WILD), 0.0)
    if not options.known:
        baseline.learn(rows, at, time, value, options.half_life, ready)
    return Standardised(z, target, sigma, ready)
