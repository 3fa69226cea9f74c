"""What a reader hands to the source: readings in order, with a way to confirm them or to take them back."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Reading, Value
from trunkline.sources.port import ReadBatch

#: Readings that one batch holds before it is handed over without looking for more.
BATCH_READINGS = 20_000


@dataclass(slots=True)
class Counters:
    """What happened since the source was made.

    Attributes:
        notifications: values received from subscriptions.
        messages_lost: notification messages that the server could not send again.
        queue_overflows: values that the server marked as 'older ones were dropped before me'.
        nodes_refused: variables that the server did not accept at the last attempt.
    """

    notifications: int = 0
    messages_lost: int = 0
    queue_overflows: int = 0
    nodes_refused: int = 0


def source_event(source: str, now: int, kind: str, text: str, **attributes: Value) -> Event:
    """Return an event that a source has to tell."""
    return Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, source=source, text=text, attributes=attributes)


class Chunk(NamedTuple):
    """Readings that are confirmed together; `sequence` is the notification message they came in, None if in none."""

    readings: Sequence[Reading]
    sequence: int | None = None


@dataclass(slots=True)
class Outbox:
    """Readings and events on their way to `read`, in order.

    Attributes:
        source: id of the source, for its events.
        now: the clock, µs UTC.
        confirm: called with the sequence numbers of messages whose readings are durable.
        hear_every: shortest time between two batches marked alive, in seconds.
        held: readings that wait here.
    """

    source: str
    now: Callable[[], int]
    confirm: Callable[[Sequence[int]], None]
    hear_every: float
    held: int = 0
    chunks: deque[Chunk] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    alive: bool = False
    heard_at: float = -math.inf

    def put(self, readings: Sequence[Reading], sequence: int | None = None) -> None:
        """Append readings."""
        self.chunks.append(Chunk(readings, sequence))
        self.held += len(readings)

    def tell(self, kind: str, text: str, **attributes: Value) -> None:
        """Append an event of the source itself."""
        self.events.append(source_event(self.source, self.now(), kind, text, **attributes))

    def heard(self) -> None:
        """Note that the server spoke: tags without a reading are unchanged."""
        now = time.monotonic()
        if now - self.heard_at >= self.hear_every:
            self.alive, self.heard_at = True, now

    def __bool__(self) -> bool:
        return bool(self.chunks or self.events or self.alive)

    def take(self) -> ReadBatch:
        """Return what is there, up to `BATCH_READINGS` and the rest of a chunk."""
        taken: list[Chunk] = []
        readings: list[Reading] = []
        while self.chunks and len(readings) < BATCH_READINGS:
            chunk = self.chunks.popleft()
            taken.append(chunk)
            readings.extend(chunk.readings)
        self.held -= len(readings)
        events, self.events = self.events, []
        alive, self.alive = self.alive, False

        async def ack() -> None:
            self.confirm([chunk.sequence for chunk in taken if chunk.sequence is not None])

        async def nack(_why: str) -> None:
            self.chunks.extendleft(reversed(taken))
            self.held += len(readings)
            self.events[:0] = events

        return ReadBatch(readings, events, alive, ack, nack)
