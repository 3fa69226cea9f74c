"""What becomes of each event that arrives: taken, known already, left out, or a word about the events themselves."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from asyncua import ua

from trunkline.model.events import Alarm, Event
from trunkline.model.quality import Quality
from trunkline.model.times import SECOND
from trunkline.sources.opcua.config import NotifierConfig, OpcUaConfig
from trunkline.sources.opcua.delivery import Counters
from trunkline.sources.opcua.eventbook import Entry, EventBook, Held
from trunkline.sources.opcua.eventfilter import QUEUE_OVERFLOW, REFRESH_END, REFRESH_REQUIRED, REFRESH_START, Field
from trunkline.sources.opcua.eventmapping import CLEARED, EventMapper, Heard, node_of

#: An overflow that goes on is told once in this time, µs.
OVERFLOW_EVENT_EVERY = 60 * SECOND

#: Attributes that tell which condition it was when it is said to have ended.
_TELLING = ("source_node", "source_name", "condition_id", "condition_name", "branch_id")


@dataclass(slots=True, eq=False)
class Place:
    """A notifier in one session.

    Attributes:
        config: as the site file has it.
        where: its place in the site file, for errors.
        handle: client handle of its monitored item.
        types: the event types to take, with their subtypes; empty: all.
        fields: what the server was asked to send of each event, in order.
        monitored: whether the server took its monitored item.
        confirmed: conditions seen since a refresh began; None outside of one.
        overflows, told: overflows since they were told last, and when that was.
    """

    config: NotifierConfig
    where: str
    handle: int
    types: frozenset[ua.NodeId] = frozenset()
    fields: Sequence[Field] = ()
    monitored: bool = False
    confirmed: set[str] | None = None
    overflows: int = 0
    told: int = -OVERFLOW_EVENT_EVERY


@dataclass(slots=True)
class Intake:
    """Takes the events of one session.

    Attributes:
        config, counters, book: of the source.
        tell: takes an event of the source itself: type, text, attributes.
        refresh_due: set when the conditions of interest may not be known.
        mapper: set as soon as the server's types are known.
    """

    config: OpcUaConfig
    counters: Counters
    book: EventBook
    tell: Callable[..., None]
    refresh_due: asyncio.Event = field(default_factory=asyncio.Event)
    mapper: EventMapper | None = None

    def take(self, place: Place, values: Sequence[ua.Variant], now: int) -> list[Entry]:
        """Return what an event that arrived leads to: nothing, itself, or what a finished refresh shows to have ended."""
        if self.mapper is None:
            return []
        facts = {one.name: value.Value for one, value in zip(place.fields, values, strict=False)}
        kind = node_of(facts, "EventType")
        if kind == REFRESH_START:
            place.confirmed = set()
        elif kind == REFRESH_END:
            return self._ended(self.mapper, place, now)
        elif kind == REFRESH_REQUIRED:
            self.refresh_due.set()
        elif kind == QUEUE_OVERFLOW:
            self._overflowed(place, now)
        elif not place.types or kind in place.types:
            return self._heard(place, self.mapper.heard(place.config, facts, now))
        return []

    def _heard(self, place: Place, heard: Heard) -> list[Entry]:
        event, held = heard.event, self.book.held.get(heard.condition)
        if heard.severity < place.config.severity_from and held is None:
            return []
        self.counters.events += 1
        if heard.condition and place.confirmed is not None:
            place.confirmed.add(heard.condition)
        if self.book.knows(event.id, heard.condition):
            self.counters.events_known += 1
            self.book.heard_again(heard.condition, place.config.notifier)
            return []
        if held is not None and place.confirmed is not None and event.time < held.time:
            return self._taken(Entry(event))  # a refresh may repeat an older state than one heard meanwhile (Part 9, 5.5.7)
        if isinstance(event, Alarm) and held is not None and held.state:
            event = msgspec.structs.replace(event, before=held.state)
        if heard.retain:
            return self._taken(Entry(event, heard.condition, _held(place, heard)))
        return self._taken(Entry(event, heard.condition if held is not None else ""))

    def _ended(self, mapper: EventMapper, place: Place, now: int) -> list[Entry]:
        """A condition that was of interest and is not in a complete refresh is so no longer: its end went by unheard."""
        confirmed, place.confirmed = place.confirmed, None
        if confirmed is None:
            return []
        gone = [
            (condition, held)
            for condition, held in self.book.held.items()
            if held.notifier == place.config.notifier and condition not in confirmed
        ]
        return self._taken(*(Entry(self._end_of(mapper, held, now), condition) for condition, held in gone))

    def _end_of(self, mapper: EventMapper, held: Held, now: int) -> Event:
        name = held.attributes.get("condition_name") or held.type
        fields: dict[str, Any] = {
            "id": mapper.identity(now, b"ended", held.id.encode()),
            "type": held.type,
            "time": now,
            "gateway_time": now,
            "asset": held.asset,
            "tag": held.tag,
            "source": self.config.id,
            "text": f"{name}: ended while the server could not be heard; when is not known",
            "quality": Quality.UNCERTAIN_NO_SOURCE_TIME,
            "attributes": {**held.attributes, "severity": held.severity, "retain": False},
        }
        if not held.state:
            return Event(**fields)
        severity = self.config.severities.severity(held.severity)
        return Alarm(**fields, severity=severity, active=False, before=held.state, after=CLEARED)

    def _taken(self, *entries: Entry) -> list[Entry]:
        for entry in entries:
            self.book.take(entry)
        return list(entries)

    def _overflowed(self, place: Place, now: int) -> None:
        self.counters.event_overflows += 1
        place.overflows += 1
        if now - place.told >= OVERFLOW_EVENT_EVERY:
            text = (
                f"{self.config.endpoint} dropped events of {place.config.notifier} because its queue was full: "
                f"raise 'queue_size' of {place.where}, or take fewer 'types'"
            )
            self.tell("EVENT_QUEUE_OVERFLOW", text, notifier=place.config.notifier, overflows=place.overflows)
            place.told, place.overflows = now, 0
        place.confirmed = None  # a refresh under way may be incomplete
        self.refresh_due.set()


def _held(place: Place, heard: Heard) -> Held:
    event = heard.event
    return Held(
        notifier=place.config.notifier,
        id=event.id,
        time=event.time,
        type=event.type,
        severity=heard.severity,
        state=heard.state,
        asset=event.asset,
        tag=event.tag,
        attributes={name: event.attributes[name] for name in _TELLING if name in event.attributes},
    )
