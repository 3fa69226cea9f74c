"""From the fields of an OPC UA event to an event or alarm of ours (W-12, W-13).

What has an ActiveState (AlarmConditionType and below) is an alarm, everything else an event: only the former comes and goes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from asyncua import ua

from trunkline.model import times
from trunkline.model.events import Alarm, Event
from trunkline.model.identity import content_uuid
from trunkline.model.quality import Quality, from_opcua, worse
from trunkline.model.reading import Value
from trunkline.model.tags import TagPath
from trunkline.sources.opcua.addresses import NodeAddress, UnknownNamespace
from trunkline.sources.opcua.browsing import address_of
from trunkline.sources.opcua.config import NotifierConfig, OpcUaConfig
from trunkline.sources.opcua.eventtypes import EventTypes
from trunkline.sources.opcua.stack import node_id
from trunkline.sources.opcua.values import source_time

#: States of an alarm as the platform shows them (D-37); the marks they are made of are kept apart as attributes.
ACTIVE, ACKNOWLEDGED, SUPPRESSED, CLEARED = "ACTIVE", "ACKNOWLEDGED", "SUPPRESSED", "CLEARED"

_MAX_TEXT = 4_000

Facts = Mapping[str, object]


class Heard(NamedTuple):
    """An event with what its filter and its condition's memory need.

    Attributes:
        event: an `Alarm` for what has an ActiveState.
        condition: identity of the condition and its branch; empty for an event that is of no condition.
        retain: whether the condition is of interest still (Part 9, 5.5.2).
        severity: as the server gave it, 1 to 1000.
        state: of the alarm; empty for what is none.
    """

    event: Event
    condition: str
    retain: bool
    severity: int
    state: str


class EventMapper:
    """Maps the events of one session."""

    def __init__(self, config: OpcUaConfig, gateway: str, server: str, namespaces: Sequence[str], types: EventTypes) -> None:
        """Take what the mapping needs.

        Args:
            config: of the source.
            gateway: id of the gateway.
            server: what the server calls itself, its ServerUri.
            namespaces: its namespace table.
            types: its event types.
        """
        self._config = config
        self._owner = f"{gateway}\0{config.id}\0{server}"
        self._namespaces = namespaces
        self._types = types
        self._tags: dict[ua.NodeId, TagPath] = {}
        for tag in config.tags:
            if (node := self._resolved(tag.node)) is not None:
                self._tags.setdefault(node, TagPath.parse(tag.path))
        self._assets: dict[tuple[str, ua.NodeId | str], str] = {}
        for notifier in config.events:
            for one in notifier.assets:
                source = self._resolved(one.node) if one.node else one.name
                if source is not None:
                    self._assets.setdefault((notifier.notifier, source), one.asset)

    def heard(self, notifier: NotifierConfig, facts: Facts, now: int) -> Heard:
        """Map one event; whatever the server left out or gave in a wrong type is taken as not given.

        Args:
            notifier: which it came from.
            facts: values by the name of their field.
            now: when it arrived, µs UTC.
        """
        condition = self._node(facts, "ConditionId")
        active = _flag(facts, "ActiveState/Id")
        severity = _severity(facts)
        enabled = _flag(facts, "EnabledState/Id")
        told = _when(facts, "Time")
        fields = self._fields(notifier, facts, told, now)
        if active is None or not condition:
            event, state = Event(**fields), ""
        else:
            active = active and enabled is not False
            state = _state(active, _flag(facts, "AckedState/Id"), _flag(facts, "SuppressedOrShelved"))
            event = Alarm(**fields, severity=self._config.severities.severity(severity), active=active, after=state)
        key = f"{condition}|{self._node(facts, 'BranchId')}" if condition else ""
        return Heard(event, key, bool(_flag(facts, "Retain")), severity, state)

    def identity(self, time: int, *parts: bytes) -> str:
        """Return a UUID made of a time and of what tells the event from every other of this source.

        Gateway and source are part of it: what two sources hear of one server are two reports, each with its own times and asset.
        """
        return str(content_uuid(time, hashlib.sha256(self._owner.encode() + b"".join(b"\0" + part for part in parts)).digest()))

    def _fields(self, notifier: NotifierConfig, facts: Facts, told: int | None, now: int) -> dict[str, Any]:
        event_id = facts.get("EventId")
        if not isinstance(event_id, bytes) or not event_id:
            event_id = repr(sorted((name, str(value)) for name, value in facts.items())).encode()
        name = self._types.name(node_of(facts, "EventType"))
        quality, time = _time(told, now)
        status = facts.get("Quality")
        if isinstance(status, ua.StatusCode):
            quality = worse(quality, from_opcua(status.value))
        asset, tag = self._place(notifier, facts)
        return {
            "id": self.identity(told or 0, event_id),
            "type": name,
            "time": time,
            "gateway_time": now,
            "asset": asset,
            "tag": tag,
            "source": self._config.id,
            "text": _text(facts, "Message") or _text(facts, "ConditionName") or name,
            "quality": quality,
            "attributes": self._attributes(facts, event_id),
        }

    def _attributes(self, facts: Facts, event_id: bytes) -> dict[str, Value]:
        status = facts.get("Quality")
        received = _when(facts, "ReceiveTime")
        told = _when(facts, "Time")
        found: dict[str, Value] = {
            "event_id": event_id.hex() if isinstance(facts.get("EventId"), bytes) else None,
            "event_type": self._node(facts, "EventType"),
            "source_node": self._node(facts, "SourceNode"),
            "source_name": _text(facts, "SourceName"),
            "device_time": None if told is None else times.to_iso(told),
            "receive_time": None if received is None else times.to_iso(received),
            "severity": _severity(facts),
            "condition_id": self._node(facts, "ConditionId"),
            "condition_name": _text(facts, "ConditionName"),
            "branch_id": self._node(facts, "BranchId"),
            "active": _flag(facts, "ActiveState/Id"),
            "active_text": _text(facts, "ActiveState/EffectiveDisplayName"),
            "acked": _flag(facts, "AckedState/Id"),
            "confirmed": _flag(facts, "ConfirmedState/Id"),
            "suppressed_or_shelved": _flag(facts, "SuppressedOrShelved"),
            "enabled": _flag(facts, "EnabledState/Id"),
            "retain": _flag(facts, "Retain"),
            "quality": str(status.name) if isinstance(status, ua.StatusCode) else None,
            "comment": _text(facts, "Comment"),
            "client_user_id": _text(facts, "ClientUserId"),
            "input_node": self._node(facts, "InputNode"),
        }
        return {name: value for name, value in found.items() if value is not None and value != ""}

    def _place(self, notifier: NotifierConfig, facts: Facts) -> tuple[str, str]:
        """Return asset and tag: of a tag that reads the very variable, else as the section says."""
        for name in ("InputNode", "SourceNode"):
            node = node_of(facts, name)
            if node is not None and (path := self._tags.get(node)) is not None:
                return path.asset, path.tag
        for source in (node_of(facts, "SourceNode"), _text(facts, "SourceName")):
            if source is not None and (asset := self._assets.get((notifier.notifier, source))) is not None:
                return asset, ""
        return notifier.asset or "", ""

    def _node(self, facts: Facts, name: str) -> str:
        node = node_of(facts, name)
        return "" if node is None else str(address_of(node, self._namespaces))

    def _resolved(self, text: str) -> ua.NodeId | None:
        address = NodeAddress.parse(text)
        try:
            return node_id(address.identifier, address.index(self._namespaces))
        except UnknownNamespace:
            return None


def node_of(facts: Facts, name: str) -> ua.NodeId | None:
    """Return a NodeId, None where there is none."""
    value = facts.get(name)
    return value if isinstance(value, ua.NodeId) and not value.is_null() else None


def _time(told: int | None, now: int) -> tuple[int, int]:
    """Return quality and time of an event: a stamp that cannot be right must not keep an alarm from being taken (W-110)."""
    if told is None:
        return Quality.UNCERTAIN_NO_SOURCE_TIME, now
    if not times.EARLIEST <= told <= now + times.DAY:
        return Quality.UNCERTAIN_CLOCK_SKEW, now
    return Quality.GOOD, told


def _state(active: bool, acked: bool | None, suppressed: bool | None) -> str:
    if not active:
        return CLEARED
    if suppressed:
        return SUPPRESSED
    return ACKNOWLEDGED if acked else ACTIVE


def _when(facts: Facts, name: str) -> int | None:
    value = facts.get(name)
    return source_time(value) if isinstance(value, datetime) else None


def _flag(facts: Facts, name: str) -> bool | None:
    value = facts.get(name)
    return value if isinstance(value, bool) else None


def _severity(facts: Facts) -> int:
    value = facts.get("Severity")
    return min(max(value, 0), 1000) if isinstance(value, int) else 0


def _text(facts: Facts, name: str) -> str:
    """Return a text; NUL characters, with which some controllers fill up theirs, are left out."""
    value = facts.get(name)
    if isinstance(value, ua.LocalizedText):
        value = value.Text
    return value.replace("\0", "").strip()[:_MAX_TEXT] if isinstance(value, str) else ""
