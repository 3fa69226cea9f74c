"""A value that no longer moves."""

import numpy as np

from trunkline.config.rules import FrozenRule
from trunkline.log.codec.columns import BOOL, F64, I64
from trunkline.model import times
from trunkline.processing.rules.batch import Batch, Hit, grown


class Frozen:
    """Remembers of each tag the value at which it stopped, since when, and over how many readings.

    The value is compared with the one at which it stopped, not with the one before: a slow drift is a movement.
    """

    def __init__(self, rule: FrozenRule) -> None:
        self._rule = rule
        self._anchor: F64 = np.empty(0)
        self._since: I64 = np.empty(0, np.int64)
        self._count: I64 = np.empty(0, np.int64)

    def grow(self, slots: int) -> None:
        """Make room for so many tags."""
        self._anchor = grown(self._anchor, slots, np.nan)
        self._since = grown(self._since, slots, 0)
        self._count = grown(self._count, slots, 0)

    def judge(self, batch: Batch) -> Hit | None:
        """Return the readings whose value has not moved for long enough."""
        measured = batch.measured()
        if not len(measured):
            return None
        value, slot, first = measured.value, measured.slot, measured.first
        rows = np.arange(len(value))
        starts = np.flatnonzero(first)
        start = starts[np.cumsum(first) - 1]
        moved = self._moved(value, slot, first, start)
        anchor = np.maximum.accumulate(np.where(moved, rows, -1))
        within = anchor >= start
        since = np.where(within, measured.time[anchor], self._since[slot])
        count = np.where(within, rows - anchor + 1, self._count[slot] + rows - start + 1)
        last = np.append(starts[1:], len(value)) - 1
        self._anchor[slot[last]] = np.where(within[last], value[anchor[last]], self._anchor[slot[last]])
        self._since[slot[last]], self._count[slot[last]] = since[last], count[last]
        still = np.ones(len(value), np.bool_)
        if self._rule.seconds is not None:
            still &= measured.time - since >= int(self._rule.seconds * times.SECOND)
        if self._rule.readings is not None:
            still &= count >= self._rule.readings
        hit, lasts, counts = measured.take(np.flatnonzero(still)), (measured.time - since)[still], count[still]

        def words(one: int) -> str:
            return f"{hit.value[one]:g} has not moved for {lasts[one] / times.SECOND:.1f} s, {counts[one]:,} readings"

        return Hit(self._rule, hit.position, words) if len(hit) else None

    def _moved(self, value: F64, slot: I64, first: BOOL, start: I64) -> BOOL:
        """Return where a value is not the one at which its tag stopped."""
        tolerance = self._rule.tolerance
        step = np.abs(np.diff(value, prepend=np.nan))
        moved = step > 2 * tolerance  # then it is beyond the tolerance of whatever the one before was close to
        moved[first] = ~(np.abs(value[first] - self._anchor[slot[first]]) <= tolerance)
        unsure = ~moved & ~first & (step > 0)
        if unsure.any():
            anchors = np.maximum.accumulate(np.where(moved, np.arange(len(value)), -1))
            found = -1
            for row in np.flatnonzero(unsure).tolist():
                at = max(int(anchors[row]), found)
                anchor = value[at] if at >= start[row] else self._anchor[slot[row]]
                if abs(value[row] - anchor) > tolerance:
                    moved[row] = True
                    found = row
        return moved

    def dump(self, slot: int) -> list[float | int | bytes]:
        """Return what is remembered of a tag."""
        return [float(self._anchor[slot]), int(self._since[slot]), int(self._count[slot])]

    def load(self, slot: int, state: list[float | int | bytes]) -> None:
        """Take what `dump` returned."""
        self._anchor[slot], self._since[slot], self._count[slot] = state
