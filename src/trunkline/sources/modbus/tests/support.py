"""Helpers of the Modbus tests."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.model.reading import Reading, Value
from trunkline.sources.modbus.config import ModbusConfig
from trunkline.sources.modbus.source import ModbusSource
from trunkline.sources.modbus.tests.devices import Device, Front, Registers
from trunkline.sources.port import SourceContext

#: generous: a loaded machine may be slow, but nothing here waits this long on purpose
PATIENCE = 30.0


def context(now: Callable[[], int] = times.now) -> SourceContext:
    """Return surroundings of a source under test."""
    return SourceContext("gateway-1", Path(tempfile.gettempdir()), now, lambda reference: reference)


def configure(tags: Iterable[dict[str, Any]], **options: Any) -> ModbusConfig:
    """Return a checked configuration of a TCP source."""
    given = {"id": "plc", "type": "modbus", "host": "127.0.0.1", "port": 502, "poll_interval_ms": 10, "timeout_ms": 10_000, **options}
    return ModbusConfig.model_validate({**given, "tags": list(tags)})


def tag(path: str, address: str | int, form: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a tag's section of the site file."""
    return {"path": path, "address": address, **({"format": form} if form else {}), **more}


async def scan(source: ModbusSource) -> dict[str, tuple[Value, int]]:
    """Return value and quality by tag of the next scan."""
    async with asyncio.timeout(PATIENCE):
        return judged((await source.read()).readings)


async def fails(source: ModbusSource) -> str:
    """Read until the source says that it is unavailable; return why."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await source.read()
        except SourceUnavailable as error:
            return str(error)


def judged(readings: Iterable[Reading]) -> dict[str, tuple[Value, int]]:
    """Return value and quality by tag; each tag may come once."""
    readings = list(readings)
    found = {one.tag: (one.value, one.quality) for one in readings}
    assert len(found) == len(readings)
    return found


@asynccontextmanager
async def plant(units: Registers) -> AsyncIterator[tuple[Device, Front]]:
    """A device behind a front."""
    device, front = Device(units), Front()
    await device.start()
    await front.start(device.port)
    try:
        yield device, front
    finally:
        await front.stop()
        await device.stop()


@asynccontextmanager
async def connected(config: ModbusConfig) -> AsyncIterator[ModbusSource]:
    """A source that is connected."""
    source = ModbusSource(config, context())
    await source.connect()
    try:
        yield source
    finally:
        await source.close()
