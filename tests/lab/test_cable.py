"""A cable relays, can be pulled, plugged again, and fall silent."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from trunkline.lab.cable import Cable


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def cable() -> AsyncIterator[Cable]:
    """A plugged cable to an echo server."""
    server = await asyncio.start_server(_echo, Cable.HOST, 0)
    cable = Cable(0)
    cable.inner = server.sockets[0].getsockname()[1]
    await cable.plug()
    yield cable
    await cable.unplug()
    server.close()
    await server.wait_closed()


async def test_relays_large_data_both_ways(cable: Cable) -> None:
    reader, writer = await asyncio.open_connection(Cable.HOST, cable.port)
    data = bytes(range(256)) * 40_000

    async def send() -> None:
        writer.write(data)
        await writer.drain()

    _, echoed = await asyncio.gather(send(), reader.readexactly(len(data)))
    assert echoed == data
    writer.close()


async def test_unplugged_cuts_and_refuses_until_plugged(cable: Cable) -> None:
    reader, writer = await asyncio.open_connection(Cable.HOST, cable.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    await cable.unplug()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(Cable.HOST, cable.port)
    writer.close()
    await cable.plug()
    await cable.plug()
    reader, writer = await asyncio.open_connection(Cable.HOST, cable.port)
    writer.write(b"y")
    assert await reader.readexactly(1) == b"y"
    writer.close()


async def test_silence_holds_back_and_lets_go(cable: Cable) -> None:
    old_reader, old = await asyncio.open_connection(Cable.HOST, cable.port)
    old.write(b"a")
    assert await old_reader.readexactly(1) == b"a"
    cable.silence(silent=True)
    new_reader, new = await asyncio.open_connection(Cable.HOST, cable.port)
    old.write(b"b")
    new.write(b"c")
    for reader in (old_reader, new_reader):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.2)
    cable.silence(silent=False)
    assert await asyncio.wait_for(old_reader.readexactly(1), 20) == b"b"
    assert await asyncio.wait_for(new_reader.readexactly(1), 20) == b"c"
    old.close()
    new.close()


async def test_a_dead_server_drops_the_caller() -> None:
    cable = Cable(0)
    cable.inner = 1  # nobody listens there
    await cable.plug()
    reader, writer = await asyncio.open_connection(Cable.HOST, cable.port)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    await cable.unplug()
