"""Subscriptions: order, completeness, per-node errors, limits, flow control."""

import asyncio

import pytest
from asyncua import ua
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.ua.status_codes import StatusCodes

from trunkline.model.errors import SourceUnavailable
from trunkline.model.events import Event
from trunkline.model.quality import Quality
from trunkline.sources.opcua import monitoring
from trunkline.sources.opcua.monitoring import Subscription
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.tests.server import URI, DeviceServer
from trunkline.sources.opcua.tests.support import WAIT, Connected, first_of, read_until, settings, tag


async def test_every_change_arrives_in_order(device: DeviceServer, connected: Connected) -> None:
    """W-42: a subscription delivers each change once, in the order the server saw it."""
    node = device.add("Order", 0.0)
    async with connected(settings(device.endpoint, [tag("P.ORDER", node)], queue_size=1000)) as source:
        assert source.subscribed
        assert (await first_of(source, "P.ORDER"))["P.ORDER"].value == 0.0
        device.set_many("Order", [float(n) for n in range(1, 501)])
        found = await read_until(source, lambda readings: len(readings) >= 500)
    assert [reading.value for reading in found] == [float(n) for n in range(1, 501)]
    assert source.counters.notifications == 501
    assert source.counters.messages_lost == 0


async def test_one_unknown_node_spoils_only_its_tag(device: DeviceServer, connected: Connected) -> None:
    good = device.add("Good", 4.5)
    tags = [tag("P.GOOD", good), tag("P.GONE", "ns=2;s=NoSuchNode"), tag("P.ELSEWHERE", "nsu=http://no.example/;i=1")]
    async with connected(settings(device.endpoint, tags)) as source:
        found = await first_of(source, "P.GOOD", "P.GONE", "P.ELSEWHERE")
    assert found["P.GOOD"].value == 4.5
    assert found["P.GOOD"].quality == Quality.GOOD
    for path in ("P.GONE", "P.ELSEWHERE"):
        assert (found[path].value, found[path].quality) == (None, Quality.BAD_UNKNOWN_ADDRESS)
    assert source.counters.nodes_refused == 2


async def test_respects_operation_limits(connected: Connected) -> None:
    """The server's limits are read and kept to: it would refuse a larger request."""
    device = await asyncio.to_thread(DeviceServer(max_per_read=3, max_monitored_per_call=4, max_per_browse=2).start)
    try:
        tags = [tag(f"P.T{number}", device.add(f"T{number}", float(number))) for number in range(11)]
        paths = [one["path"] for one in tags]
        async with connected(settings(device.endpoint, tags)) as source:
            found = await first_of(source, *paths)
            assert len(await source.browse("")) > 11
        assert [found[path].value for path in paths] == [float(number) for number in range(11)]
        assert device.largest == {"read": 3, "create_monitored_items": 4, "browse": 2}
        async with connected(settings(device.endpoint, tags, mode="poll")) as source:
            assert [(await first_of(source, path))[path].value for path in paths] == [float(number) for number in range(11)]
    finally:
        await asyncio.to_thread(device.stop)


@pytest.mark.parametrize("refused", ["create_subscription", "create_monitored_items"])
async def test_falls_back_to_polling(refused: str, connected: Connected) -> None:
    """TD-17: a server without subscriptions, or without monitored items, is polled, and says so once."""
    device = await asyncio.to_thread(DeviceServer(refused=refused).start)
    try:
        node = device.add("Polled", 1.0)
        async with connected(settings(device.endpoint, [tag("P.A", node), tag("P.B", "ns=2;s=None")])) as source:
            assert not source.subscribed
            assert device.server is not None
            assert not device.server.iserver.subscription_service.subscriptions
            async with asyncio.timeout(WAIT):
                first = await source.read()
            assert [event.type for event in first.events] == ["SUBSCRIPTION_REFUSED"]
            found = {reading.tag: reading for reading in first.readings}
            assert (found["P.A"].value, found["P.B"].quality) == (1.0, Quality.BAD_UNKNOWN_ADDRESS)
            device.set("Polled", 2.0)
            await read_until(source, lambda readings: any(reading.value == 2.0 for reading in readings))
    finally:
        await asyncio.to_thread(device.stop)


