"""A link with a speed, a round trip and a time limit, on a clock that the test turns; behind it the real site log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from trunkline.gateway.copies import size_of
from trunkline.gateway.forwarder import Forwarder
from trunkline.log.codec.head import BACKLOG
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Positions, Record
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category

IDLE = 0.25


@dataclass
class Clock:
    """Seconds that pass only when told; `now` in µs, beginning at the present, since journals stamp what they take."""

    seconds: float = 0.0
    start: int = field(default_factory=times.now)

    def now(self) -> int:
        return self.start + int(self.seconds * times.SECOND)

    def ticks(self) -> float:
        return self.seconds


class Sent(NamedTuple):
    """An append that arrived: when its first byte went, and when it was acknowledged."""

    began: float
    ended: float
    topic: str
    records: tuple[Record, ...]

    @property
    def size(self) -> int:
        return sum(map(size_of, self.records))

    @property
    def late(self) -> bool:
        return any(name == BACKLOG for name, _ in self.records[0].headers)


class Link:
    """The site log at the end of a link.

    Attributes:
        limit: seconds after which an append is given up; nothing of it was taken.
        on_way: called when an append has gone out and is not acknowledged yet.
    """

    def __init__(self, site: Log, clock: Clock, bytes_per_s: float = float("inf"), round_trip: float = 0.0, limit: float = 10.0) -> None:
        self._site, self._clock = site, clock
        self._rate, self._round_trip, self.limit = bytes_per_s, round_trip, limit
        self.sent: list[Sent] = []
        self.given_up = 0
        self.on_way: Callable[[str], None] = lambda _topic: None

    def append(self, topic: str, records: Sequence[Record], *, atomic: bool = True) -> Positions:
        began = self._clock.seconds
        took = self._round_trip + sum(map(size_of, records)) / self._rate
        self._clock.seconds += min(took, self.limit)
        if took > self.limit:
            self.given_up += 1
            raise RetryLater("the records were not acknowledged in time")
        self.on_way(topic)
        self.sent.append(Sent(began, self._clock.seconds, topic, tuple(records)))
        return self._site.append(topic, records, atomic=atomic)

    def opener(self) -> Log:
        """Return itself as a log."""
        return cast("Log", self)

    def __getattr__(self, name: str) -> object:
        return getattr(self._site, name)

    def close(self) -> None:
        """Stays open: the test owns the log behind it."""


def telemetry(layout: Layout) -> str:
    return layout.topic(Category.TELEMETRY, "raw")


def alarm_topic(layout: Layout) -> str:
    return layout.topic(Category.ALARM, "raw")


def put(edge: Journal, topic: str, clock: Clock, number: int, size: int = 1000, partitions: int = 1) -> None:
    """Journal records of `size` bytes; each begins with a number of its own in its topic."""
    start = sum(end for _, end in edge.bounds(topic).values())
    edge.append(
        topic,
        [Record(b"%09d" % n + bytes(size - 9), partition=n % partitions, timestamp=clock.now()) for n in range(start, start + number)],
    )


def numbers(link: Link, topic: str) -> list[int]:
    """Return the numbers of a topic's records in the order in which they arrived."""
    return [int(record.value[:9]) for one in link.sent if one.topic == topic for record in one.records]


def run(forwarder: Forwarder, clock: Clock, until: Callable[[], bool], seconds: float) -> None:
    """Do what the forwarder's thread does, until something is so. Fails when it takes longer than `seconds` of the turned clock."""
    end = clock.seconds + seconds
    while not until():
        assert clock.seconds < end, f"not done after {seconds} s"
        try:
            moved = forwarder.step()
        except RetryLater:
            clock.seconds += 1.0
            continue
        if not moved:
            clock.seconds += IDLE
