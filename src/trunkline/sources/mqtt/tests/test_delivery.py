"""What is acknowledged, when, and what comes again: with a real broker and real kills."""

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.model.errors import SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.sources.mqtt.tests.broker import PATIENCE, Broker, Device
from trunkline.sources.mqtt.tests.support import FLOW, connected, source_on, take, values

PROTOCOLS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
STORED = pytest.mark.parametrize("qos", [1, 2])


@PROTOCOLS
@STORED
async def test_what_is_not_acknowledged_comes_again_in_order(
    broker: Broker, device: Device, tmp_path: Path, protocol: str, qos: int
) -> None:
    """W-43: an acknowledgement means stored; without it the persistent session offers the message again, also at QoS 2."""
    options = {"protocol": protocol, "qos": qos, "id": f"again-{protocol.replace('.', '-')}-{qos}"}
    async with connected(broker, tmp_path, **options) as source:
        await asyncio.to_thread(device.send, *(("unit/flow", str(number)) for number in range(30)), qos=2)
        assert await values(source, 30, ack=False) == list(range(30))
    async with connected(broker, tmp_path, **options) as source:
        assert await values(source, 30, ack=True) == list(range(30))
        await device.publish("unit/flow", "30", qos=2)
        assert await values(source, 1, ack=True) == [30]
    async with connected(broker, tmp_path, **options) as source:
        await device.publish("unit/flow", "31", qos=2)
        assert await values(source, 1, ack=True) == [31]


@PROTOCOLS
async def test_the_broker_keeps_messages_while_the_gateway_is_away(broker: Broker, device: Device, tmp_path: Path, protocol: str) -> None:
    """W-43: persistent session."""
    options = {"protocol": protocol, "id": f"away-{protocol.replace('.', '-')}"}
    async with connected(broker, tmp_path, **options):
        pass
    await asyncio.to_thread(device.send, *(("unit/flow", str(number)) for number in range(200)))
    async with connected(broker, tmp_path, **options) as source:
        assert await values(source, 200, ack=True) == list(range(200))


async def test_acknowledgements_keep_the_order_of_arrival(broker: Broker, device: Device, tmp_path: Path) -> None:
    """[MQTT-4.6.0-2]: a batch that is stored early waits for the one before it."""
    async with connected(broker, tmp_path, id="order") as source:
        await device.publish("unit/flow", "1")
        await take(source, 1)
        await device.publish("unit/flow", "2")
        _, _, second = await take(source, 1)
        await second[0].ack()
    async with connected(broker, tmp_path, id="order") as source:
        assert await values(source, 2, ack=True) == [1, 2]


async def test_a_refused_batch_comes_again_before_what_follows(broker: Broker, device: Device, tmp_path: Path) -> None:
    """A nack breaks the connection: only then does a broker offer a message again, and in its place."""
    async with connected(broker, tmp_path, id="nack") as source:
        await device.publish("unit/flow", "1")
        _, _, batches = await take(source, 1)
        await device.publish("unit/flow", "2")
        await batches[0].nack("the disk is full")
        with pytest.raises(SourceUnavailable, match="the disk is full"):
            await source.read()
        await batches[0].ack()  # too late: must not acknowledge anything on a later connection
        await source.connect()
        await batches[0].ack()
        assert await values(source, 2, ack=True) == [1, 2]


@PROTOCOLS
async def test_what_is_held_is_bounded(broker: Broker, device: Device, tmp_path: Path, protocol: str) -> None:
    """Without acknowledgements the source stops taking messages: receive maximum in MQTT 5, an unread socket in 3.1.1."""
    options = {"protocol": protocol, "id": f"bounded-{protocol.replace('.', '-')}", "max_in_flight": 10, "keepalive": 2}
    numbers = list(range(200))
    async with connected(broker, tmp_path, **options) as source:
        await asyncio.to_thread(device.send, *(("unit/flow", str(number)) for number in numbers))
        held = []
        try:
            # in 3.1.1 twice the keepalive: a connection that is not read stays alive
            async with asyncio.timeout(4.0 if protocol == "3.1.1" else 1.0):
                while True:
                    held.append(await source.read())
        except TimeoutError:
            pass
        # the source notices that it is full by the first message too many
        assert sum(len(batch.readings) for batch in held) == (10 if protocol == "5" else 11)
        for batch in held:
            await batch.ack()
        seen = [reading.value for batch in held for reading in batch.readings]
        while len(seen) < len(numbers):
            seen += await values(source, 1, ack=True)
        assert seen == numbers


