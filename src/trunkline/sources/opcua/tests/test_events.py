"""Events and alarms over a real connection: once each, never before they are durable, and what is active is known after a reconnect."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common import event_objects
from asyncua.server.internal_session import InternalSession
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadTooManyOperations

from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.model.events import Alarm, Event
from trunkline.model.quality import Quality
from trunkline.sources.opcua import monitoring, notifiers
from trunkline.sources.opcua.monitoring import Subscription
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.stack import AttributeIds, node_id
from trunkline.sources.opcua.tests.desk import WHEN, Desk
from trunkline.sources.opcua.tests.proxy import Proxy
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import WAIT, Connected, events_until, first_of, heard, settings, tag
from trunkline.sources.port import ReadBatch

SERVER = node_id(ObjectIds.Server)


@pytest.fixture
async def proxy(device: DeviceServer) -> AsyncIterator[Proxy]:
    between = Proxy(("127.0.0.1", device.port))
    await between.start()
    yield between
    await between.stop()


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events]


def last_is(text: str) -> Callable[[list[Event]], bool]:
    return lambda events: bool(events) and events[-1].text == text


def told(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event.type == kind]


async def refreshed(source: OpcUaSource, times_: int) -> None:
    async with asyncio.timeout(WAIT):
        while source.counters.refreshes < times_:
            await asyncio.sleep(0.01)


async def gone(source: OpcUaSource) -> None:
    """Read until the connection is lost."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await (await source.read()).ack()
            except SourceUnavailable:
                return


async def next_with_events(source: OpcUaSource) -> ReadBatch:
    """Return the next batch with events; those before it are acknowledged."""
    async with asyncio.timeout(WAIT):
        while not (batch := await source.read()).events:
            await batch.ack()
    return batch


async def test_the_same_event_has_the_same_identity(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """P-9: the identity is made of EventId and source, so a repeat is the same event; another source's report is another."""
    async with connected(settings(device.endpoint, [], events=[{}])) as source, connected(other(device)) as second:
        await heard(source)
        await heard(second)
        desk.send(EventId=b"one")
        desk.send(EventId=b"two")
        found = await events_until(source, lambda events: len(events) == 2)
        others = await events_until(second, lambda events: len(events) == 2)
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.send(EventId=b"one")
        (again,) = await events_until(source, bool)
    assert again.id == found[0].id
    assert len({event.id for event in (*found, *others)}) == 4
    assert all(event.id[14] == "7" and event.time == times.from_iso("2026-11-21T13:00:00.123456Z") for event in found)


def other(device: DeviceServer) -> Any:
    return settings(device.endpoint, [], events=[{}]).model_copy(update={"id": "opc-2"})


async def test_readings_and_events_share_a_message(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """D-9: one device gives readings and events; the readings go on in order while events come."""
    node = device.add("Beside events", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)], events=[{}], queue_size=1000)) as source:
        await heard(source)
        for number in range(1, 51):
            device.set("Beside events", float(number))
            desk.send(Message=ua.LocalizedText(str(number)))
        values: list[object] = []
        events: list[Event] = []
        async with asyncio.timeout(WAIT):
            while len(values) < 51 or len(events) < 50:
                batch = await source.read()
                values.extend(reading.value for reading in batch.readings)
                events.extend(batch.events)
                await batch.ack()
    assert values == [float(number) for number in range(51)]
    assert texts(events) == [str(number) for number in range(1, 51)]


