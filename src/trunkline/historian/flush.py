"""What the writer stores in one transaction, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from trunkline.historian.segments import BOOL, LATEST
from trunkline.ledger.status import GatewayStatus
from trunkline.log.codec.columns import Columns
from trunkline.log.codec.event_ids import IDS
from trunkline.log.codec.head import BlockHead
from trunkline.log.codec.writer import ledger_hour
from trunkline.log.port import Positions, TopicPartition
from trunkline.model import times
from trunkline.model.errors import Rejected
from trunkline.model.events import Event
from trunkline.model.reading import Category, Kind


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One record of a topic of events or alarms.

    Attributes:
        event: the event; None when validation refused it and only its counts travel on.
        head: identity and counts given by the edge journal; None for events of the platform itself, which no gateway read: the ledger
            leaves them out.
        place: the partition it was read from.
        category: EVENT or ALARM, by the topic.
    """

    event: Event | None
    head: BlockHead | None
    place: TopicPartition
    category: Category

    @property
    def feed(self) -> tuple[str, str]:
        """Origin and source that it counts under."""
        if self.head is not None:
            return self.head.origin, self.head.tallies[0].source if self.head.tallies else ""
        return ("", "") if self.event is None else (self.event.origin, self.event.source)

    @property
    def hour(self) -> int:
        """Ledger hour; -1 when the ledger does not count it."""
        if self.head is None:
            return -1
        if self.event is not None:
            return ledger_hour(self.event.time, self.event.gateway_time)
        return self.head.tallies[0].hour if self.head.tallies else -1


class GivenUp(NamedTuple):
    """Journal positions lo <= p < hi that a gateway gave up on record; `place` is where they would have been read."""

    origin: str
    place: TopicPartition
    lo: int
    hi: int


@dataclass(slots=True)
class Flush:
    """Records of the log that are stored together, and the positions after them.

    Attributes:
        columns: readings of the blocks, in log order.
        places: per block (`columns.heads`), the partition it was read from.
        positions: next offsets, stored in the same transaction.
        events: events and alarms, in log order.
        statuses: reports of gateways, in log order.
        given_up: notices of lost ranges.
        refused: readings, by position, that were found impossible to store and are in a dead-letter topic now: they count as rejected.
        refused_events: the same for events.
        ids: event id of each reading, zeros where it came without; None when all did.
    """

    columns: Columns
    places: list[TopicPartition]
    positions: Positions
    events: list[EventRecord] = field(default_factory=list)
    statuses: list[GatewayStatus] = field(default_factory=list)
    given_up: list[GivenUp] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    refused_events: set[int] = field(default_factory=set)
    ids: IDS | None = None

    def refuse(self, refusal: "Refusal") -> None:
        """Count these as rejected when the flush is written again."""
        self.refused.update(refusal.readings)
        self.refused_events.update(refusal.events)

    def refused_mask(self) -> BOOL:
        """Return True for refused readings."""
        mask = np.zeros(len(self.columns), np.bool_)
        mask[list(self.refused)] = True
        return mask


class Refusal(Rejected):
    """Some readings or events can never be stored. Nothing of the flush was stored.

    The caller puts them into dead-letter topics, tells the flush (`Flush.refuse`) and writes it again.

    Attributes:
        readings: reason by position in `Flush.columns`.
        events: reason by position in `Flush.events`.
    """

    def __init__(self, readings: Mapping[int, str], events: Mapping[int, str]) -> None:
        reasons = [*readings.values(), *events.values()]
        super().__init__(f"{len(reasons)} records cannot be stored, the first because: {reasons[0]}", sorted(readings))
        self.readings = dict(readings)
        self.events = dict(events)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a flush did.

    Attributes:
        stored: readings stored.
        repeats: readings and events left out because they were stored before.
        rejected: readings and events counted as rejected here.
        events: events and alarms stored.
    """

    stored: int = 0
    repeats: int = 0
    rejected: int = 0
    events: int = 0


def faults_of(columns: Columns, candidates: BOOL, kinds: list[Kind]) -> dict[int, str]:
    """Return readings that PostgreSQL could never store, with the reason.

    Args:
        columns: the readings.
        candidates: readings to look at.
        kinds: per tag, the kind its series has had from the start.
    """
    faults: dict[int, str] = {}
    outside = candidates & ((columns.time < times.EARLIEST) | (columns.time >= LATEST))
    for place in np.flatnonzero(outside).tolist():
        faults[place] = f"time {int(columns.time[place])} is outside the years 2000 to 2200"
    for tag, (now, first) in enumerate(zip(columns.kinds.tolist(), kinds, strict=True)):
        if now != first:
            reason = f"{columns.tags[tag]} has {first.name.lower()} values since it was first stored; a tag keeps its kind for life"
            faults.update(dict.fromkeys(np.flatnonzero(candidates & (columns.tag == tag)).tolist(), reason))
    for place, text in columns.text.items():
        if "\0" in text and candidates[place]:
            faults[place] = "the text contains a NUL character"
    return faults
