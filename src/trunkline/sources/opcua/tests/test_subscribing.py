"""Subscriptions: order, completeness, per-node errors, limits, flow control."""

from trunkline.model.quality import Quality
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import Connected, first_of, read_until, settings, tag


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