@PROTOCOLS
async def test_a_killed_broker_loses_nothing_it_has_saved(tmp_path: Path, protocol: str) -> None:
    """P-118, W-43: the broker is killed with messages waiting; it comes back with its database, and so do the messages."""
    with Broker() as broker:
        source = source_on(broker.port, tmp_path, protocol=protocol)
        await source.connect()
        with Device(broker.port) as device:
            await asyncio.to_thread(device.send, *(("unit/flow", str(number)) for number in range(20)))
            assert await values(source, 10, ack=False) is not None
        await asyncio.to_thread(broker.save)
        await asyncio.to_thread(broker.kill)
        with pytest.raises(SourceUnavailable, match="MQTT broker"):
            await take(source, 1000)
        with pytest.raises(SourceUnavailable, match="cannot be reached"):
            await source.connect()
        await asyncio.to_thread(broker.start)
        await source.connect()
        assert await values(source, 20, ack=True) == list(range(20))
        await source.close()


@pytest.mark.parametrize(("protocol", "qos"), [("5", 1), ("3.1.1", 1), ("5", 2)])
async def test_a_killed_gateway_loses_nothing(tmp_path: Path, protocol: str, qos: int) -> None:
    """P-117, P-118, W-43: SIGKILL at random moments, before and after acknowledging; everything published is stored, in order."""
    chance = random.Random(f"{protocol}/{qos}")
    count, published = 1500, 0
    with Broker() as broker:
        stored = tmp_path / "stored"
        stored.touch()
        await _run_reader(broker, tmp_path, protocol, qos, until=0)  # makes the session
        with Device(broker.port) as device:
            while published < count:
                more = chance.randrange(200, 600)
                messages = [("unit/flow", str(number)) for number in range(published, published + more)]
                await asyncio.to_thread(device.send, *messages, qos=2)
                published += more
                await _run_reader(broker, tmp_path, protocol, qos, until=len(_numbers(stored)) + chance.randrange(1, 200))
        await _run_reader(broker, tmp_path, protocol, qos, until=published, distinct=True)
        numbers = _numbers(stored)
    assert set(numbers) == set(range(published))
    first_seen = list(dict.fromkeys(numbers))
    assert first_seen == sorted(first_seen), "order was not kept"


async def test_acknowledging_before_storing_is_caught(tmp_path: Path) -> None:
    """The check above is able to fail: a gateway that acknowledges first loses what it held when it is killed."""
    with Broker("log_type all") as broker:
        await _run_reader(broker, tmp_path, "5", 1, until=0)
        with Device(broker.port) as device:
            await asyncio.to_thread(device.send, *(("unit/flow", str(number)) for number in range(20)))
            defective = _reader(broker, tmp_path, "5", 1, "acknowledge-first")
            try:
                async with asyncio.timeout(PATIENCE):
                    while "Received PUBACK from trunkline" not in (broker.folder / "mosquitto.log").read_text(errors="replace"):
                        await asyncio.sleep(0.02)
            finally:
                defective.kill()
                defective.wait()
            await device.publish("unit/flow", "20")
        await _run_reader(broker, tmp_path, "5", 1, until=1)
        assert 0 not in _numbers(tmp_path / "stored")


async def test_topics_taken_out_of_the_configuration_stay_away(broker: Broker, device: Device, tmp_path: Path) -> None:
    """A persistent session would keep old subscriptions for ever."""
    old = {**FLOW, "topic": "unit/old"}
    async with connected(broker, tmp_path, id="changed", tags=[FLOW, {**old, "path": "OLD"}]):
        pass
    async with connected(broker, tmp_path, id="changed") as source:
        await device.publish("unit/old", "1")
        await device.publish("unit/flow", "2")
        assert await values(source, 1, ack=True) == [2]
        assert source.unmatched == 0


