"""What a plant does to a connection: cuts, restarts, freezes, nonsense. Nothing may hang, leak or go unnoticed."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trunkline.model.errors import SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.tests.proxy import Proxy
from trunkline.sources.opcua.tests.server import URI, DeviceServer, free_port
from trunkline.sources.opcua.tests.support import WAIT, Connected, first_of, read_until, settings, tag

MODES = pytest.mark.parametrize("mode", ["subscribe", "poll"])


@pytest.fixture
async def proxy(device: DeviceServer) -> AsyncIterator[Proxy]:
    between = Proxy(("127.0.0.1", device.port))
    await between.start()
    yield between
    await between.stop()


async def lost(source: OpcUaSource) -> str:
    """Read until the source says that the connection is lost; return what it says."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await source.read()
            except SourceUnavailable as error:
                return str(error)


async def reconnected(source: OpcUaSource) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await source.connect()
            except SourceUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


@MODES
async def test_unplugged_and_plugged_again(mode: str, device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    node = device.add(f"Unplugged {mode}", 1.0)
    config = settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], mode=mode)
    async with connected(config) as source:
        await first_of(source, "P.A")
        await proxy.unplug()
        await lost(source)
        with pytest.raises(SourceUnavailable):
            await source.read()
        with pytest.raises(SourceUnavailable):
            await source.connect()
        device.set(f"Unplugged {mode}", 2.0)
        await proxy.plug()
        await source.connect()
        assert (await first_of(source, "P.A"))["P.A"].value == 2.0


@MODES
async def test_frozen_server_is_noticed(mode: str, device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    """A server that accepts and never answers: noticed by the watchdog, closing does not hang, connecting ends."""
    node = device.add(f"Frozen {mode}", 1.0)
    config = settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], mode=mode, timeout=0.5, watchdog_interval=0.2)
    async with connected(config) as source:
        await first_of(source, "P.A")
        await proxy.freeze()
        assert "no answer" in await lost(source)
        with pytest.raises(SourceUnavailable, match="does not answer"):
            await source.connect()
        await proxy.plug()
        await reconnected(source)
        assert (await first_of(source, "P.A"))["P.A"].value == 1.0


async def test_watchdog_notices_between_scans(device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    """The next scan is far away: the watchdog finds out, and the waiting read ends."""
    node = device.add("Watched", 1.0)
    slow = {"mode": "poll", "poll_interval": 10_000, "timeout": 0.5, "watchdog_interval": 0.2}
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], **slow)) as source:
        await first_of(source, "P.A")
        await proxy.freeze()
        assert "no answer to ReadRequest within 0.5 s" in await lost(source)


async def test_close_while_frozen_is_bounded(device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    """The device freezes and nobody has noticed yet: closing cuts the connection after a second."""
    node = device.add("Frozen at close", 1.0)
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], timeout=1000)) as source:
        await first_of(source, "P.A")
        await proxy.freeze()
        async with asyncio.timeout(WAIT):
            await source.close()
            await source.close()


@MODES
async def test_nonsense_in_a_session(mode: str, device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    node = device.add(f"Nonsense {mode}", 1.0)
    async with connected(settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)], mode=mode, timeout=0.5)) as source:
        await first_of(source, "P.A")
        await proxy.garbage()
        await lost(source)
        with pytest.raises(SourceUnavailable):
            await source.connect()
        await proxy.plug()
        await reconnected(source)
        assert (await first_of(source, "P.A"))["P.A"].value == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"ACKF\x08\x00\x00\x00",
        b"ACKF\x1c\x00\x00\x00" + bytes(20),
        b"ERRF\x10\x00\x00\x00\x00\x00\x83\x80\xff\xff\xff\xff",
        b"MSGF\xff\xff\xff\xff",
        bytes(64),
    ],
    ids=["http", "short acknowledge", "empty acknowledge", "error message", "endless message", "zeros"],
)
async def test_not_an_opcua_server(answer: bytes, connected: Connected) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(SourceUnavailable):
        async with connected(settings(f"opc.tcp://127.0.0.1:{port}", [], timeout=0.3)):
            pass
    server.close()


