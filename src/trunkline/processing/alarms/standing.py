"""What stands now: alarms that are not at rest, for lists and pages; worst first."""

import hashlib
from collections.abc import Iterable

import msgspec

from trunkline.model.alarms import GATEWAY_STATES, GatewayState, State
from trunkline.model.reading import Value
from trunkline.processing.alarms.life import Life, Subject

#: What wants an operator first.
_ORDER = {
    State.UNACKNOWLEDGED: 0,
    State.LATCHED_UNACKNOWLEDGED: 0,
    State.RETURNED_UNACKNOWLEDGED: 1,
    State.ACKNOWLEDGED: 2,
    State.LATCHED_ACKNOWLEDGED: 2,
}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is not at rest. Times are µs UTC; 0 where there is none.

    Attributes:
        key: what actions name.
        alarm_id: the occurrence; empty for an alarm that is silenced without one.
        rule: id of the definition, or 'device'.
        type, asset, tag, source, unit, threshold: as in `Alarm`.
        severity: LOW to CRITICAL; INFO for what makes events.
        state: of the standard.
        gateway_state: one of the four names of W-135 to W-138.
        condition: whether the condition is on.
        count: times that it came in this occurrence.
        value: what raised it.
    """

    key: str
    alarm_id: str
    rule: str
    type: str
    asset: str
    tag: str
    source: str
    severity: str
    state: State
    gateway_state: GatewayState
    condition: bool
    raised_at: int
    acked_at: int
    acked_by: str
    cleared_at: int
    shelved_until: int
    suppressed_until: int
    count: int
    value: Value
    threshold: float | None
    unit: str

    @property
    def code(self) -> str:
        """A few letters that stand for the key on a command line."""
        return hashlib.blake2b(self.key.encode(), digest_size=3).hexdigest()


def standing(subject: Subject, life: Life) -> Standing:
    """Return how an alarm stands."""
    return Standing(
        key=subject.key,
        alarm_id=life.occurrence,
        rule=subject.rule,
        type=subject.type,
        asset=subject.asset,
        tag=subject.tag,
        source=subject.source,
        severity="INFO" if subject.severity is None else subject.severity.name,
        state=life.state,
        gateway_state=GATEWAY_STATES[life.state],
        condition=life.condition,
        raised_at=life.raised_at,
        acked_at=life.acked_at,
        acked_by=life.acked_by,
        cleared_at=life.cleared_at,
        shelved_until=life.shelved_until,
        suppressed_until=life.suppressed_until,
        count=life.count,
        value=life.value,
        threshold=subject.threshold,
        unit=subject.unit,
    )


def in_order(alarms: Iterable[Standing]) -> list[Standing]:
    """Return alarms in the order in which they want attention: unacknowledged, then by severity, then the newest."""
    severities = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO")
    return sorted(alarms, key=lambda one: (_ORDER.get(one.state, 3), severities.index(one.severity), -one.raised_at, one.key))