async def test_messages_of_nobody_are_counted_and_acknowledged(broker: Broker, device: Device, tmp_path: Path) -> None:
    async with connected(broker, tmp_path, id="nobody", subscribe=["unit/#"], max_in_flight=5) as source:
        for number in range(20):
            await device.publish("unit/other", str(number))
        await device.publish("unit/flow", "1")
        assert await values(source, 1, ack=True) == [1]
        assert source.unmatched == 20


@PROTOCOLS
async def test_retained_messages_are_uncertain_without_a_time(broker: Broker, device: Device, tmp_path: Path, protocol: str) -> None:
    """The broker does not say how old a retained message is."""
    tag = {**FLOW, "topic": f"retained/{protocol}"}
    await device.publish(tag["topic"], "7", retain=True)
    async with connected(broker, tmp_path, id="retained", protocol=protocol, tags=[tag]) as source:
        readings, _, _ = await take(source, 1)
        assert (readings[0].value, readings[0].quality) == (7, Quality.UNCERTAIN_INITIAL)
    async with connected(broker, tmp_path, id="not-retained", protocol=protocol, tags=[tag], retained=False) as source:
        await device.publish(tag["topic"], "8")
        assert await values(source, 1, ack=True) == [8]


async def test_a_second_client_with_the_same_id_is_named(broker: Broker, tmp_path: Path) -> None:
    async with connected(broker, tmp_path, id="twin") as source, connected(broker, tmp_path, id="twin"):
        with pytest.raises(SourceUnavailable, match="client id"):
            await asyncio.wait_for(source.read(), PATIENCE)


async def test_a_forgotten_session_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker without a database forgets what waits when it is killed: that cannot be mended, but it can be known."""
    with Broker() as broker:
        for forgotten in (False, False, True):
            if forgotten:
                await asyncio.to_thread(broker.kill)
                await asyncio.to_thread(broker.start)
            async with connected(broker, tmp_path):
                assert ("has forgotten the session" in caplog.text) is forgotten


async def test_connecting_can_be_cancelled(tmp_path: Path) -> None:
    """A server that accepts and says nothing, in the middle of the TLS handshake: the attempt ends at once and leaves no socket."""
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        gone.set()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        source = source_on(server.sockets[0].getsockname()[1], tmp_path, timeout=2, tls={})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.connect(), 0.2)
        await asyncio.wait_for(gone.wait(), PATIENCE)


async def test_other_protocols_on_the_port_are_garbage(tmp_path: Path) -> None:
    """A server that does not speak MQTT is SourceUnavailable, whatever it sends."""
    answers = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x20\x02\x00",
        b"\x30\xff\xff\xff\xff\xff",
        b"\x20\x03\x00\x00\x99",
        b"",
        bytes(range(256)) * 50,
    ]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answers[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        source = source_on(server.sockets[0].getsockname()[1], tmp_path, timeout=2)
        while answers:
            with pytest.raises(SourceUnavailable):
                await source.connect()
            answers.pop(0)


def _numbers(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def _reader(broker: Broker, folder: Path, protocol: str, qos: int, order: str) -> "subprocess.Popen[bytes]":
    arguments = [str(broker.port), str(folder), str(folder / "stored"), protocol, str(qos), order]
    return subprocess.Popen([sys.executable, "-m", "trunkline.sources.mqtt.tests.reader", *arguments])


async def _run_reader(broker: Broker, folder: Path, protocol: str, qos: int, *, until: int, distinct: bool = False) -> None:
    """Run the reader until so many readings are stored (0: until it has its session), then kill it."""
    reader = _reader(broker, folder, protocol, qos, "store-first")
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                numbers = _numbers(folder / "stored")
                enough = len(set(numbers)) >= until if distinct else len(numbers) >= until
                if enough and (until or (folder / "subscriptions.json").exists()):
                    return
                assert reader.poll() is None, "the reader ended by itself"
                await asyncio.sleep(0.002)
    finally:
        reader.kill()
        reader.wait()
