"""The life cycle of an alarm as ISA-18.2-2016 / IEC 62682:2014 name it, and how records carry it.

`Lifecycle` is the one typed way to and from the attributes of an `Alarm`; `Action` is what people do to an alarm.
"""

from enum import StrEnum
from typing import Final

import msgspec

from trunkline.model.events import Alarm, Event
from trunkline.model.reading import Value


class State(StrEnum):
    """States of the standard's figure; the letter in the comment is the standard's."""

    NORMAL = "NORMAL"  # A
    UNACKNOWLEDGED = "UNACKNOWLEDGED"  # B
    ACKNOWLEDGED = "ACKNOWLEDGED"  # C
    RETURNED_UNACKNOWLEDGED = "RETURNED_UNACKNOWLEDGED"  # D
    LATCHED_UNACKNOWLEDGED = "LATCHED_UNACKNOWLEDGED"  # E
    LATCHED_ACKNOWLEDGED = "LATCHED_ACKNOWLEDGED"  # F
    SHELVED = "SHELVED"  # G
    SUPPRESSED_BY_DESIGN = "SUPPRESSED_BY_DESIGN"  # H
    OUT_OF_SERVICE = "OUT_OF_SERVICE"  # I


class Trigger(StrEnum):
    """What can happen to an alarm."""

    CONDITION_ON = "CONDITION_ON"
    CONDITION_OFF = "CONDITION_OFF"
    ACKNOWLEDGE = "ACKNOWLEDGE"
    RESET = "RESET"
    SHELVE = "SHELVE"
    UNSHELVE = "UNSHELVE"
    SHELF_EXPIRED = "SHELF_EXPIRED"
    SUPPRESS = "SUPPRESS"
    UNSUPPRESS = "UNSUPPRESS"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    RETURN_TO_SERVICE = "RETURN_TO_SERVICE"


class GatewayState(StrEnum):
    """The four states of W-135 to W-138."""

    ACTIVE = "ACTIVE"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CLEARED = "CLEARED"
    SUPPRESSED = "SUPPRESSED"


#: D-37: condition, acknowledgement and suppression are held apart; these are the four names for them. A latched alarm still stands.
GATEWAY_STATES: Final[dict[State, GatewayState]] = {
    State.NORMAL: GatewayState.CLEARED,
    State.UNACKNOWLEDGED: GatewayState.ACTIVE,
    State.ACKNOWLEDGED: GatewayState.ACKNOWLEDGED,
    State.RETURNED_UNACKNOWLEDGED: GatewayState.CLEARED,
    State.LATCHED_UNACKNOWLEDGED: GatewayState.ACTIVE,
    State.LATCHED_ACKNOWLEDGED: GatewayState.ACKNOWLEDGED,
    State.SHELVED: GatewayState.SUPPRESSED,
    State.SUPPRESSED_BY_DESIGN: GatewayState.SUPPRESSED,
    State.OUT_OF_SERVICE: GatewayState.SUPPRESSED,
}

#: Who acknowledged where nobody had to.
SYSTEM: Final = "system"
#: `Lifecycle.transition` of a remark, which changes nothing.
COMMENT: Final = "COMMENT"


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """What an alarm's transition says of its life, kept in `Alarm.attributes`.

    Attributes:
        rule: id of the definition; 'device' for an alarm that a device reports itself.
        key: the alarm's key: definition and tag, or source, asset and type.
        state, previous_state: names of `State`.
        transition: what happened: a name of `Trigger`, or COMMENT.
        live: False for history, which is recorded and never announced (D-36).
        raised_at: when the occurrence began, µs UTC; 0 outside one.
        acked_at, cleared_at: when it was acknowledged and when the condition went; 0 until then, and again after it came back.
        shelved_until: end of shelving; 0 when not shelved.
        acked_by: who acknowledged; 'system' where nobody had to.
        reason: what the actor said.
        count: times the condition came in this occurrence.
        alarm_class: the definition's class; 'class' in the attributes.
        gateway_state: one of `GatewayState`.
    """

    rule: str
    key: str
    state: State
    previous_state: State
    transition: str
    live: bool = True
    raised_at: int = 0
    acked_at: int = 0
    cleared_at: int = 0
    shelved_until: int = 0
    acked_by: str = ""
    reason: str = ""
    count: int = 0
    alarm_class: str = msgspec.field(default="", name="class")

    @property
    def gateway_state(self) -> GatewayState:
        """The state in the gateway's four words."""
        return GATEWAY_STATES[self.state]

    def attributes(self) -> dict[str, Value]:
        """Return the attributes of a record."""
        found: dict[str, Value] = msgspec.to_builtins(self)
        found["gateway_state"] = self.gateway_state.value
        return found

    @classmethod
    def of(cls, event: Event) -> "Lifecycle | None":
        """Return the life cycle that a record carries; None when it carries none, such as a device's own alarm."""
        if "rule" not in event.attributes:
            return None
        try:
            return msgspec.convert(event.attributes, cls)
        except msgspec.ValidationError:
            return None


class GatewayAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm with the fields of W-64; times are µs UTC, None until they are known."""

    alarm_id: str
    asset_id: str
    type: str
    severity: str
    state: GatewayState
    raised_at: int
    acked_at: int | None
    acked_by: str | None
    cleared_at: int | None
    message: str
    value: Value
    threshold: float | None
    unit: str


def gateway_alarm(alarm: Alarm, life: Lifecycle) -> GatewayAlarm:
    """Return the view of W-64. Clearing implies acknowledgement there (W-137), by 'system' where no person did (D-37)."""
    implied = life.gateway_state is GatewayState.CLEARED and not life.acked_at
    acked_at = life.cleared_at if implied else life.acked_at
    return GatewayAlarm(
        alarm_id=alarm.correlation_id,
        asset_id=alarm.asset,
        type=alarm.type,
        severity=alarm.severity.name,
        state=life.gateway_state,
        raised_at=life.raised_at,
        acked_at=acked_at or None,
        acked_by=(SYSTEM if implied and acked_at else life.acked_by) or None,
        cleared_at=life.cleared_at or None,
        message=alarm.text,
        value=alarm.value,
        threshold=alarm.threshold,
        unit=alarm.unit,
    )


class ActionKind(StrEnum):
    """What people do to an alarm."""

    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    OUT_OF_SERVICE = "out-of-service"
    RETURN_TO_SERVICE = "return-to-service"
    COMMENT = "comment"


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants done to one alarm.

    Attributes:
        kind: what.
        key: the alarm's key.
        actor: who; required.
        reason: why, or the comment; required for comments and for everything that silences.
        occurrence: `correlation_id` that the person saw; empty does not ask.
        state: state that the person saw; None does not ask. An alarm that has moved on since refuses (stale).
        seconds: how long to shelve or suppress.
    """

    kind: ActionKind
    key: str
    actor: str
    reason: str = ""
    occurrence: str = ""
    state: State | None = None
    seconds: float = 0.0
