"""When the edge journal will be full of what waits, or nothing waits any more, if it goes on as in the last minutes (PD-31)."""

from collections import deque
from typing import Final

from trunkline.ledger.status import BufferStatus
from trunkline.model import times

#: More records than this, the oldest older than this, are worth a warning (PD-31).
WARN_RECORDS: Final = 100
WARN_AGE: Final = times.MINUTE
_WINDOW: Final = 10 * times.MINUTE
#: Less says nothing: a link that is away for a moment is no outage.
_LEAST: Final = times.MINUTE
_LEAST_DRAIN: Final = 15 * times.SECOND


class Forecast:
    """Watches the bytes that wait."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def note(self, now: int, waiting: int) -> None:
        """Take in how many bytes wait at `now`, µs UTC."""
        if self._seen and now < self._seen[-1][0]:
            self._seen.clear()  # the clock was set back
        self._seen.append((now, waiting))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    def full_in(self, room: float) -> float | None:
        """Return the seconds until `room` more bytes wait; None when they drain, or have not grown for a minute yet.

        The rate is that since fewest waited, so that the quiet time before an outage does not hide how fast it fills the journal.
        """
        if not self._seen:
            return None
        now, last = self._seen[-1]
        began, fewest = min(self._seen, key=lambda sample: (sample[1], -sample[0]))
        middle = next(size for at, size in self._seen if at - began >= (now - began) // 2)
        if now - began < _LEAST or last <= middle:
            return None
        return max(0.0, room) * (now - began) / times.SECOND / (last - fewest)

    def drained_in(self) -> float | None:
        """Return the seconds until nothing waits; None when nothing does, or it has not got less for a quarter of a minute yet.

        The rate is that since most waited.
        """
        if not self._seen:
            return None
        now, last = self._seen[-1]
        began, most = max(self._seen, key=lambda sample: (sample[1], sample[0]))
        if not last or now - began < _LEAST_DRAIN or most == last:
            return None
        return last * (now - began) / times.SECOND / (most - last)


def span(seconds: float) -> str:
    """Return a time to go as people read it: minutes, hours or days."""
    for unit, size in (("days", 86_400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds / 60:,.0f} minutes"


def buffer_problems(buffer: BufferStatus, now: int) -> list[str]:
    """Return what there is to warn of, in sentences."""
    problems = []
    age = now - buffer.oldest_waiting_us if buffer.oldest_waiting_us is not None else 0
    if buffer.waiting > WARN_RECORDS and age > WARN_AGE:
        problems.append(f"{buffer.waiting:,} records wait at the edge, the oldest for {span(age / times.SECOND)}")
    if buffer.full_in_s is not None:
        problems.append(
            f"the edge buffer is full in {span(buffer.full_in_s)} at this rate; then the oldest telemetry is given up, on record"
        )
    if buffer.disk_full:
        problems.append("the disk of the edge journal is full: telemetry waits until there is room, alarms use the reserve")
    return problems
