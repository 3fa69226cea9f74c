"""The source on a real broker with edge nodes: STATE, births asked for, what is lost and what is not, quiet edge nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trunkline.model import times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.sources.mqtt.tests.broker import PATIENCE, Broker, Device, password_file
from trunkline.sources.port import BrowseNode, ReadBatch
from trunkline.sources.sparkplug.datatypes import DataType
from trunkline.sources.sparkplug.tests.edge import GROUP, EdgeNode
from trunkline.sources.sparkplug.tests.support import FLOW, SPEED, Listener, connected, metrics, source_on, take, until

PROTOCOLS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


@asynccontextmanager
async def running(broker: Broker, *args: Any, **options: Any) -> AsyncIterator[EdgeNode]:
    edge = EdgeNode(broker.port, *(args or (metrics(),)), **options)
    await asyncio.to_thread(edge.connect)
    try:
        yield edge
    finally:
        await asyncio.to_thread(edge.stop)


def _states(listener: Listener) -> list[tuple[dict[str, Any], int, bool]]:
    return [(msgspec.json.decode(payload), qos, retained) for _, payload, qos, retained in listener.heard]


@PROTOCOLS
async def test_the_host_says_that_it_comes_and_goes(broker: Broker, tmp_path: Path, protocol: str) -> None:
    """4.2.3: births and deaths at QoS 1, retained, with the time of the connection; the will when it goes without a word."""
    topic = f"spBv1.0/STATE/gateway-1-coming-{protocol[0]}"
    now = times.now()
    stamp = now // 1000
    with Listener(broker.port, topic) as listener:
        source = source_on(broker.port, tmp_path, now=lambda: now, id=f"coming-{protocol[0]}", protocol=protocol)
        await source.connect()
        await listener.count(1)
        await source.close()
        await listener.count(2)
        await source.connect()
        await listener.count(3)
        assert source._link is not None
        source._link.drop("the test cuts the line")
        await listener.count(4)
        await source.close()
    assert _states(listener) == [({"online": online, "timestamp": stamp}, 1, False) for online in (True, False, True, False)]
    with Listener(broker.port, topic) as later:
        await later.count(1)
    assert _states(later) == [({"online": False, "timestamp": stamp}, 1, True)]


async def test_a_late_death_of_its_own_is_contradicted(broker: Broker, device: Device, tmp_path: Path) -> None:
    """[tck-id-message-flow-hid-sparkplug-state-message-delivered]: the will of a connection before it may come after the birth."""
    topic = "spBv1.0/STATE/scada"
    async with connected(broker, tmp_path, id="late", host_id="scada") as source:
        with Listener(broker.port, topic) as listener:
            await listener.count(1)
            reading = asyncio.create_task(source.read())
            for nonsense in (b"\xff", b"[]", b'{"online":"false"}'):
                await device.publish(topic, nonsense)
            await device.publish(topic, b'{"online":false,"timestamp":1}', retain=True)
            await listener.count(6)
            reading.cancel()
            states = [payload for _, payload, _, _ in listener.heard]
            assert states[5] == states[0]
            assert msgspec.json.decode(states[0])["online"] is True


async def test_a_listener_says_nothing_of_itself(broker: Broker, tmp_path: Path) -> None:
    with Listener(broker.port, "spBv1.0/STATE/gateway-1-quiet") as listener:
        async with running(broker), connected(broker, tmp_path, id="quiet", primary=False) as source:
            await take(source, 2)
    assert listener.heard == []


async def test_births_are_asked_for_at_every_connection(broker: Broker, tmp_path: Path) -> None:
    """W-45: an edge node that was there before, and that the broker knows nothing of."""
    async with running(broker) as edge:
        for number in (1, 2):
            async with connected(broker, tmp_path, id="asking") as source:
                readings, events = await take(source, 2)
                assert [(one.tag, one.value, one.quality) for one in readings] == [
                    ("P.FLOW", 1.0, Quality.GOOD),
                    ("P.PUMP.SPEED", 10, Quality.GOOD),
                ]
                assert [event.type for event in events] == ["EDGE_NODE_UP"]
                assert edge.rebirths == number


async def test_a_gap_is_told_and_mended(broker: Broker, tmp_path: Path) -> None:
    """A message that is lost is an event, and the edge node announces itself anew with its present values."""
    async with running(broker) as edge, connected(broker, tmp_path, id="gap") as source:
        await take(source, 2)
        edge.metrics["pump"]["Speed"] = (DataType.INT16, 11)  # the message that says so is lost
        edge.seq += 1
        edge.measure("", "Flow", 2.0)
        _, events = await until(source, "P.PUMP.SPEED", 11)
        assert [event.type for event in events] == ["SEQUENCE_GAP"]
        assert edge.rebirths == 2


async def test_an_edge_node_that_vanishes_makes_its_tags_bad(broker: Broker, tmp_path: Path) -> None:
    async with running(broker) as edge, connected(broker, tmp_path, id="vanishing") as source:
        await take(source, 2)
        await asyncio.to_thread(edge.vanish)
        readings, events = await take(source, 2)
        assert [(one.tag, one.value, one.quality, one.source_time) for one in readings] == [
            ("P.FLOW", None, Quality.BAD_COMMS_LOST, None),
            ("P.PUMP.SPEED", None, Quality.BAD_COMMS_LOST, None),
        ]
        assert [event.type for event in events] == ["EDGE_NODE_DOWN"]
        await asyncio.to_thread(edge.connect)
        await until(source, "P.PUMP.SPEED", 10)
        assert edge.rebirths == 1, "it was born by itself"


async def test_edge_nodes_keep_what_they_measure_while_their_host_is_away(broker: Broker, tmp_path: Path) -> None:
    """No loss with a primary host: the broker's word that it is away starts the edge node's store, which comes as history."""
    source = source_on(broker.port, tmp_path, id="primary", host_id="primary-1")
    async with running(broker, primary="primary-1") as edge:
        try:
            await source.connect()
            await take(source, 2)
            expected: list[float] = [1.0]
            seen: list[Any] = [1.0]
            for end in ("close", "cut"):
                if end == "close":
                    await source.close()
                else:
                    assert source._link is not None
                    source._link.drop("the test cuts the line")
                async with asyncio.timeout(PATIENCE):
                    while edge._online:
                        await asyncio.sleep(0.01)
                for _ in range(50):
                    expected.append(expected[-1] + 1)
                    edge.measure("", "Flow", expected[-1])
                await source.connect()
                edge.measure("pump", "Speed", 20 if end == "close" else 21)
                readings, _ = await until(source, "P.PUMP.SPEED", 20 if end == "close" else 21)
                seen += [one.value for one in readings if one.tag == "P.FLOW"]
                assert all(one.quality == Quality.GOOD for one in readings)
            assert sorted(set(seen)) == expected, "the births repeat the present value; nothing else is missing or too much"
        finally:
            await source.close()


async def test_what_could_not_be_stored_comes_again(broker: Broker, tmp_path: Path) -> None:
    """Data is sent at QoS 0, so the source itself keeps what the gateway refuses, over the reconnection."""
    async with running(broker) as edge, connected(broker, tmp_path, id="refused") as source:
        await take(source, 2)
        refused: list[ReadBatch] = []
        for value in (2.0, 3.0):
            edge.measure("", "Flow", value)
            while value not in [one.value for batch in refused for one in batch.readings]:
                refused.append(await source.read())
        for batch in refused:
            await batch.nack("the disk is full")
        await source.close()
        await source.connect()
        readings, _ = await until(source, "P.PUMP.SPEED", 10)
        assert [one.value for one in readings if one.tag == "P.FLOW"][:2] == [2.0, 3.0]


async def test_a_refused_batch_breaks_the_connection(broker: Broker, tmp_path: Path) -> None:
    """So that the broker says at once that the host is away."""
    async with running(broker), connected(broker, tmp_path, id="broken") as source:
        batch = await source.read()
        await batch.nack("the disk is full")
        assert (await source.read()).readings == batch.readings
        with pytest.raises(SourceUnavailable, match="the disk is full"):
            await source.read()


async def test_quiet_edge_nodes_are_alive(broker: Broker, tmp_path: Path) -> None:
    """Report by exception: as long as the broker is heard and says nothing else, the last values hold."""
    async with running(broker), connected(broker, tmp_path, id="alive", keepalive=1) as source:
        await take(source, 2)
        for _ in range(2):
            batch = await asyncio.wait_for(source.read(), PATIENCE)
            assert (batch.alive, list(batch.readings)) == (True, [])


async def test_an_edge_node_that_is_not_there_is_told(broker: Broker, tmp_path: Path) -> None:
    """Nobody speaks for it: its tags are BAD after a while, and until then nothing is said to be alive."""
    async with (
        running(broker),
        connected(
            broker, tmp_path, id="absent", timeout=1, keepalive=1, tags=[FLOW, {**FLOW, "path": "P.NONE", "node": "edge-9"}]
        ) as source,
    ):
        while True:
            batch = await asyncio.wait_for(source.read(), PATIENCE)
            absent = [(one.value, one.quality) for one in batch.readings if one.tag == "P.NONE"]
            if absent:
                break
            assert not batch.alive
        assert absent == [(None, Quality.BAD_COMMS_LOST)]


async def test_browsing_lists_edge_nodes_devices_and_metrics(broker: Broker, tmp_path: Path) -> None:
    """Also of edge nodes that no tag names: they are asked for their births when somebody looks at them."""
    others = {"": {"A/B": (DataType.STRING, "x")}, "d 1": {"T": (DataType.DATASET, None), "N": (DataType.UINT8, 1)}}
    async with running(broker) as edge, running(broker, others, name="edge-2") as other, connected(broker, tmp_path, id="browse") as source:
        other.measure("", "A/B", "y")
        assert await source.browse("") == [BrowseNode("edge-1", "edge-1", branch=True), BrowseNode("edge-2", "edge-2", branch=True)]
        assert other.rebirths == 0
        found = await source.browse("edge-2")
        assert BrowseNode("edge-2/d 1", "d 1", branch=True) in found
        assert BrowseNode("edge-2#A/B", "A/B", "text") in found
        assert await source.browse("edge-2/d 1") == [BrowseNode("edge-2/d 1#T", "T", ""), BrowseNode("edge-2/d 1#N", "N", "integer")]
        assert (edge.rebirths, other.rebirths) == (1, 1)
        readings, _ = await take(source, 2)
        assert {one.tag for one in readings} == {"P.FLOW", "P.PUMP.SPEED"}, "what came while browsing is read afterwards"
        assert await source.browse("edge-7") == []
        await asyncio.to_thread(other.vanish)
        await source.browse("")
        assert await source.browse("edge-2") == [], "it is offline"
    with pytest.raises(SourceUnavailable, match="not connected"):
        await source_on(broker.port, tmp_path).browse("")


async def test_only_the_nodes_named_are_listened_to(broker: Broker, tmp_path: Path) -> None:
    async with (
        running(broker, metrics(), name="edge-2"),
        running(broker),
        connected(broker, tmp_path, id="some", nodes=["edge-1"]) as source,
    ):
        assert await source.browse("") == [BrowseNode("edge-1", "edge-1", branch=True)]
        assert source.unmatched == 0


async def test_a_broker_that_refuses_the_state_is_named(tmp_path: Path) -> None:
    """Access rules that leave STATE out: the error says what to mend."""
    broker = Broker(anonymous=False)
    password_file(broker, {"gateway": "g"})
    rules = broker.folder / "rules"
    rules.write_text("user gateway\ntopic read spBv1.0/#\n")
    rules.chmod(0o600)
    broker.set(f"acl_file {rules}")
    with broker:
        source = source_on(broker.port, tmp_path, username="gateway", password="${secret:g}")
        with pytest.raises(SourceMisconfigured, match=r"STATE/gateway-1-edges .*access rules, or say 'primary: false'"):
            await source.connect()


async def test_two_groups_do_not_meet(broker: Broker, device: Device, tmp_path: Path) -> None:
    async with running(broker), connected(broker, tmp_path, id="groups", tags=[SPEED]) as source:
        await device.publish(f"spBv1.0/other-{GROUP}/NBIRTH/edge-1", b"")
        assert [one.tag for one in (await take(source, 1))[0]] == ["P.PUMP.SPEED"]
