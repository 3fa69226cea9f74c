"""When to scan: a fixed grid of times that does not drift. Pure: the caller brings the clock."""

from math import ceil


class Cadence:
    """Due times `start`, `start + interval`, …; scans that were missed are counted and left out, not made up for.

    Attributes:
        interval: seconds between scans.
        due: when the next scan is due, in seconds of the caller's clock.
        missed: scans left out since the start.
    """

    def __init__(self, interval: float, start: float) -> None:
        self.interval = interval
        self.due = start
        self.missed = 0
        self._start = start
        self._tick = 0

    def advance(self, now: float) -> None:
        """Move on to the first due time after the scan just taken that is not yet past."""
        tick = max(self._tick + 1, ceil((now - self._start) / self.interval))
        self.missed += tick - self._tick - 1
        self._tick = tick
        self.due = self._start + tick * self.interval
