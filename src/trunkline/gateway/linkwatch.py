"""What became of the link to the site log: outages, how long it was down, and what went over it lately."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

_DAY: Final = 86_400.0
#: Rates are those of the last minute.
_WINDOW: Final = 60.0
_SAMPLE: Final = 1.0


class _Sample(NamedTuple):
    at: float
    readings: int
    bytes: int


class Traffic(NamedTuple):
    """What went over the link in a second, on average over the last minute."""

    readings_per_s: float
    bytes_per_s: float


class LinkWatch:
    """Takes note of a link. Thread-safe.

    Args:
        clock: present time in µs UTC, for people.
        ticks: a clock in seconds that only goes forward, for durations.
        sent: bytes that went over the link so far.

    Attributes:
        since: when the link came to its present state, µs UTC.
        error: why it is down; None while it is up.
        outages: how often it went down since the gateway started, with the present one; not reached at the start counts as well.
    """

    def __init__(self, clock: Callable[[], int], ticks: Callable[[], float], sent: Callable[[], int]) -> None:
        self._clock, self._ticks, self._sent = clock, ticks, sent
        self._lock = threading.Lock()
        self.since = clock()
        self.error: str | None = "not tried yet"
        self.outages = 0
        self._began: float | None = None  # of the present outage
        self._past: deque[tuple[float, float]] = deque()  # outages of the last day
        self._down = 0.0  # of all that ended
        self._readings = 0
        self._samples = deque([_Sample(ticks(), 0, 0)])

    def up(self) -> None:
        """The site log was reached."""
        with self._lock:
            if self._began is not None:
                ended = self._ticks()
                self._down += ended - self._began
                self._past.append((self._began, ended))
                self._began = None
            self.error, self.since = None, self._clock()

    def down(self, error: str) -> bool:
        """Take over that the site log was not reached; return whether that is news."""
        with self._lock:
            news = self._began is None
            if news:
                self._began = self._ticks()
                self.since = self._clock()
                self.outages += 1
            self.error = error
            return news

    def forwarded(self, readings: int) -> None:
        """Take over that the site log acknowledged readings."""
        with self._lock:
            self._readings += readings
            self._look()

    def down_seconds(self) -> tuple[float, float]:
        """Return how long the link was down since the gateway started, and in the last 24 hours."""
        with self._lock:
            now = self._ticks()
            while self._past and self._past[0][1] <= now - _DAY:
                self._past.popleft()
            present = now - self._began if self._began is not None else 0.0
            day = sum(ended - max(began, now - _DAY) for began, ended in self._past) + min(present, _DAY)
            return self._down + present, day

    def traffic(self) -> Traffic:
        """Return what went over the link lately."""
        with self._lock:
            first, last = self._look()
            seconds = max(_SAMPLE, last.at - first.at)
            return Traffic((last.readings - first.readings) / seconds, (last.bytes - first.bytes) / seconds)

    def _look(self) -> tuple[_Sample, _Sample]:
        """Return where the window begins, and the present."""
        now = _Sample(self._ticks(), self._readings, self._sent())
        if now.at - self._samples[-1].at >= _SAMPLE:
            self._samples.append(now)
        while len(self._samples) > 1 and self._samples[1].at <= now.at - _WINDOW:
            self._samples.popleft()
        return self._samples[0], now
