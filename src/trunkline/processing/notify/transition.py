"""What the router needs to know of a transition of an alarm: the one place that reads the life cycle from an alarm's attributes."""

from typing import Literal

import msgspec

from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.reading import Value

#: What a transition means for those who are told: it stands and nobody has said so; somebody has; it went; it is to be kept quiet.
Standing = Literal["active", "acknowledged", "cleared", "suppressed"]


class Transition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A transition of an alarm.

    Attributes:
        id: of the transition.
        occurrence: of the alarm, from its raise to its end.
        standing: what it means for those who are told.
        live: False for history, which is never announced.
        time: when it happened, µs UTC.
        path: the tag's path, or the asset's when the alarm has no tag.
        who: who acknowledged or shelved, where somebody did.
        reason: why, where they said.
        until: µs UTC at which shelving ends; None otherwise.
    """

    id: str
    occurrence: str
    standing: Standing
    live: bool
    time: int
    severity: AlarmSeverity
    asset: str
    tag: str
    type: str
    text: str = ""
    value: Value = None
    threshold: float | None = None
    unit: str = ""
    who: str = ""
    reason: str = ""
    until: int | None = None

    @property
    def path(self) -> str:
        """The tag's path; the asset's when the alarm has no tag."""
        return f"{self.asset}.{self.tag}" if self.asset and self.tag else self.asset or self.tag


_STATES: dict[str, Standing] = {
    "ACTIVE": "active",
    "ACKNOWLEDGED": "acknowledged",
    "CLEARED": "cleared",
    "SUPPRESSED": "suppressed",
}


def transition_of(alarm: Alarm) -> Transition | None:
    """Return what an alarm record says of its life cycle; None when it says nothing.

    A device's own alarm has none when it arrives: the alarm step gives it one, and writes that to the same topic. It is told from there.
    """
    given = alarm.attributes
    standing = _STATES.get(str(given.get("gateway_state")))
    if "rule" not in given or standing is None:
        return None
    until = given.get("shelved_until")
    return Transition(
        id=alarm.id,
        occurrence=alarm.correlation_id,
        standing=standing,
        live=given.get("live") is not False,
        time=alarm.time,
        severity=alarm.severity,
        asset=alarm.asset,
        tag=alarm.tag,
        type=alarm.type,
        text=alarm.text,
        value=alarm.value,
        threshold=alarm.threshold,
        unit=alarm.unit,
        who=alarm.actor or str(given.get("acked_by") or ""),
        reason=str(given.get("reason") or ""),
        until=until if isinstance(until, int) and until > 0 else None,
    )
