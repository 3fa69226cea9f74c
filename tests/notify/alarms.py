"""Alarm records as the alarm step writes them, and a device's own."""

from typing import Any

from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity

NOW = times.from_iso("2026-11-20T10:00:00Z")
_numbers = iter(range(1_000_000_000))


def transition(
    occurrence: str,
    gateway_state: str = "ACTIVE",
    at: float = 0.0,
    severity: str = "CRITICAL",
    tag: str = "PLANT01.AREA02.UNIT_05.FLOW_RATE",
    kind: str = "HIGH_FLOW",
    **attributes: Any,
) -> Alarm:
    """A transition `at` seconds after NOW, by a definition of the platform."""
    asset, _, name = tag.rpartition(".")
    return Alarm(
        id=f"t{next(_numbers)}",
        type=kind,
        time=NOW + round(at * times.SECOND),
        gateway_time=NOW + round(at * times.SECOND),
        asset=asset,
        tag=name,
        text="flow is too high",
        severity=AlarmSeverity[severity],
        active=gateway_state != "CLEARED",
        value=512.5,
        threshold=500.0,
        unit="m³/h",
        correlation_id=occurrence,
        attributes={"rule": "r", "live": True, "gateway_state": gateway_state, "shelved_until": 0, **attributes},
    )


def device_alarm(at: float) -> Alarm:
    """An alarm that a device raised by itself, as it arrives: no life cycle, no occurrence."""
    time = NOW + round(at * times.SECOND)
    return Alarm(
        id=f"t{next(_numbers)}",
        type="DOOR_OPEN",
        time=time,
        gateway_time=time,
        asset="PLANT01.AREA02",
        source="plc",
        severity=AlarmSeverity.HIGH,
    )
