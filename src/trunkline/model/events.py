"""Envelopes of events and alarms: single records with an identity of their own (P-8, P-9, PD-25)."""

from enum import IntEnum

import msgspec

from trunkline.model.reading import Value


class AlarmSeverity(IntEnum):
    """P-16; the letters and shapes of the screens follow it."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A discrete change of state, or something the platform itself has to tell.

    Attributes:
        id: UUIDv7 as text; identity for de-duplication everywhere.
        origin: edge journal that first stored it; empty until then.
        source: source id within the gateway; empty for the platform's own events.
        asset: asset path without the tag; may be empty.
        tag: tag name the event speaks of; may be empty.
        type: SCREAMING_SNAKE, for example UNIT_START, MODE_CHANGE, SOURCE_DOWN, BUFFER_OVERFLOW.
        time: when it happened, µs UTC (source time where the device gave one).
        gateway_time: when the gateway learnt of it, µs UTC.
        text: a sentence for people.
        before, after: for changes of state.
        actor: who did it, where somebody did.
        attributes: further facts.
        correlation_id, trace_id: headers of P-17.
    """

    id: str
    type: str
    time: int
    gateway_time: int
    asset: str = ""
    tag: str = ""
    origin: str = ""
    source: str = ""
    text: str = ""
    before: Value = None
    after: Value = None
    actor: str = ""
    quality: int = 0
    attributes: dict[str, Value] = {}
    correlation_id: str = ""
    trace_id: str = ""


class Alarm(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event with a severity (P-19); its life cycle is kept by the alarm step.

    Attributes:
        severity: LOW to CRITICAL.
        active: True when the condition came, False when it went.
        value: the value that raised it; None for conditions without one.
        threshold: the limit crossed; None for conditions without one.
        unit: engineering unit of both.
    """

    severity: AlarmSeverity
    active: bool = True
    value: Value = None
    threshold: float | None = None
    unit: str = ""
