"""Events and conditions of a test's server, sent over the wire like any device's.

The library's server keeps retained conditions and answers ConditionRefresh itself. It always makes a new EventId when asked to trigger
an event, so events are built here and handed to its subscriptions as they are.
"""

from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common import event_objects
from asyncua.common.events import Event as UaEvent
from asyncua.common.events import get_event_obj_from_type_node
from asyncua.ua.object_ids import ObjectIds

from trunkline.sources.opcua.stack import node_id
from trunkline.sources.opcua.tests.server import DeviceServer

WHEN = datetime(2026, 11, 21, 13, 0, 0, 123456, tzinfo=UTC)

_TYPES: dict[str, type[UaEvent]] = {
    "BaseEvent": event_objects.BaseEvent,
    "Condition": event_objects.Condition,
    "AcknowledgeableCondition": event_objects.AcknowledgeableCondition,
    "AlarmCondition": event_objects.AlarmCondition,
    "ExclusiveLevelAlarm": event_objects.ExclusiveLevelAlarm,
    "EventQueueOverflow": event_objects.EventQueueOverflowEvent,
    "RefreshStart": event_objects.RefreshStartEvent,
    "RefreshEnd": event_objects.RefreshEndEvent,
    "RefreshRequired": event_objects.RefreshRequiredEvent,
}


class Desk:
    """Sends events of one server."""

    def __init__(self, device: DeviceServer) -> None:
        self._device = device
        self._number = 0

    def clear(self) -> None:
        """Forget every retained condition."""
        self._service._conditions.clear()

    def notifier(self, name: str, *, sends: bool = True) -> str:
        """Add an object below Objects, which sends events or does not; return its address."""
        return self._device.run(self._notifier(name, sends))

    def sends(self, name: str) -> None:
        """Let an object send events from now on."""
        self._device.run(self._device.node(name, 2).set_event_notifier([ua.EventNotifier.SubscribeToEvents]))

    def event_type(self, name: str, above: ua.NodeId | int = ObjectIds.BaseEventType) -> ua.NodeId:
        """Add an event type; return its NodeId."""
        assert self._device.server is not None
        return self._device.run(self._device.server.create_custom_event_type(2, name, above)).nodeid

    def keep(self, name: str, **fields: Any) -> None:
        """Let the next refresh bring this state of an alarm, without sending it now."""

        async def keep() -> None:
            event = await self._event("AlarmCondition", None, {"NodeId": node_id(name, 2), "ConditionName": name, "Retain": True, **fields})
            self._service._conditions[event.NodeId] = event

        self._device.run(keep())

    def send(self, kind: str | ua.NodeId = "BaseEvent", notifier: ua.NodeId | None = None, **fields: Any) -> bytes:
        """Send an event of a type; return its EventId. Fields of states are written with '__' for '/'."""
        return self._device.run(self._send(kind, notifier, fields))

    def alarm(self, name: str, *, active: bool, acked: bool = False, retain: bool = True, **fields: Any) -> bytes:
        """Send a state of an alarm."""
        states = {"ActiveState__Id": active, "AckedState__Id": acked, "EnabledState__Id": True}
        known = {"NodeId": node_id(name, 2), "ConditionName": name, "Retain": retain}
        return self.send("AlarmCondition", **{"Severity": 700, **states, **known, **fields})

    @property
    def _service(self) -> Any:
        assert self._device.server is not None
        return self._device.server.iserver.subscription_service

    async def _notifier(self, name: str, sends: bool) -> str:
        assert self._device.server is not None
        node = await self._device.server.nodes.objects.add_object(node_id(name, 2), name)
        if sends:
            await node.set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        return f"ns=2;s={name}"

    async def _send(self, kind: str | ua.NodeId, notifier: ua.NodeId | None, fields: dict[str, Any]) -> bytes:
        event = await self._event(kind, notifier, fields)
        await self._service.trigger_event(event)
        return bytes(event.EventId or b"")

    async def _event(self, kind: str | ua.NodeId, notifier: ua.NodeId | None, fields: dict[str, Any]) -> Any:
        assert self._device.server is not None
        event: Any
        if isinstance(kind, str):
            event = _TYPES[kind]()
        else:
            event = await get_event_obj_from_type_node(self._device.server.get_node(kind))
        self._number += 1
        event.emitting_node = notifier or node_id(ObjectIds.Server)
        event.EventId = f"event {self._number}".encode()
        event.Time = event.ReceiveTime = WHEN
        event.SourceNode, event.SourceName = event.emitting_node, "Server"
        if isinstance(event, event_objects.Condition):
            event.add_property("NodeId", None, ua.VariantType.NodeId)
        for name, value in fields.items():
            setattr(event, name.replace("__", "/"), value)
        return event
