"""What a reader hands to the source: readings and events in order, with a way to confirm them or to take them back."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Reading, Value
from trunkline.sources.opcua.eventbook import Entry, EventBook
from trunkline.sources.port import ReadBatch

#: Readings and events that one batch holds before it is handed over without looking for more.
BATCH_READINGS = 20_000


@dataclass(slots=True)
class Counters:
    """What happened since the source was made.

    Attributes:
        notifications: values received from subscriptions.
        messages_lost: notification messages that the server could not send again.
        queue_overflows: values that the server marked as 'older ones were dropped before me'.
        nodes_refused: variables that the server did not accept at the last attempt.
        events: events of the server that the site file asks for.
        events_known: those of them that were taken before: repeats of a refresh, or by another notifier.
        event_overflows: times the server said that its queue of events was too short.
        refreshes: times the server was asked which conditions are of interest, and agreed to say.
        notifiers_refused: notifiers that could not be monitored at the last attempt.
    """

    notifications: int = 0
    messages_lost: int = 0
    queue_overflows: int = 0
    nodes_refused: int = 0
    events: int = 0
    events_known: int = 0
    event_overflows: int = 0
    refreshes: int = 0
    notifiers_refused: int = 0


def source_event(source: str, now: int, kind: str, text: str, **attributes: Value) -> Event:
    """Return an event that a source has to tell."""
    return Event(id=str(uuid7()), type=kind, time=now, gateway_time=now, source=source, text=text, attributes=attributes)


class Chunk(NamedTuple):
    """What is confirmed together; `sequence` is the notification message it came in, None if in none."""

    readings: Sequence[Reading]
    sequence: int | None = None
    entries: Sequence[Entry] = ()

    @property
    def size(self) -> int:
        """Readings and events."""
        return len(self.readings) + len(self.entries)


@dataclass(slots=True)
class Outbox:
    """Readings and events on their way to `read`, in order.

    Attributes:
        source: id of the source, for its events.
        now: the clock, µs UTC.
        confirm: called with the sequence numbers of messages that are durable.
        hear_every: shortest time between two batches marked alive, in seconds.
        book: what is known of the server's events.
        held: readings and events of the server that wait here.
    """

    source: str
    now: Callable[[], int]
    confirm: Callable[[Sequence[int]], None]
    hear_every: float
    book: EventBook
    held: int = 0
    chunks: deque[Chunk] = field(default_factory=deque)
    events: list[Event] = field(default_factory=list)
    alive: bool = False
    heard_at: float = -math.inf

    def put(self, readings: Sequence[Reading], sequence: int | None = None, entries: Sequence[Entry] = ()) -> None:
        """Append readings, and events that are in the book already."""
        chunk = Chunk(readings, sequence, entries)
        self.chunks.append(chunk)
        self.held += chunk.size

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
        size = 0
        while self.chunks and size < BATCH_READINGS:
            taken.append(self.chunks.popleft())
            size += taken[-1].size
        self.held -= size
        readings = [reading for chunk in taken for reading in chunk.readings]
        entries = [entry for chunk in taken for entry in chunk.entries]
        told, self.events = self.events, []
        alive, self.alive = self.alive, False
        checkpoint = self.book.hand_over(entries)

        async def ack() -> None:
            self.book.durable(entries)
            self.confirm([chunk.sequence for chunk in taken if chunk.sequence is not None])

        async def nack(_why: str) -> None:
            self.chunks.extendleft(reversed(taken))
            self.held += size
            self.events[:0] = told
            if entries:
                self.book.go_back()

        return ReadBatch(readings, [*told, *(entry.event for entry in entries)], alive, ack, nack, checkpoint=checkpoint)