async def test_reconnect_storm(device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    """Cut at every moment of connecting and reading: always a clear error, never a leak, and in the end the value."""
    node = device.add("Storm", 5.0)
    config = settings(f"opc.tcp://127.0.0.1:{proxy.port}", [tag("P.A", node)])

    async def cut_now_and_then() -> None:
        for step in range(25):
            await asyncio.sleep(0.003 * step)
            await proxy.cut()

    async with connected(config) as source:
        async with asyncio.TaskGroup() as group:
            storm = group.create_task(cut_now_and_then())
            while not storm.done():
                try:
                    await source.connect()
                    async with asyncio.timeout(0.02):
                        await source.read()
                except (SourceUnavailable, TimeoutError):
                    pass
        await reconnected(source)
        assert (await first_of(source, "P.A"))["P.A"].value == 5.0


async def test_cancelled_while_connecting(device: DeviceServer, proxy: Proxy, connected: Connected) -> None:
    config = settings(f"opc.tcp://127.0.0.1:{proxy.port}", [])
    async with connected(config) as source:
        for moment in range(12):
            connecting = asyncio.create_task(source.connect())
            await asyncio.sleep(0.004 * moment)
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await source.close()


async def test_read_ends_when_cancelled_and_loses_nothing(device: DeviceServer, connected: Connected) -> None:
    node = device.add("Cancelled", 0.0)
    async with connected(settings(device.endpoint, [tag("P.A", node)])) as source:
        await first_of(source, "P.A")
        found: list[Reading] = []
        for value in range(1, 6):
            reading = asyncio.create_task(source.read())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():  # it was faster
                found.extend(reading.result().readings)
            await asyncio.to_thread(device.set, "Cancelled", float(value))
        found += await read_until(source, lambda readings: len(found) + len(readings) >= 5)
    assert [reading.value for reading in found] == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_restart_with_other_namespace_indexes(connected: Connected) -> None:
    """Namespace indexes are looked up again at every connect: the address by URI finds its variable wherever it went."""
    device = DeviceServer(namespaces=(URI,))
    await asyncio.to_thread(device.start)
    try:
        node = device.add("Moved", 1.0)
        async with connected(settings(device.endpoint, [tag("P.A", node), tag("P.B", "ns=2;s=Moved")])) as source:
            found = await first_of(source, "P.A", "P.B")
            assert (found["P.A"].value, found["P.B"].value) == (1.0, 1.0)
            await asyncio.to_thread(device.stop)
            await lost(source)
            device.namespaces = ("http://plant.example/new", URI)
            await asyncio.to_thread(device.start)
            device.add("Moved", 2.0)
            await reconnected(source)
            found = await first_of(source, "P.A", "P.B")
            assert found["P.A"].value == 2.0
            assert found["P.B"].quality == Quality.BAD_UNKNOWN_ADDRESS
    finally:
        await asyncio.to_thread(device.stop)


async def test_secure_channel_is_renewed(device: DeviceServer, connected: Connected) -> None:
    """The keys are renewed again and again while data flows; nothing is lost."""
    node = device.add("Renewed", 0.0)
    config = settings(device.endpoint, [tag("P.A", node)], channel_lifetime=0.4)
    async with connected(config) as source:
        channel = source._session._client.uaclient.protocol._connection
        first = channel.security_token.TokenId
        value = 0
        async with asyncio.timeout(WAIT):
            while channel.security_token.TokenId < first + 4:
                value += 1
                await asyncio.to_thread(device.set, "Renewed", float(value))
                await asyncio.sleep(0.05)
        found = await read_until(source, lambda readings: readings[-1:] != [] and readings[-1].value == float(value))
    assert [reading.value for reading in found] == [float(step) for step in range(value + 1)]


async def test_stopped_process_is_noticed(tmp_path: Path, connected: Connected) -> None:
    """A server process under SIGSTOP keeps its connections open and says nothing: noticed in bounded time."""
    port = free_port()
    script = tmp_path / "device.py"
    script.write_text(
        "import sys, time\n"
        "from trunkline.sources.opcua.tests.server import DeviceServer\n"
        f"device = DeviceServer(port={port}).start()\n"
        "device.add('Flow', 3.0)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(script), stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT):
            assert await process.stdout.readline() == b"ready\n"
        config = settings(f"opc.tcp://127.0.0.1:{port}", [tag("P.A", f"nsu={URI};s=Flow")], timeout=1.0, watchdog_interval=0.2)
        async with connected(config) as source:
            await first_of(source, "P.A")
            process.send_signal(signal.SIGSTOP)
            assert "no answer" in await lost(source)
            process.send_signal(signal.SIGCONT)
            await reconnected(source)
            assert (await first_of(source, "P.A"))["P.A"].value == 3.0
    finally:
        process.kill()
        await process.wait()
