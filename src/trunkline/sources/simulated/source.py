"""The simulated source."""

import asyncio
from collections.abc import Iterator

from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading, Value, coerce
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand
from trunkline.sources.simulated.config import SimulatedConfig, SimulatedTagConfig
from trunkline.sources.simulated.signals import values


class SimulatedSource:
    """Makes a reading of every tag each interval, stamped with the context's clock; the values depend on seed and step alone."""

    def __init__(self, config: SimulatedConfig, context: SourceContext) -> None:
        """Prepare a source."""
        self._config = config
        self._context = context
        self._interval = config.interval_ms / 1000
        self._signals: list[tuple[SimulatedTagConfig, Iterator[Value]]] | None = None
        self._written: dict[str, Value] = {}
        self._due = 0.0

    async def connect(self) -> None:
        """Start every signal from its first step."""
        self._signals = [(tag, values(tag, self._config.seed, self._interval)) for tag in self._config.tags]
        self._written.clear()
        self._due = asyncio.get_running_loop().time()

    async def read(self) -> ReadBatch:
        """Sleep until the next step is due and return a reading of every tag. Raises SourceUnavailable before `connect`."""
        loop = asyncio.get_running_loop()
        # the loop's clock, not the stamps' clock: a step of the latter must not stall the signals
        await asyncio.sleep(max(0.0, self._due - loop.time()))
        if self._signals is None:
            raise SourceUnavailable(f"simulated source {self._config.id} is not connected")
        self._due += self._interval
        if self._due <= loop.time():  # held up: go on from now instead of catching up in a burst
            self._due = loop.time() + self._interval
        now = self._context.now()
        return ReadBatch([self._reading(tag, next(signal), now) for tag, signal in self._signals])

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Hold a writable tag at a value."""
        tag = next((tag for tag in self._config.tags if tag.path == command.tag), None)
        if tag is None or not tag.writable:
            raise SourceMisconfigured(f"tag {command.tag} of source {self._config.id} cannot be written: set 'writable: true'")
        if self._signals is None:
            raise SourceUnavailable(f"simulated source {self._config.id} is not connected")
        try:
            value = coerce(command.value, tag.value_kind)
        except (TypeError, OverflowError):
            return CommandOutcome.REFUSED
        if value is None:
            return CommandOutcome.REFUSED
        self._written[tag.path] = value
        return CommandOutcome.DONE

    async def browse(self, at: str) -> list[BrowseNode]:
        """There is nothing to browse. Raises NotImplementedError."""
        raise NotImplementedError(f"simulated source {self._config.id} has no device to browse ({at!r})")

    async def close(self) -> None:
        """Stop the signals."""
        self._signals = None

    def _reading(self, tag: SimulatedTagConfig, value: Value, now: int) -> Reading:
        if value is None:
            return Reading(tag.path, None, Quality.BAD_SENSOR_FAULT, now, now)
        return Reading(tag.path, self._written.get(tag.path, value), Quality.GOOD, now, now)
