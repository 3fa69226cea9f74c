"""Which journal positions have been seen: sorted, merged, half-open ranges.

Blocks of one origin and partition meet (`trunkline.log.codec.head.BlockHead`), so after delivery in any order the coverage is one range
from 0. A range given a second time is a repeat and is dropped; a hole that stays is a loss with an address.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class Range(NamedTuple):
    """Positions lo <= p < hi."""

    lo: int
    hi: int


class Coverage:
    """A set of positions kept as few ranges."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._los: list[int] = []
        self._his: list[int] = []
        for lo, hi in ranges:
            self.add(lo, hi)

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges, ascending, never touching each other."""
        return tuple(map(Range, self._los, self._his))

    @property
    def end(self) -> int:
        """Position after the last one covered; 0 when empty."""
        return self._his[-1] if self._his else 0

    def holes(self) -> tuple[Range, ...]:
        """Return the ranges missing between 0 and `end`."""
        starts = [0, *self._his[:-1]] if self._his else []
        return tuple(Range(lo, hi) for lo, hi in zip(starts, self._los, strict=True) if lo < hi)

    def covers(self, lo: int, hi: int) -> bool:
        """Return whether every position in [lo, hi) was seen. An empty range is covered."""
        if lo >= hi:
            return True
        place = bisect_right(self._los, lo) - 1
        return place >= 0 and hi <= self._his[place]

    def reach(self, position: int) -> int:
        """Return the first position at or after `position` that was not seen."""
        place = bisect_right(self._los, position) - 1
        return max(position, self._his[place]) if place >= 0 else position

    def overlaps(self, lo: int, hi: int) -> bool:
        """Return whether any position in [lo, hi) was seen."""
        place = bisect_right(self._his, lo)
        return lo < hi and place < len(self._los) and self._los[place] < hi

    def __contains__(self, position: int) -> bool:
        return self.covers(position, position + 1)

    def add(self, lo: int, hi: int) -> None:
        """Add [lo, hi). Raises ValueError when lo > hi."""
        if lo > hi:
            raise ValueError(f"range [{lo}, {hi}) runs backwards")
        if lo == hi:
            return
        first = bisect_left(self._his, lo)
        last = bisect_right(self._los, hi)
        if first < last:
            lo, hi = min(lo, self._los[first]), max(hi, self._his[last - 1])
        self._los[first:last] = [lo]
        self._his[first:last] = [hi]
