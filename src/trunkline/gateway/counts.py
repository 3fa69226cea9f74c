"""The edge journal's side of the ledger, counted anew as often as that may cost."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from trunkline.gateway.edge import edge_counts
from trunkline.ledger.status import EdgeCount
from trunkline.model import times

#: Part of a thread's time that counting may take.
_SHARE: Final = 0.02


class EdgeCounts:
    """Counts of a journal whose counters are never few again: one for each source, class, step and hour, of 200 sources 10,000 a day.

    Counting all of them for every report would in the end be all that a gateway does, so the last result stands in for a while: fifty
    times as long as it took. Totals only grow, so an old one is late and never wrong.

    Args:
        tallies: reads the journal's counters.
        clock: present time in µs.
        now: seconds of a clock that never steps.
        spent: seconds of processor time of the calling thread.
    """

    def __init__(
        self,
        tallies: Callable[[], Mapping[tuple[str, ...], int]],
        clock: Callable[[], int] = times.now,
        now: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        self._tallies, self._clock, self._now, self._spent = tallies, clock, now, spent
        self._last: tuple[list[EdgeCount], int] = ([], 0)
        self._stand_until = float("-inf")
        self._lock = threading.Lock()

    def lately(self) -> tuple[list[EdgeCount], int]:
        """Return every row of the ledger, and the time up to which they are complete; the same list where it was not counted anew."""
        with self._lock:
            if self._now() >= self._stand_until:
                began = self._spent()
                since = self._clock()
                self._last = (edge_counts(self._tallies()), since)
                self._stand_until = self._now() + (self._spent() - began) / _SHARE
            return self._last

    def expire(self) -> None:
        """Have the next look count anew, whatever it costs."""
        with self._lock:
            self._stand_until = float("-inf")
