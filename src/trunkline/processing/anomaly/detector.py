"""What every detector of single series keeps to: rows of state, one a series, and a judgement of one reading of each of several series."""

from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from trunkline.log.codec.columns import F64, I64
from trunkline.model.reading import Value

#: Rows of state: a structured array, one row a series, little-endian whatever the machine.
Rows = npt.NDArray[np.void]

#: No time: before every other.
NEVER: Final = int(np.iinfo(np.int64).min)
#: Scores are cut here, so that they stay numbers whatever a device sends.
LARGEST_SCORE: Final = 1e6
#: Values beyond cannot be squared: they are judged, and not learnt from.
LARGEST_LEARNT: Final = 1e150


class Judgement(NamedTuple):
    """What a detector says of readings; arrays of one length.

    Attributes:
        score: how unusual, in the unit of the rule's threshold, from 0 to `LARGEST_SCORE`; NaN where it cannot tell yet.
        expected: the value that would have been usual, in the tag's unit.
        low, high: the band in which nothing is unusual, in the tag's unit.
    """

    score: F64
    expected: F64
    low: F64
    high: F64


class Detector(Protocol):
    """A detector of single series. It holds options only: what it learnt stands in the rows."""

    @property
    def fields(self) -> list[tuple[Any, ...]]:
        """Fields of its rows beside those of `marks`, as numpy's dtype takes them; zero is their beginning."""
        ...

    def judge(self, rows: Rows, at: I64, time: I64, value: F64) -> Judgement:
        """Judge one reading of each of several series by what was before it, and learn from it.

        Args:
            rows: state of all series; the rows `at` change.
            at: rows, no one twice.
            time: source time of each reading, µs UTC.
            value: finite numbers.
        """
        ...

    def evidence(self, row: np.void) -> dict[str, Value]:
        """Return further facts for the explanation of an anomaly that the last reading of this row began."""
        ...


def scored(distance: F64, spread: F64) -> F64:
    """Return |distance| in spreads, cut at `LARGEST_SCORE`; 0 where there is no spread to measure with."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        score = np.minimum(np.abs(distance) / spread, LARGEST_SCORE)
    return np.where(spread > 0, score, 0.0)