async def test_events_are_acknowledged_only_when_durable(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """W-55: the server keeps the message of an event until the gateway has it on disk."""
    async with connected(settings(device.endpoint, [], events=[{}], stale_after=0.6)) as source:
        await heard(source)
        while at_server(source, device)._not_acknowledged_results:
            await (await source.read()).ack()
        desk.send(Message=ua.LocalizedText("kept"))
        batch = await next_with_events(source)
        async with asyncio.timeout(WAIT):
            for _ in range(2):
                await source.read()
            unacknowledged = at_server(source, device)._not_acknowledged_results
            assert len(unacknowledged) == 1
            await batch.ack()
            while unacknowledged:
                await source.read()


async def test_missing_messages_with_events_are_asked_for_again(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hole in the sequence numbers is filled by Republish: each event once, in order."""
    dropped = drop_messages(monkeypatch, {5, 7})
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        for number in range(8):
            before = at_server(source, device)._notification_seq
            desk.send(Message=ua.LocalizedText(str(number)))
            async with asyncio.timeout(WAIT):
                while at_server(source, device)._notification_seq == before:
                    await asyncio.sleep(0.005)
        found = await events_until(source, last_is("7"))
    assert texts(found) == [str(number) for number in range(8)]
    assert dropped == {5, 7}
    assert source.counters.messages_lost == 0


async def test_lost_messages_ask_for_a_refresh(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server no longer has the message in which an alarm came: it is told, and the refresh that follows brings the alarm."""
    monkeypatch.setattr(notifiers, "REFRESH_EVERY_SECONDS", 0.1)
    assert device.server is not None
    monkeypatch.setattr(device.server.iserver.subscription_service, "republish", lambda _: ua.NotificationMessage())
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.send(Message=ua.LocalizedText("before"))
        await events_until(source, last_is("before"))
        number = at_server(source, device)._notification_seq
        drop_messages(monkeypatch, {number})
        desk.alarm("Lost", active=True)
        async with asyncio.timeout(WAIT):
            while at_server(source, device)._notification_seq == number:
                await asyncio.sleep(0.005)
        desk.send(Message=ua.LocalizedText("after"))
        found = await events_until(source, lambda events: "Lost" in texts(events))
    assert told(found, "NOTIFICATIONS_LOST")
    assert [event.text for event in found if isinstance(event, Alarm)] == ["Lost"]


def drop_messages(monkeypatch: pytest.MonkeyPatch, numbers: set[int]) -> set[int]:
    """Let notification messages with these numbers vanish on their way; return the set of those that did."""
    vanished: set[int] = set()
    receive = Subscription._receive

    async def lossy(self: Subscription, result: ua.PublishResult) -> None:
        number = int(result.NotificationMessage.SequenceNumber)
        if result.NotificationMessage.NotificationData and number in numbers:
            vanished.add(number)
            return
        await receive(self, result)

    monkeypatch.setattr(Subscription, "_receive", lossy)
    return vanished


def at_server(source: OpcUaSource, device: DeviceServer) -> InternalSubscription:
    """Return the server's side of the subscription."""
    assert device.server is not None
    assert isinstance(source._reader, Subscription)
    return device.server.iserver.subscription_service.subscriptions[source._reader._id]


async def test_a_reconnect_doubles_nothing_and_misses_no_alarm(
    device: DeviceServer, desk: Desk, proxy: Proxy, connected: Connected
) -> None:
    """W-13: after a reconnect the refresh repeats what is known, brings what came meanwhile, and shows what ended meanwhile."""
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [], events=[{}])) as source:
        await heard(source)
        desk.alarm("Stays", active=True)
        desk.alarm("Ends", active=True, Severity=950)
        first = await events_until(source, last_is("Ends"))
        await proxy.unplug()
        await gone(source)
        desk.alarm("Ends", active=False, retain=False)
        desk.alarm("Comes", active=True)
        await proxy.plug()
        await source.connect()
        await refreshed(source, 2)
        desk.send(Message=ua.LocalizedText("afterwards"))
        found = await events_until(source, last_is("afterwards"))
    assert texts(first) == ["Stays", "Ends"]
    came, ended, _ = found
    assert (came.text, source.counters.events_known) == ("Comes", 1)
    assert isinstance(ended, Alarm)
    assert (ended.active, ended.before, ended.after, ended.severity.name) == (False, "ACTIVE", "CLEARED", "CRITICAL")
    assert (ended.attributes["condition_name"], ended.quality) == ("Ends", Quality.UNCERTAIN_NO_SOURCE_TIME)
    assert "ended while the server could not be heard" in ended.text


