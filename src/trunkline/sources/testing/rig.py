"""What the contract of sources is run on: an installed plugin, the device that it brings, and a source between them.

A plugin brings the device: the module `<plugin package>.tests.harness`, with a class `Harness` that is made without arguments:

| member                        | what it does                                                                              |
| ----------------------------- | ----------------------------------------------------------------------------------------- |
| `async start()`, `stop()`     | start and end the device                                                                  |
| `config() -> dict`            | section of the site file that reads it                                                    |
| `tags() -> dict[path, kind]`  | every tag of that section, with its kind as `Kind` or as the word of the site file        |
| `async set(path, value)`      | the device measures a value                                                               |
| `async unplug()`, `plug()`    | the device disappears, and is there and sane again, whatever was done to it               |
| `async freeze()`, `thaw()`    | it falls silent without closing anything, and answers again                               |
| `async garbage()`             | it sends what makes no sense, once or until `plug`                                        |
| `reads_back: bool`            | what the source writes is what the tag reads afterwards                                   |
| `can_set = False`             | optional: `set` does not work, every tag has values of its own                            |
| `can_unplug = False`          | optional: there is nothing to unplug, freeze or garble                                    |
| `secrets: dict[str, str]`     | optional: secret references of the section and their values, which no error may show      |

The plugin needs nothing else: it is found by its entry point, so that a third party's package is held to the same contract.
"""

import asyncio
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from trunkline.config.plugins import source_point
from trunkline.config.tags import KINDS, SourceConfig
from trunkline.model import quality, times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.sources.port import ReadBatch, Source, SourceContext, SourcePlugin

#: Seconds until a condition that must come true is given up; sources time out after a few.
PATIENCE = 30.0

FIRST: dict[Kind, Value] = {Kind.DOUBLE: 12.5, Kind.INTEGER: 2**53 + 1, Kind.BOOLEAN: True, Kind.TEXT: "running"}
SECOND: dict[Kind, Value] = {Kind.DOUBLE: -3.25, Kind.INTEGER: -7, Kind.BOOLEAN: False, Kind.TEXT: "idle"}


class Clock:
    """The context's clock, which can be turned."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        """Return the present time as the clock shows it, µs UTC."""
        return times.now() + self.offset


def package(name: str) -> str:
    """Return the package of an installed plugin."""
    return source_point(name).module


def harness_of(name: str) -> type[Any]:
    """Return the harness class of an installed plugin."""
    found: type[Any] = import_module(f"{package(name)}.tests.harness").Harness
    return found


@dataclass
class Rig:
    """A plugin with its device, and a source on it.

    Attributes:
        plugin: what is held to the contract.
        harness: its device.
        directory: for the files of the source.
        clock: the source's, which checks turn.
    """

    plugin: SourcePlugin
    harness: Any
    directory: Path
    clock: Clock = field(default_factory=Clock)
    checkpoint: str | None = None
    _source: Source | None = None

    @property
    def kinds(self) -> dict[str, Kind]:
        """The kind of every tag by its path."""
        return {path: kind if isinstance(kind, Kind) else KINDS[kind] for path, kind in self.harness.tags().items()}

    @property
    def source(self) -> Source:
        """The source; made at the first use, then the same object."""
        if self._source is None:
            config = self.plugin.config.model_validate(self.harness.config())
            secrets: dict[str, str] = getattr(self.harness, "secrets", {})
            context = SourceContext("gateway-1", self.directory, self.clock, secrets.__getitem__, lambda: self.checkpoint)
            self._source = self.make(config, context)
        return self._source

    def make(self, config: SourceConfig, context: SourceContext) -> Source:
        """Return a source as a gateway makes it."""
        return self.plugin.create(config, context)

    def is_discreet(self, *texts: str) -> None:
        """Check that no text shows a secret."""
        for secret in getattr(self.harness, "secrets", {}).values():
            assert not any(secret in text for text in texts), "a secret is shown"

    def note(self, error: SourceUnavailable | SourceMisconfigured) -> None:
        """Check an error that a source raised: it speaks, and shows no secret."""
        assert str(error), f"{type(error).__name__} without a word"
        self.is_discreet(repr(error), *traceback.format_exception(error))

    async def connected(self) -> None:
        """Connect as the gateway does: again and again while the device is unavailable."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.source.connect()
                except SourceUnavailable as error:
                    self.note(error)
                    await asyncio.sleep(0.1)

    async def keep(self, batch: ReadBatch) -> None:
        """Do what the gateway does once a batch is durable."""
        self.checkpoint = self.checkpoint if batch.checkpoint is None else batch.checkpoint
        await batch.ack()

    async def restart(self) -> None:
        """Go on with a new source, as after a kill of the gateway."""
        await self.source.close()
        self._source = None
        await self.connected()

    async def batch(self) -> ReadBatch:
        """Read, check what came, keep it; connect again when the connection is lost."""
        while True:
            before = self.clock()
            try:
                batch = await self.source.read()
            except SourceUnavailable as error:
                self.note(error)
                await self.connected()
                continue
            self.check(batch.readings, before)
            await self.keep(batch)
            return batch

    def check(self, readings: Iterable[Reading], since: int) -> None:
        """Check readings: known tags, kinds as declared, stamps of the context's clock (messages may have waited since `since`)."""
        for reading in readings:
            assert reading.tag in self.kinds
            assert 0 <= reading.quality <= 0xFFFF
            kept = coerce(reading.value, self.kinds[reading.tag])
            assert (type(kept), kept) == (type(reading.value), reading.value), f"{reading} is not of the tag's kind"
            assert reading.value is not None or quality.severity(reading.quality) is quality.Severity.BAD, reading
            assert since - times.MINUTE <= reading.gateway_time <= self.clock() + times.SECOND, reading
            assert reading.source_time is None or isinstance(reading.source_time, int)

    async def shows(self, wanted: dict[str, Value]) -> dict[str, Reading]:
        """Have the device measure the values again and again, and read until every tag shows its own with GOOD quality."""
        seen: dict[str, Reading] = {}

        async def measure() -> None:
            while True:
                for path, value in wanted.items():
                    if path not in seen:
                        await self.harness.set(path, value)
                await asyncio.sleep(0.25)

        measuring = asyncio.create_task(measure()) if getattr(self.harness, "can_set", True) else None
        try:
            async with asyncio.timeout(PATIENCE):
                while len(seen) < len(wanted):
                    for reading in (await self.batch()).readings:
                        if reading.quality == quality.Quality.GOOD and (measuring is None or reading.value == wanted[reading.tag]):
                            seen[reading.tag] = reading
        except TimeoutError:
            raise AssertionError(f"never read: {', '.join(path for path in wanted if path not in seen)}") from None
        finally:
            if measuring is not None:
                measuring.cancel()
                await asyncio.wait((measuring,))
        return seen

    async def works(self, values: dict[Kind, Value] = FIRST) -> dict[str, Reading]:
        """Check that every tag is read."""
        return await self.shows({path: values[kind] for path, kind in self.kinds.items()})

    async def close(self) -> None:
        """Close the source and bring the device back to its senses."""
        if self._source is not None:
            await self._source.close()
        await self.harness.plug()
        await self.harness.thaw()
