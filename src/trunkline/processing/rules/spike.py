"""A value far from those before it, by robust statistics.

Median and median absolute deviation (MAD) do not follow the outliers that they judge: up to half of the window may be wrong. For a normal
distribution 1.4826 x MAD is the standard deviation (Rousseeuw and Croux, 1993). The window takes every GOOD reading, whatever this rule
says of it: after a true step it believes the new level once half of the window has it.
"""

from typing import Final

import numpy as np

from trunkline.config.rules import SpikeRule
from trunkline.log.codec.columns import F64, I64
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.processing.rules.batch import Batch, Hit, grown

#: MAD to standard deviation.
MAD_TO_SIGMA: Final = 1.4826
#: Windows looked at together: bounds memory.
_CHUNK: Final = 8192


class Spike:
    """Remembers of each tag its last GOOD values, the oldest first."""

    def __init__(self, rule: SpikeRule) -> None:
        self._rule = rule
        self._ring: F64 = np.empty((0, rule.window))
        self._filled: I64 = np.empty(0, np.int64)
        self._last: I64 = np.empty(0, np.int64)

    def grow(self, slots: int) -> None:
        """Make room for so many tags."""
        self._ring = grown(self._ring, slots, 0.0)
        self._filled = grown(self._filled, slots, 0)
        self._last = grown(self._last, slots, 0)

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings that are far from those before them."""
        measured = batch.measured()
        if not len(measured):
            return None
        flat, end, count = self._windows(measured)
        rows = np.flatnonzero(count >= self._rule.window)
        if not len(rows):
            return None
        middle, sigma = self._statistics(flat, end[rows])
        distance = np.abs(measured.value[rows] - middle)
        known = (sigma > 0) | (self._rule.least > 0)
        far = known & (distance > self._rule.threshold * sigma) & (distance > self._rule.least)
        hit, middle, sigma = measured.take(rows[far]), middle[far], sigma[far]

        def words(one: int) -> str:
            from_here = f"{hit.value[one]:g} is {abs(hit.value[one] - middle[one]):.4g} from the median {middle[one]:g}"
            deviations = abs(hit.value[one] - middle[one]) / sigma[one] if sigma[one] else np.inf
            return f"{from_here}, {deviations:.3g} robust deviations" if np.isfinite(deviations) else from_here

        return Hit(self._rule, hit.position, words) if len(hit) else None

    def _windows(self, batch: Batch) -> tuple[F64, I64, I64]:
        """Return old and new GOOD values in one row, tag by tag; for each reading the end of its window there, and how many values it has.

        What the next batch is compared with is remembered here.
        """
        window, slot, first = self._rule.window, batch.slot, batch.first
        good = batch.quality >> q.SEVERITY_SHIFT == q.Severity.GOOD
        starts = np.flatnonzero(first)
        tag = np.cumsum(first) - 1
        before = np.cumsum(good) - good  # GOOD readings of all tags before this one
        places = (np.arange(len(starts)) + 1) * window + before[starts]  # where a tag's new values start, its old ones end
        seen = before - before[starts][tag]
        flat = np.empty(len(starts) * window + int(good.sum()))
        flat[places[:, None] + np.arange(-window, 0)] = self._ring[slot[starts]]
        end = places[tag] + seen
        flat[end[good]] = batch.value[good]
        earlier = np.empty_like(batch.time)
        earlier[1:] = batch.time[:-1]
        earlier[starts] = self._last[slot[starts]]
        anew = batch.time - earlier > int(self._rule.forget_after * times.SECOND)
        begin = np.maximum.accumulate(np.where(anew, np.arange(len(anew)), -1))
        count = np.where(begin >= starts[tag], before - before[begin], self._filled[slot] + seen)
        last = np.append(starts[1:], len(slot)) - 1
        until = end[last] + good[last]
        self._ring[slot[last]] = flat[until[:, None] + np.arange(-window, 0)]
        self._filled[slot[last]] = np.minimum(count[last] + good[last], window)
        self._last[slot[last]] = batch.time[last]
        return flat, end, count

    def _statistics(self, flat: F64, end: I64) -> tuple[F64, F64]:
        """Return the median and the robust deviation of each window."""
        middle, sigma = np.empty(len(end)), np.empty(len(end))
        reach = np.arange(-self._rule.window, 0)
        for begin in range(0, len(end), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            values = flat[end[part, None] + reach]
            middle[part] = np.median(values, axis=1)
            sigma[part] = MAD_TO_SIGMA * np.median(np.abs(values - middle[part, None]), axis=1)
        return middle, sigma

    def dump(self, slot: int) -> list[float | int | bytes]:
        """Return what is remembered of a tag."""
        return [int(self._filled[slot]), int(self._last[slot]), self._ring[slot].tobytes()]

    def load(self, slot: int, state: list[float | int | bytes]) -> None:
        """Take what `dump` returned; values that no longer fit the window are left out, the oldest first."""
        filled, last, ring = state
        values = np.frombuffer(ring, np.float64)[-self._rule.window :]  # type: ignore[arg-type]  # bytes, as `dump` wrote them
        self._ring[slot, -len(values) :] = values
        self._filled[slot], self._last[slot] = min(int(filled), len(values)), int(last)
