"""Helpers of the XBee tests."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from trunkline.model import times
from trunkline.model.errors import SourceUnavailable
from trunkline.model.reading import Reading, Value
from trunkline.sources.port import ReadBatch, SourceContext
from trunkline.sources.xbee.config import XBeeConfig
from trunkline.sources.xbee.source import XBeeSource
from trunkline.sources.xbee.tests.radio import NODE, Module

#: generous: a loaded machine may be slow, but nothing here waits this long on purpose
PATIENCE = 30.0


def configure(registers: dict[Any, Any] | None = None, tags: list[dict[str, Any]] | None = None, **options: Any) -> XBeeConfig:
    """Return a checked configuration of one radio, unless `nodes` are given."""
    one = {} if "nodes" in options else {"node_id": NODE}
    given = {"id": "radios", "type": "xbee", "port": "/dev/ttyUSB0", **one, "timeout_ms": 10_000, **options}
    return XBeeConfig.model_validate({**given, "registers": registers or {}, "tags": tags or []})


def tag(path: str, address: str | int, form: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a tag's section of the site file."""
    return {"path": path, "address": address, **({"format": form} if form else {}), **more}


@contextmanager
def module(mode: int = 1) -> Iterator[Module]:
    """A module on a pseudo terminal."""
    with tempfile.TemporaryDirectory(prefix="xbee-") as folder:
        one = Module(Path(folder) / "module", mode)
        try:
            yield one
        finally:
            one.stop()


def context(now: Callable[[], int] = times.now) -> SourceContext:
    """Return surroundings of a source under test."""
    return SourceContext("gateway-1", Path(tempfile.gettempdir()), now, lambda reference: reference)


@asynccontextmanager
async def connected(config: XBeeConfig, now: Callable[[], int] = times.now) -> AsyncIterator[XBeeSource]:
    """A source that is connected."""
    source = XBeeSource(config, context(now))
    await source.connect()
    try:
        yield source
    finally:
        await source.close()


async def batch(source: XBeeSource) -> ReadBatch:
    """Return the next batch."""
    async with asyncio.timeout(PATIENCE):
        return await source.read()


async def readings(source: XBeeSource, count: int) -> list[tuple[str, Value, int]]:
    """Return tag, value and quality of so many readings."""
    found: list[Reading] = []
    while len(found) < count:
        found += (await batch(source)).readings
    assert len(found) == count
    return [(one.tag, one.value, one.quality) for one in found]


async def fails(source: XBeeSource) -> str:
    """Read until the source says that it is unavailable; return why."""
    async with asyncio.timeout(PATIENCE):
        try:
            while True:
                await source.read()
        except SourceUnavailable as error:
            return str(error)