async def test_a_restart_of_the_gateway_doubles_nothing(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """W-13, PD-23: what was durable before a kill is known by the checkpoint; a refresh repeats it and it is not told again."""
    config = settings(device.endpoint, [], events=[{}])
    async with connected(config) as source:
        await heard(source)
        desk.alarm("Stays", active=True)
        desk.alarm("Ends", active=True)
        await events_until(source, last_is("Ends"))
    desk.alarm("Ends", active=False, retain=False)
    told_after: list[list[Event]] = []
    for _ in range(2):
        async with connected(config) as source:
            await heard(source)
            desk.send(Message=ua.LocalizedText("last"))
            told_after.append(await events_until(source, last_is("last")))
    first, second = told_after
    assert [(event.attributes.get("condition_name"), event.after) for event in first] == [("Ends", "CLEARED"), (None, None)]
    assert texts(second) == ["last"]


async def test_what_was_not_durable_comes_first_after_a_reconnect(
    device: DeviceServer, desk: Desk, proxy: Proxy, connected: Connected
) -> None:
    """W-55: an event that the gateway could not store is handed over again, before newer ones, with the same identity."""
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [], events=[{}])) as source:
        await heard(source)
        desk.send(Message=ua.LocalizedText("plain"))
        refused = await next_with_events(source)
        desk.alarm("Alarm", active=True)
        newer = await next_with_events(source)
        await refused.nack("disk full")
        await newer.nack("disk full")
        await proxy.unplug()
        await source.close()
        await proxy.plug()
        await source.connect()
        await refreshed(source, 2)
        desk.alarm("Alarm", active=False, retain=False)
        found = await events_until(source, lambda events: len(events) == 3)
    assert [(event.text, event.before, event.after) for event in found] == [
        ("plain", None, None),
        ("Alarm", None, "ACTIVE"),
        ("Alarm", "ACTIVE", "CLEARED"),
    ]
    assert found[:2] == [*refused.events, *newer.events]