async def test_quiet_tags_are_reported_alive(device: DeviceServer, connected: Connected) -> None:
    """Nothing changes: the server's keep-alives arrive as batches marked alive, and no reading is made up."""
    node = device.add("Quiet", 1.0)
    async with connected(settings(device.endpoint, [tag("P.A", node, stale_after=0.6)])) as source:
        await first_of(source, "P.A")
        async with asyncio.timeout(WAIT):
            batches = [await source.read() for _ in range(3)]
    assert all(batch.alive and not batch.readings for batch in batches)


async def test_a_refused_batch_is_offered_again_in_order(device: DeviceServer, connected: Connected) -> None:
    """A batch that could not be stored comes again, before anything newer."""
    node = device.add("Refused batch", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await first_of(source, "P.A")
        device.set_many("Refused batch", [1.0, 2.0])
        async with asyncio.timeout(WAIT):
            while not (batch := await source.read()).readings:
                pass
        device.set_many("Refused batch", [3.0])
        await batch.nack("disk full")
        found = await read_until(source, lambda readings: readings[-1:] != [] and readings[-1].value == 3.0)
    assert [reading.value for reading in found] == [1.0, 2.0, 3.0]


async def test_messages_are_acknowledged_only_when_durable(device: DeviceServer, connected: Connected) -> None:
    """The server keeps a message for a repetition until the gateway has it on disk."""

    node = device.add("Durable", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node, stale_after=0.6)])) as source:
        async with asyncio.timeout(WAIT):
            while not (batch := await source.read()).readings:
                pass
            for _ in range(2):
                await source.read()
            unacknowledged = at_server(source, device)._not_acknowledged_results
            assert len(unacknowledged) == 1
            await batch.ack()
            while unacknowledged:
                await source.read()


