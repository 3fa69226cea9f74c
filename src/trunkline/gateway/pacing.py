"""How much goes to the site log at once, and when: a ceiling in bytes per second, and appends that a slow link finishes in seconds.

Sizes are bytes on the link as far as they are known: what the client of Kafka says that it wrote, after compression (`Uplink`). Between two
of its words, and where there is no such client, they are the bytes of the records, times what records lately took on the link.
"""

import threading
import time
from collections.abc import Callable
from typing import Final

from trunkline.config.site import LinkConfig

#: An append that a link needs longer for, beyond its round trip, gets smaller: alarms wait behind it.
SLOW_SECONDS: Final = 2.0
#: However long the round trip is, an append must end well within the time limit of the site log.
LONGEST_SECONDS: Final = 6.0
LEAST_BYTES: Final = 4 << 10
FIRST_BYTES: Final = 16 << 10
MOST_BYTES: Final = 8 << 20
#: Part of a second's bytes that must be free before anything goes: a record at a time would be mostly overhead.
_WORTHWHILE: Final = 0.25
#: Part of the ceiling that reports of state may take, and how far apart they may come for it.
_REPORTS: Final = 0.1
_LONGEST_BETWEEN_REPORTS: Final = 10.0
#: The shortest append is taken for the round trip; it is forgotten slowly, since a path may get longer.
_FORGETS: Final = 1.001


class Bucket:
    """Tokens of one byte: a second's worth at most. It may be overdrawn, by what must not wait and by one record larger than it."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._level = rate
        self._at = now

    def level(self, now: float) -> float:
        """Return how many are there; negative while debts are paid off."""
        self._level = min(self.rate, self._level + self.rate * max(0.0, now - self._at))
        self._at = now
        return self._level

    def take(self, size: float) -> None:
        """Take tokens away, or give them back when negative."""
        self._level -= size


class Pace:
    """Says how many bytes of records may go, and learns from what became of them. Thread-safe.

    Args:
        link: the ceilings.
        sent: bytes that clients have written to the site log; stands still where nobody knows.
        ticks: a clock in seconds that only goes forward.
    """

    def __init__(self, link: LinkConfig, sent: Callable[[], int] = lambda: 0, ticks: Callable[[], float] = time.monotonic) -> None:
        self._sent = sent
        self._ticks = ticks
        self._lock = threading.Lock()
        now = ticks()
        self._whole = Bucket(link.max_bytes_per_second, now) if link.max_bytes_per_second else None
        self._part = Bucket(link.backlog_bytes_per_second, now) if link.backlog_bytes_per_second else None
        self._largest = float(FIRST_BYTES)
        self._round_trip: float | None = None
        self._per_edge_byte = 1.0  # bytes on the link for a byte of what lies in the edge journal
        self._per_byte = 1.0  # bytes on the link for a byte of a record
        self._known = 0
        self._charged = self._appended = 0.0

    def room(self, *, backlog: bool = False) -> int:
        """Return how many bytes of the edge journal's records may go now; 0 while the ceiling is reached."""
        with self._lock:
            self._correct()
            now = self._ticks()
            free = self._largest
            for bucket in (self._whole, self._part if backlog else None):
                if bucket is not None:
                    level = bucket.level(now)
                    if level < bucket.rate * _WORTHWHILE:
                        return 0
                    free = min(free, level)
            return max(1, int(free / self._per_edge_byte))

    def urgent_room(self) -> int:
        """Return how many bytes may go of what never waits for the ceiling."""
        with self._lock:
            return max(1, int(self._largest / self._per_edge_byte))

    def acknowledged(self, taken: int, size: int, seconds: float, *, backlog: bool) -> None:
        """Take over an append that the site log acknowledged.

        Args:
            taken: bytes of the records as they lie in the edge journal.
            size: bytes of the records that were made of them.
            seconds: until they were acknowledged.
            backlog: whether they count against the backlog's ceiling too.
        """
        with self._lock:
            on_link = self._charge(size, backlog=backlog)
            if taken:
                self._per_edge_byte += 0.3 * (on_link / taken - self._per_edge_byte)
            self._learn(on_link, seconds)

    def failed(self) -> None:
        """Take over that an append did not come to its end: the next one is smaller, and the path may be another."""
        with self._lock:
            self._largest = max(LEAST_BYTES, min(self._largest, FIRST_BYTES) / 2)
            self._round_trip = None

    def reported(self, size: int) -> float:
        """Charge a report of the gateway's state; return the least seconds until the next: they take a tenth of the ceiling at most."""
        with self._lock:
            on_link = self._charge(size, backlog=False)
            return min(_LONGEST_BETWEEN_REPORTS, on_link / (_REPORTS * self._whole.rate)) if self._whole is not None else 0.0

    @property
    def total(self) -> int:
        """Bytes that went over the link so far: what clients say, and the estimate of what they have yet to speak of."""
        with self._lock:
            return self._known + int(self._charged)

    @property
    def measured(self) -> bool:
        """Whether a client counts what it writes; else the bytes are those of the records."""
        return self._known > 0

    def _charge(self, size: int, *, backlog: bool) -> float:
        on_link = size * self._per_byte
        now = self._ticks()
        for bucket in (self._whole, self._part if backlog else None):
            if bucket is not None:
                bucket.level(now)
                bucket.take(on_link)
        self._charged += on_link
        self._appended += size
        return on_link

    def _correct(self) -> None:
        """Replace what was estimated since the clients' last word by what they say."""
        sent = self._sent()
        if sent == self._known:
            return
        on_link, self._known = sent - self._known, sent
        if self._whole is not None:
            self._whole.take(on_link - self._charged)
        if self._appended > 0:
            # one word may hold half an append, or the head of the next: no more than a hint is taken from each
            self._per_byte = min(4.0, max(0.02, self._per_byte + 0.3 * (on_link / self._appended - self._per_byte)))
        self._charged = self._appended = 0.0

    def _learn(self, on_link: float, seconds: float) -> None:
        """Find the largest append that does not hold up what comes behind it: twice as large while that costs nothing, else half."""
        self._round_trip = seconds if self._round_trip is None else min(seconds, self._round_trip * _FORGETS)
        beyond = seconds - self._round_trip
        if beyond > SLOW_SECONDS or seconds > LONGEST_SECONDS:
            self._largest = max(LEAST_BYTES, min(self._largest, on_link) / 2)
        elif beyond < SLOW_SECONDS / 2 and on_link * 2 > self._largest:
            self._largest = min(MOST_BYTES, self._largest * 2)