async def test_the_checkpoint_never_runs_ahead_of_the_events(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """A checkpoint speaks of the events of its own batch and those before: a kill in between cannot hide an alarm."""
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.alarm("First", active=True)
        first = await next_with_events(source)
        desk.alarm("Second", active=True)
        async with asyncio.timeout(WAIT):
            while source.counters.events < 2:
                await asyncio.sleep(0.01)
        second = await next_with_events(source)
        await first.nack("disk full")
        again = await next_with_events(source)
    assert first.checkpoint is not None
    assert second.checkpoint is not None
    assert ("First" in first.checkpoint, "Second" in first.checkpoint) == (True, False)
    assert ("First" in second.checkpoint, "Second" in second.checkpoint) == (True, True)
    assert again.checkpoint == first.checkpoint


async def test_a_refused_refresh_is_told_once(
    device: DeviceServer, desk: Desk, proxy: Proxy, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without conditions refuses ConditionRefresh: told once, not at each reconnect, and its events are heard."""
    assert device.server is not None
    method = device.server.iserver.aspace[node_id(ObjectIds.ConditionType_ConditionRefresh)]
    monkeypatch.setattr(method, "call", None)
    found: list[Event] = []
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [], events=[{}])) as source:
        found += await events_until(source, bool)
        for number in range(2):
            desk.send(Message=ua.LocalizedText(str(number)))
            found += await events_until(source, last_is(str(number)))
            await proxy.unplug()
            await gone(source)
            await proxy.plug()
            await source.connect()
            async with asyncio.timeout(WAIT):
                while not at_server(source, device).monitored_item_srv._monitored_events:
                    await asyncio.sleep(0.01)
        desk.send(Message=ua.LocalizedText("last"))
        found += await events_until(source, last_is("last"))
    assert [event.type for event in found] == ["CONDITION_REFRESH_REFUSED", "BASE_EVENT", "BASE_EVENT", "BASE_EVENT"]
    assert "BadNothingToDo" in found[0].text
    assert source.counters.refreshes == 0


async def test_a_required_refresh_is_asked_for(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part 9, 5.11.4: the server says that conditions may be out of date; that is no event of the plant."""
    monkeypatch.setattr(notifiers, "REFRESH_EVERY_SECONDS", 0.05)
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.send("RefreshRequired")
        await refreshed(source, 2)
        desk.send(Message=ua.LocalizedText("only"))
        assert texts(await events_until(source, bool)) == ["only"]


async def test_a_refresh_may_repeat_an_older_state(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part 9, 5.5.7: a state in a refresh that is older than one heard already is told, and does not become the present one."""
    monkeypatch.setattr(notifiers, "REFRESH_EVERY_SECONDS", 0.05)
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.alarm("Door", active=True, acked=True, Time=WHEN + timedelta(seconds=2))
        found = await events_until(source, bool)
        desk.keep("Door", ActiveState__Id=True, AckedState__Id=False, Time=WHEN + timedelta(seconds=1))
        desk.send("RefreshRequired")
        await refreshed(source, 2)
        desk.alarm("Door", active=False, retain=False, Time=WHEN + timedelta(seconds=3))
        found += await events_until(source, lambda events: len(events) == 2)
    assert [(event.before, event.after) for event in found] == [(None, "ACKNOWLEDGED"), (None, "ACTIVE"), ("ACKNOWLEDGED", "CLEARED")]


async def test_an_overflow_spoils_a_refresh(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """What an incomplete refresh does not bring has not ended; only a complete one tells."""
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        desk.alarm("Active", active=True)
        await events_until(source, bool)
        desk.clear()
        for kind in ("RefreshStart", "EventQueueOverflow", "RefreshEnd", "RefreshEnd", "BaseEvent"):
            desk.send(kind)
        spoilt = await events_until(source, lambda events: bool(events) and events[-1].type == "BASE_EVENT")
        for kind in ("RefreshStart", "RefreshEnd"):
            desk.send(kind)
        (ended,) = await events_until(source, bool)
    assert {event.type for event in spoilt} == {"EVENT_QUEUE_OVERFLOW", "BASE_EVENT"}
    assert (ended.before, ended.after) == ("ACTIVE", "CLEARED")


async def test_overflow_of_the_servers_event_queue_is_told(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part 4, 7.22.3: told once with the mend, and a refresh is asked for, since the end of an alarm may be among what was dropped.

    The library's server drops events without a word, so its queue is made to do what the standard asks: an EventQueueOverflowEventType
    in front of what is left.
    """
    monkeypatch.setattr(notifiers, "REFRESH_EVERY_SECONDS", 0.05)
    overflow_as_the_standard_asks(monkeypatch)
    async with connected(settings(device.endpoint, [], events=[{"queue_size": 5}], publishing_interval=0.5)) as source:
        await heard(source)
        await asyncio.to_thread(device.run, many(desk, device, 20))
        found = await events_until(source, last_is("19"))
        await refreshed(source, 2)
    (overflow,) = told(found, "EVENT_QUEUE_OVERFLOW")
    assert "raise 'queue_size' of source opc, events[0]" in overflow.text
    assert [event.text for event in found if event.type == "BASE_EVENT"] == [str(number) for number in range(15, 20)]
    assert source.counters.event_overflows == 1


async def many(desk: Desk, device: DeviceServer, count: int) -> None:
    for number in range(count):
        await desk._send("BaseEvent", None, {"Message": ua.LocalizedText(str(number)), "EventId": str(number).encode()})


def overflow_as_the_standard_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    enqueue = InternalSubscription.enqueue_event
    sign_of_overflow: Any = event_objects.EventQueueOverflowEvent()  # type: ignore[no-untyped-call]  # the library's

    async def overflowing(self: InternalSubscription, mid: int, eventdata: ua.EventFieldList, maxsize: int) -> None:
        queue = self._triggered_events.get(mid, [])
        full = len(queue) >= maxsize
        await enqueue(self, mid, eventdata, 0)
        if full:
            queue = self._triggered_events[mid]
            clauses = self.monitored_item_srv._monitored_items[mid].filter.SelectClauses
            sign = ua.EventFieldList(eventdata.ClientHandle, sign_of_overflow.to_event_fields(clauses))
            queue[:] = [sign, *queue[-maxsize:]]

    monkeypatch.setattr(InternalSubscription, "enqueue_event", overflowing)


async def test_notifiers_that_cannot_be_heard(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told once with its place in the site file and the mend; readings and other notifiers go on; it is tried again."""
    monkeypatch.setattr(monitoring, "RETRY_REFUSED_SECONDS", 0.2)
    desk.notifier("Mute", sends=False)
    node = device.add("Beside refused", 1.0)
    events = [
        {"notifier": "ns=2;s=Nowhere"},
        {"notifier": "ns=2;s=Mute"},
        {"notifier": "nsu=http://no.example/;i=1"},
        {"notifier": "i=2253"},
        {"notifier": node},
        {"notifier": desk.notifier("Typed"), "types": ["ns=2;i=9"]},
    ]
    async with connected(settings(device.endpoint, [tag("P.A", node)], events=events)) as source:
        await heard(source)
        found = await events_until(source, lambda events: len(events) == 5)
        assert source.counters.notifiers_refused == 5
        desk.send(Message=ua.LocalizedText("heard"))
        assert texts(await events_until(source, bool)) == ["heard"]
        desk.sends("Mute")
        async with asyncio.timeout(WAIT):
            while source.counters.notifiers_refused == 5:
                await (await source.read()).ack()
        desk.send(notifier=node_id("Mute", 2), Message=ua.LocalizedText("mute no more"))
        assert texts(await events_until(source, bool)) == ["mute no more"]
    assert {event.type for event in found} == {"NOTIFIER_REFUSED"}
    reasons = " | ".join(sorted(texts(found)))
    assert "source opc, events[0].notifier: ns=2;s=Nowhere does not exist on the server: correct it" in reasons
    assert "source opc, events[1].notifier: ns=2;s=Mute sends no events (its EventNotifier lacks SubscribeToEvents)" in reasons
    assert "source opc, events[2].notifier: the server has no namespace 'http://no.example/'" in reasons
    assert f"source opc, events[4].notifier: {node} sends no events" in reasons
    assert "source opc, events[5].types[0]: the server has no event type ns=2;i=9" in reasons


async def test_a_server_that_refuses_to_be_asked_about_events(
    device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session and its readings go on; it is told once and tried again."""
    monkeypatch.setattr(monitoring, "RETRY_REFUSED_SECONDS", 0.1)
    read = InternalSession.read
    asked = 0

    async def picky(self: InternalSession, params: ua.ReadParameters) -> list[ua.DataValue]:
        nonlocal asked
        asked += any(one.AttributeId == AttributeIds.EventNotifier for one in params.NodesToRead)
        if any(one.AttributeId == AttributeIds.EventNotifier for one in params.NodesToRead) and asked < 4:
            raise BadTooManyOperations
        return await read(self, params)

    monkeypatch.setattr(InternalSession, "read", picky)
    node = device.add("Beside refusal", 1.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)], events=[{}], watchdog_interval=1000.0)) as source:
        await first_of(source, "P.A")
        (event,) = await events_until(source, bool)
        await heard(source)
        desk.send(Message=ua.LocalizedText("heard"))
        assert texts(await events_until(source, bool)) == ["heard"]
    assert event.type == "NOTIFIER_REFUSED"
    assert "source opc, events: the server refuses to be asked about them: BadTooManyOperations" in event.text


async def test_a_server_that_hides_its_types(connected: Connected) -> None:
    """Without a view of its types, events are taken all the same, and `types` means exactly those named."""
    device = await asyncio.to_thread(DeviceServer(refused="browse").start)
    try:
        desk = Desk(device)
        async with connected(settings(device.endpoint, [], events=[{"types": ["i=2041", "i=2915"]}])) as source:
            await heard(source)
            desk.send("ExclusiveLevelAlarm", Message=ua.LocalizedText("left out"))
            desk.send(Message=ua.LocalizedText("taken"))
            desk.alarm("Alarm", active=True)
            found = await events_until(source, lambda events: len(events) == 2)
    finally:
        await asyncio.to_thread(device.stop)
    assert [(event.type, event.text, event.attributes["event_type"]) for event in found] == [
        ("BASE_EVENT", "taken", "i=2041"),
        ("OPCUA_EVENT", "Alarm", "i=2915"),
    ]


async def test_types_with_their_subtypes(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """`types` takes a type and all below it; the server is asked to send nothing else."""
    wanted = desk.event_type("TripEventType")
    below = desk.event_type("PumpTripEventType", wanted)
    async with connected(settings(device.endpoint, [], events=[{"types": [wanted.to_string()]}])) as source:
        await heard(source)
        desk.send(Message=ua.LocalizedText("left out"))
        desk.send(wanted, Message=ua.LocalizedText("trip"))
        desk.send(below, Message=ua.LocalizedText("pump trip"))
        found = await events_until(source, lambda events: len(events) == 2)
        (item,) = at_server(source, device).monitored_item_srv._monitored_items.values()
    assert [(event.type, event.text) for event in found] == [("TRIP_EVENT", "trip"), ("PUMP_TRIP_EVENT", "pump trip")]
    assert item.filter.WhereClause.Elements


async def test_severity_from_hears_the_end_of_an_alarm(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """W-13: an alarm that was taken is followed to its end, even if the server lowers its severity then."""
    async with connected(settings(device.endpoint, [], events=[{"severity_from": 500}])) as source:
        await heard(source)
        desk.send(Severity=499, Message=ua.LocalizedText("too low"))
        desk.alarm("Quiet", active=True, Severity=499)
        desk.send(Severity=500, Message=ua.LocalizedText("enough"))
        desk.alarm("Loud", active=True, Severity=800)
        desk.alarm("Loud", active=False, retain=False, Severity=1)
        desk.alarm("Loud", active=False, retain=False, Severity=2)
        desk.send(Severity=1000, Message=ua.LocalizedText("end"))
        found = await events_until(source, last_is("end"))
    assert [(event.text, event.after) for event in found] == [("enough", None), ("Loud", "ACTIVE"), ("Loud", "CLEARED"), ("end", None)]


async def test_an_event_of_two_notifiers_is_taken_once(device: DeviceServer, desk: Desk, connected: Connected) -> None:
    """An area and the Server object both send it: one event."""
    area = desk.notifier("Area")
    async with connected(settings(device.endpoint, [], events=[{}, {"notifier": area}])) as source:
        await heard(source)
        for notifier in (SERVER, node_id("Area", 2)):
            desk.send(notifier=notifier, EventId=b"same", Message=ua.LocalizedText("once"))
        desk.send(Message=ua.LocalizedText("end"))
        found = await events_until(source, last_is("end"))
    assert texts(found) == ["once", "end"]
    assert source.counters.events_known == 1


async def test_fields_are_asked_of_the_type_that_defines_them(device: DeviceServer, connected: Connected) -> None:
    """Part 4, 7.7.4.5: strict servers refuse a field that is asked of another type than its own."""
    async with connected(settings(device.endpoint, [], events=[{}])) as source:
        await heard(source)
        (item,) = at_server(source, device).monitored_item_srv._monitored_items.values()
    clauses = item.filter.SelectClauses
    assert len(clauses) == 22
    assert device.server is not None
    for clause in clauses:
        kind = device.server.get_node(clause.TypeDefinitionId)
        if clause.BrowsePath:
            child = device.run(kind.get_child(clause.BrowsePath))
            assert child.nodeid.NamespaceIndex == 0
        else:
            assert (clause.AttributeId, kind.nodeid) == (AttributeIds.NodeId, node_id(ObjectIds.ConditionType))


@pytest.mark.parametrize(("takes", "fields"), [("no where clause", 22), ("base fields only", 8)])
async def test_a_server_with_few_filters(
    takes: str, fields: int, device: DeviceServer, desk: Desk, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that the server refuses is made simpler; what it then sends too much is left out here."""
    create = MonitoredItemService._create_events_monitored_item

    def picky(self: MonitoredItemService, params: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
        asked = params.RequestedParameters.Filter
        if asked.WhereClause.Elements or (takes == "base fields only" and len(asked.SelectClauses) > 8):
            return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(StatusCodes.BadEventFilterInvalid))  # type: ignore[arg-type]  # library's types
        return create(self, params)

    monkeypatch.setattr(MonitoredItemService, "_create_events_monitored_item", picky)
    wanted = desk.event_type(f"Picky {takes}")
    async with connected(settings(device.endpoint, [], events=[{"types": [wanted.to_string()]}])) as source:
        await heard(source)
        (item,) = at_server(source, device).monitored_item_srv._monitored_items.values()
        desk.send(Message=ua.LocalizedText("left out"))
        desk.send(wanted, Message=ua.LocalizedText("taken"))
        found = await events_until(source, bool)
    assert (texts(found), len(item.filter.SelectClauses)) == (["taken"], fields)


async def test_without_subscriptions_there_are_no_events(connected: Connected) -> None:
    """A server that is polled instead says that its events are not heard."""
    device = await asyncio.to_thread(DeviceServer(refused="create_subscription").start)
    try:
        node = device.add("Polled", 1.0)
        async with connected(settings(device.endpoint, [tag("P.A", node)], events=[{}])) as source, asyncio.timeout(WAIT):
            (event,) = (await source.read()).events
    finally:
        await asyncio.to_thread(device.stop)
    assert "its events are not heard: they come by subscription only" in event.text


async def test_limits_are_kept_for_notifiers(connected: Connected) -> None:
    """Notifiers and event types are asked for in requests that the server takes."""
    device = await asyncio.to_thread(DeviceServer(max_per_read=3, max_monitored_per_call=2, max_per_browse=4).start)
    try:
        desk = Desk(device)
        events = [{"notifier": desk.notifier(f"N{number}")} for number in range(5)]
        async with connected(settings(device.endpoint, [], events=events)) as source:
            await heard(source)
            for number in range(5):
                desk.send(notifier=node_id(f"N{number}", 2), Message=ua.LocalizedText(str(number)))
            found = await events_until(source, lambda events: len(events) == 5)
    finally:
        await asyncio.to_thread(device.stop)
    assert sorted(texts(found)) == ["0", "1", "2", "3", "4"]
    assert device.largest == {"read": 3, "create_monitored_items": 2, "browse": 4}
