"""Fixtures: one plain server for the whole run, a source factory that always closes, certificates of a server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from trunkline.model import times
from trunkline.sources.opcua.config import OpcUaConfig
from trunkline.sources.opcua.source import OpcUaSource
from trunkline.sources.opcua.tests.desk import Desk
from trunkline.sources.opcua.tests.server import DeviceServer
from trunkline.sources.opcua.tests.support import Connected, Durable
from trunkline.sources.port import SourceContext

SECRETS = {"${secret:opcua}": "open-sesame", "${secret:wrong}": "swordfish"}


@pytest.fixture(scope="session")
def device() -> Iterator[DeviceServer]:
    server = DeviceServer().start()
    yield server
    server.stop()


@pytest.fixture
def desk(device: DeviceServer) -> Iterator[Desk]:
    """Sends events of `device`; its conditions are forgotten afterwards."""
    one = Desk(device)
    yield one
    one.clear()


@pytest.fixture
def durable() -> Durable:
    return Durable()


@pytest.fixture
def context(tmp_path: Path, durable: Durable) -> SourceContext:
    return SourceContext("test", tmp_path, times.now, SECRETS.__getitem__, durable.checkpoint)


@pytest.fixture
def connected(context: SourceContext, durable: Durable) -> Connected:
    """`async with connected(config) as source`: a connected source; checks that it leaves no task behind."""

    @asynccontextmanager
    async def connect(config: OpcUaConfig) -> AsyncIterator[OpcUaSource]:
        before = asyncio.all_tasks()
        source = OpcUaSource(config, context)
        durable.follow(source)
        try:
            await source.connect()
            yield source
        finally:
            await source.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= before

    return connect
