"""The life of one alarm: triggers go in, transitions come out, everything that must outlive a restart is in `Life`."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from trunkline.model import times
from trunkline.model.alarms import SYSTEM, Lifecycle, State, Trigger
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import content_uuid
from trunkline.model.reading import Value
from trunkline.processing.alarms.machine import Facts, Row, follow

_WORDS: Final = {
    Trigger.CONDITION_ON: "is raised",
    Trigger.CONDITION_OFF: "has returned to normal",
    Trigger.ACKNOWLEDGE: "is acknowledged",
    Trigger.RESET: "is reset",
    Trigger.SHELVE: "is shelved",
    Trigger.UNSHELVE: "is unshelved",
    Trigger.SHELF_EXPIRED: "is no longer shelved: the time is over",
    Trigger.SUPPRESS: "is suppressed",
    Trigger.UNSUPPRESS: "is no longer suppressed",
    Trigger.OUT_OF_SERVICE: "is out of service",
    Trigger.RETURN_TO_SERVICE: "is back in service",
}
_ENDS_SHELF: Final = frozenset({Trigger.UNSHELVE, Trigger.SHELF_EXPIRED})


@dataclass(frozen=True, slots=True)
class Subject:
    """What does not change in an alarm's life.

    Attributes:
        key: identity of the alarm.
        rule: id of the definition, or 'device'.
        type, asset, tag, source, unit, threshold: as in `Alarm`.
        severity: None makes events instead of alarms (INFO).
        latching, ack_required, alarm_class: of the definition.
        max_shelve: longest time that it may be silenced at once, µs.
    """

    key: str
    rule: str
    type: str
    asset: str
    tag: str
    severity: AlarmSeverity | None
    source: str = ""
    unit: str = ""
    threshold: float | None = None
    latching: bool = False
    ack_required: bool = True
    alarm_class: str = ""
    max_shelve: int = 8 * times.HOUR


class Life(msgspec.Struct, array_like=True):
    """Where an alarm stands in its life.

    Attributes:
        state: of the standard.
        condition: whether the condition is on.
        occurrence: id from the first raise to the end; empty outside one.
        number: transitions since the occurrence began, or since the rest before it.
        raised_at, acked_at, cleared_at, acked_by, count: as in `Lifecycle`.
        value: what raised it.
        shelved_until, suppressed_until: end of what people silenced, µs; 0 when they did not.
        by_design: the plant's state suppresses it.
        out_of_service: it is under maintenance.
    """

    state: State = State.NORMAL
    condition: bool = False
    occurrence: str = ""
    number: int = 0
    raised_at: int = 0
    acked_at: int = 0
    cleared_at: int = 0
    acked_by: str = ""
    count: int = 0
    value: Value = None
    shelved_until: int = 0
    suppressed_until: int = 0
    by_design: bool = False
    out_of_service: bool = False

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing to remember."""
        return self.state is State.NORMAL and not self.condition

    def silenced(self) -> frozenset[State]:
        """Return every silencing state that holds; `state` is the strongest of them."""
        held = ((State.SHELVED, self.shelved_until), (State.SUPPRESSED_BY_DESIGN, self.suppressed_until or self.by_design))
        found = {state for state, holds in held if holds}
        return frozenset(found | {State.OUT_OF_SERVICE} if self.out_of_service else found)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to an alarm, when, and by whom.

    Attributes:
        trigger: what.
        time: when it happened, µs UTC.
        value: of the reading, for conditions.
        actor, reason: of the person.
        until: end of shelving or of suppression by hand, µs UTC.
        by_design: for (un)suppressing: the plant's state does it, not a person.
        live: False for history.
    """

    trigger: Trigger
    time: int
    value: Value = None
    actor: str = ""
    reason: str = ""
    until: int = 0
    by_design: bool = False
    live: bool = True


def advance(subject: Subject, life: Life, cause: Cause, now: int) -> Event | None:
    """Take one trigger and return the transition; None, with nothing changed, where the table has no arrow."""
    before = _silencing(life)
    _silence(life, cause)
    condition = cause.trigger is Trigger.CONDITION_ON or (life.condition and cause.trigger is not Trigger.CONDITION_OFF)
    facts = Facts(
        condition=condition,
        latching=subject.latching,
        ack_required=subject.ack_required,
        latched=subject.latching and bool(life.occurrence),
        silenced=life.silenced(),
    )
    row = follow(life.state, cause.trigger, facts)
    if row is None:
        life.shelved_until, life.suppressed_until, life.by_design, life.out_of_service = before
        return None
    previous, life.state, life.condition = life.state, row.target, condition
    _note(subject, life, cause, row)
    event = record(subject, life, cause, previous, cause.trigger.value, now)
    gone_unheard = cause.trigger is Trigger.CONDITION_OFF and bool(facts.silenced) and not facts.latched
    if life.state is State.NORMAL or gone_unheard:
        _rest(life)
    return event


def _silencing(life: Life) -> tuple[int, int, bool, bool]:
    return life.shelved_until, life.suppressed_until, life.by_design, life.out_of_service


def _silence(life: Life, cause: Cause) -> None:
    """Put up or take away what silences the alarm."""
    match cause.trigger:
        case Trigger.SHELVE:
            life.shelved_until = cause.until
        case Trigger.UNSHELVE | Trigger.SHELF_EXPIRED:
            life.shelved_until = 0
        case Trigger.SUPPRESS | Trigger.UNSUPPRESS if cause.by_design:
            life.by_design = cause.trigger is Trigger.SUPPRESS
        case Trigger.SUPPRESS | Trigger.UNSUPPRESS:
            life.suppressed_until = cause.until
        case Trigger.OUT_OF_SERVICE | Trigger.RETURN_TO_SERVICE:
            life.out_of_service = cause.trigger is Trigger.OUT_OF_SERVICE
        case _:
            pass


def _note(subject: Subject, life: Life, cause: Cause, row: Row) -> None:
    """Write down times and people."""
    if cause.trigger is Trigger.CONDITION_ON:
        if not life.occurrence:
            life.occurrence = _identity(cause.time, subject.key, "occurrence", live=cause.live)
            life.raised_at, life.number = cause.time, 0
        life.count += 1
        life.value, life.cleared_at = cause.value, 0
    elif cause.trigger is Trigger.CONDITION_OFF:
        life.cleared_at = cause.time
    elif cause.trigger is Trigger.ACKNOWLEDGE:
        life.acked_at, life.acked_by = cause.time, cause.actor
    if row.target is State.UNACKNOWLEDGED:
        life.acked_at, life.acked_by = 0, ""
    elif row.target is State.ACKNOWLEDGED and not subject.ack_required:
        life.acked_at, life.acked_by = cause.time, SYSTEM
    life.number += 1


def _rest(life: Life) -> None:
    """Forget the occurrence; what silences the alarm stays."""
    life.occurrence, life.raised_at, life.acked_at, life.cleared_at, life.acked_by = "", 0, 0, 0, ""
    life.count, life.value, life.number = 0, None, 0


def _identity(time: int, key: str, what: str, *, live: bool) -> str:
    """Return the id that the same thing has whenever it is worked out again."""
    digest = hashlib.blake2b(f"{key}|{what}|{time}|{'live' if live else 'history'}".encode(), digest_size=10).digest()
    return str(content_uuid(time, digest))


def record(subject: Subject, life: Life, cause: Cause, previous: State, transition: str, now: int) -> Event:
    """Return the record of a transition or comment."""
    lifecycle = Lifecycle(
        rule=subject.rule,
        key=subject.key,
        state=life.state,
        previous_state=previous,
        transition=transition,
        live=cause.live,
        raised_at=life.raised_at,
        acked_at=life.acked_at,
        cleared_at=life.cleared_at,
        shelved_until=life.shelved_until,
        acked_by=life.acked_by,
        reason=cause.reason,
        count=life.count,
        alarm_class=subject.alarm_class,
    )
    what = f"{life.occurrence}|{life.number}|{transition}|{cause.actor}|{cause.reason}"
    common: dict[str, Any] = {
        "id": _identity(cause.time, subject.key, what, live=cause.live),
        "type": subject.type,
        "time": cause.time,
        "gateway_time": now,
        "source": subject.source,
        "asset": subject.asset,
        "tag": subject.tag,
        "text": _text(subject, life, cause, transition),
        "before": previous.value,
        "after": life.state.value,
        "actor": cause.actor,
        "attributes": lifecycle.attributes(),
        "correlation_id": life.occurrence,
    }
    if subject.severity is None:
        return Event(**common)
    value = cause.value if cause.value is not None else life.value
    return Alarm(**common, severity=subject.severity, active=life.condition, value=value, threshold=subject.threshold, unit=subject.unit)


def _text(subject: Subject, life: Life, cause: Cause, transition: str) -> str:
    """Return a sentence such as 'HIGH_FLOW of P.A.U.FLOW is raised: 97.2 m³/h, limit 95 m³/h'."""
    place = ".".join(part for part in (subject.asset, subject.tag) if part)
    words = _WORDS[Trigger(transition)] if transition in Trigger.__members__ else "has a comment"
    text = f"{subject.type} of {place or subject.key} {words}"
    value = cause.value if cause.trigger in {Trigger.CONDITION_ON, Trigger.CONDITION_OFF} else None
    if value is not None:
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        text += f": {shown} {subject.unit}".rstrip()
        if subject.threshold is not None:
            text += f", limit {subject.threshold:.6g} {subject.unit}".rstrip()
    if life.shelved_until and transition == Trigger.SHELVE:
        text += f" until {times.to_iso(life.shelved_until)}"
    return f"{text} ({cause.reason})" if cause.reason else text