async def test_missing_messages_are_asked_for_again(device: DeviceServer, connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hole in the sequence numbers is filled by Republish, in order."""
    node = device.add("Hole", 0.0)
    dropped = drop_messages(monkeypatch, {3, 5, 6})
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await change_one_by_one(source, device, "Hole", 8)
        found = await read_until(source, lambda readings: readings[-1:] != [] and readings[-1].value == 8.0)
    assert [reading.value for reading in found] == [float(value) for value in range(9)]
    assert dropped == {3, 5, 6}
    assert source.counters.messages_lost == 0


async def test_messages_that_are_gone_are_counted(device: DeviceServer, connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server no longer has is counted and told as an event."""
    node = device.add("Gone", 0.0)
    drop_messages(monkeypatch, {3, 4})
    assert device.server is not None
    service = device.server.iserver.subscription_service
    monkeypatch.setattr(service, "republish", lambda _: ua.NotificationMessage())
    events: list[Event] = []
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await change_one_by_one(source, device, "Gone", 6)
        values: list[object] = []
        async with asyncio.timeout(WAIT):
            while values[-1:] != [6.0]:
                batch = await source.read()
                events.extend(batch.events)
                values.extend(reading.value for reading in batch.readings)
    assert source.counters.messages_lost == 2
    assert sum(int(event.attributes["messages"] or 0) for event in events if event.type == "NOTIFICATIONS_LOST") == 2
    assert values == [0.0, 1.0, 4.0, 5.0, 6.0]


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


async def change_one_by_one(source: OpcUaSource, device: DeviceServer, name: str, last: int) -> None:
    """Give each change a message of its own: the next one is made when the one before was sent, arrived or not."""
    async with asyncio.timeout(WAIT):
        while source.counters.notifications == 0:
            await asyncio.sleep(0.005)
        for value in range(1, last + 1):
            device.set(name, float(value))
            while at_server(source, device)._notification_seq < value + 2:
                await asyncio.sleep(0.005)


def at_server(source: OpcUaSource, device: DeviceServer) -> InternalSubscription:
    """Return the server's side of the subscription."""
    assert device.server is not None
    assert isinstance(source._reader, Subscription)
    return device.server.iserver.subscription_service.subscriptions[source._reader._id]


async def test_overflow_of_the_servers_queue_is_told(device: DeviceServer, connected: Connected) -> None:
    """The overflow bit means that the server dropped changes: counted, and told once as an event."""
    node = device.add("Overflow", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await first_of(source, "P.A")
        device.set("Overflow", 1.0, status=0x00000480)
        device.set("Overflow", 2.0, status=0x00000480)
        events: list[Event] = []
        values: list[object] = []
        async with asyncio.timeout(WAIT):
            while values[-1:] != [2.0]:
                batch = await source.read()
                events.extend(batch.events)
                values.extend(reading.value for reading in batch.readings)
    assert source.counters.queue_overflows == 2
    (event,) = events
    assert (event.type, event.source) == ("DEVICE_QUEUE_OVERFLOW", "opc")


async def test_memory_is_bounded_when_nobody_reads(device: DeviceServer, connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too much waiting here the server is not asked for more; afterwards everything arrives that it kept."""
    monkeypatch.setattr(monitoring, "HELD_READINGS", 50)
    node = device.add("Slow reader", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)], queue_size=10_000)) as source:
        await first_of(source, "P.A")
        await asyncio.to_thread(device.set_many, "Slow reader", [float(value) for value in range(1, 101)])
        async with asyncio.timeout(WAIT):
            while source._reader._outbox.held < 50:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(device.set_many, "Slow reader", [float(value) for value in range(101, 1001)])
            while at_server(source, device)._publish_cycles_count < 5:  # cycles in which the server was not asked for anything
                await asyncio.sleep(0.01)
        found = await read_until(source, lambda readings: readings[-1:] != [] and readings[-1].value == 1000.0)
    assert [reading.value for reading in found] == [float(value) for value in range(1, 1001)]


async def test_a_variable_that_appears_later(device: DeviceServer, connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "RETRY_REFUSED_SECONDS", 0.1)
    async with connected(settings(device.endpoint, [tag("P.A", f"nsu={URI};s=Later")])) as source:
        assert (await first_of(source, "P.A"))["P.A"].quality == Quality.BAD_UNKNOWN_ADDRESS
        device.add("Later", 7.0)
        found = await read_until(source, lambda readings: readings[-1:] != [])
    assert [(reading.value, reading.quality) for reading in found] == [(7.0, Quality.GOOD)]
    assert source.counters.nodes_refused == 0


async def test_server_side_deadband(device: DeviceServer, connected: Connected) -> None:
    node = device.add("Deadband", 10.0)
    async with connected(settings(device.endpoint, [tag("P.A", node, server_deadband={"absolute": 1.0})])) as source:
        await first_of(source, "P.A")
        device.set_many("Deadband", [10.5, 12.0, 12.2, 14.0])
        found = await read_until(source, lambda readings: readings[-1:] != [] and readings[-1].value == 14.0)
    assert [reading.value for reading in found] == [12.0, 14.0]


async def test_subscription_ended_by_the_server(device: DeviceServer, connected: Connected) -> None:
    """A status change of the subscription ends the session: the gateway builds a new one."""
    node = device.add("Ended", 1.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await first_of(source, "P.A")
        device.run(at_server(source, device).enqueue_statuschange(ua.StatusCode(StatusCodes.BadTimeout)))  # type: ignore[arg-type]  # library's types
        device.set("Ended", 2.0)
        with pytest.raises(SourceUnavailable, match="ended the subscription: BadTimeout"):
            await read_until(source, lambda _: False)
