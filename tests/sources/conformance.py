"""The contract of every source plugin, run against a real device by `test_conformance.py`.

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
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from trunkline.config.tags import KINDS
from trunkline.model import quality, times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.sources.port import ENTRY_POINT_GROUP, CommandOutcome, ReadBatch, Source, SourceContext, SourcePlugin, WriteCommand, plugins

#: Seconds until a condition that must come true is given up; sources time out after a few.
PATIENCE = 30.0
#: Seconds of watching for things that must not happen.
WATCH = 1.5
#: Reads of one source that may end within WATCH: the harnesses scan every 20 ms at the fastest.
MOST_READS = 200

FIRST: dict[Kind, Value] = {Kind.DOUBLE: 12.5, Kind.INTEGER: 2**53 + 1, Kind.BOOLEAN: True, Kind.TEXT: "running"}
SECOND: dict[Kind, Value] = {Kind.DOUBLE: -3.25, Kind.INTEGER: -7, Kind.BOOLEAN: False, Kind.TEXT: "idle"}


class Clock:
    """The context's clock, which can be turned."""

    def __init__(self) -> None:
        self.offset = 0

    def __call__(self) -> int:
        return times.now() + self.offset


def package(name: str) -> str:
    """Return the package of an installed plugin."""
    (point,) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return point.module


def harness_of(name: str) -> type[Any]:
    """Return the harness class of an installed plugin."""
    found: type[Any] = import_module(f"{package(name)}.tests.harness").Harness
    return found


@dataclass
class Rig:
    """A plugin with its device, and a source on it."""

    plugin: SourcePlugin
    harness: Any
    directory: Path
    clock: Clock = field(default_factory=Clock)
    _source: Source | None = None

    @property
    def kinds(self) -> dict[str, Kind]:
        return {path: kind if isinstance(kind, Kind) else KINDS[kind] for path, kind in self.harness.tags().items()}

    @property
    def source(self) -> Source:
        """The source; made at the first use, then the same object."""
        if self._source is None:
            config = self.plugin.config.model_validate(self.harness.config())
            secrets: dict[str, str] = getattr(self.harness, "secrets", {})
            self._source = self.plugin.create(config, SourceContext("gateway-1", self.directory, self.clock, secrets.__getitem__))
        return self._source

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

    async def batch(self) -> ReadBatch:
        """Read, check what came, acknowledge it; connect again when the connection is lost."""
        while True:
            before = self.clock()
            try:
                batch = await self.source.read()
            except SourceUnavailable as error:
                self.note(error)
                await self.connected()
                continue
            self.check(batch.readings, before)
            await batch.ack()
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


Check = Callable[[Rig], Awaitable[None]]
CHECKS: dict[str, tuple[Check, bool]] = {}


def check(run: Check) -> Check:
    """Add a check that every source must pass."""
    CHECKS[run.__name__] = (run, False)
    return run


def check_with_faults(run: Check) -> Check:
    """Add a check for sources whose device can be unplugged, frozen and garbled."""
    CHECKS[run.__name__] = (run, True)
    return run


def cases() -> list[tuple[str, str]]:
    """Return (plugin, check) for everything that applies."""
    return [
        (plugin, name)
        for plugin in sorted(plugins())
        for name, (_, faults) in CHECKS.items()
        if not faults or getattr(harness_of(plugin), "can_unplug", True)
    ]


async def unavailable(rig: Rig) -> None:
    """Read until the source says that the connection is lost. Readings may still come before."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await (await rig.source.read()).ack()
            except SourceUnavailable as error:
                return rig.note(error)


async def watched(rig: Rig) -> tuple[int, int]:
    """Read for a while as the gateway does; return how many reads ended, and how many of those brought nothing."""
    ended = empty = 0
    try:
        async with asyncio.timeout(WATCH):
            while True:
                try:
                    batch = await rig.source.read()
                    ended += 1
                    empty += not batch.readings and not batch.events and not batch.alive
                    await batch.ack()
                except SourceUnavailable as error:
                    rig.note(error)
                    ended += 1
                    await asyncio.sleep(0.1)
                    try:
                        await rig.source.connect()
                    except (SourceUnavailable, SourceMisconfigured) as refused:
                        rig.note(refused)
    except TimeoutError:
        return ended, empty


@check
async def connects_reads_and_closes(rig: Rig) -> None:
    """Every tag is read, in its kind, stamped with the context's clock; closing is possible twice and before connecting."""
    await rig.source.close()
    await rig.connected()
    await rig.works(FIRST)
    await rig.works(SECOND)
    await rig.source.close()
    await rig.source.close()


@check
async def starts_from_nothing_after_close(rig: Rig) -> None:
    """`connect` after `close` works on the same object, as does `connect` on a connected source."""
    for _ in range(2):
        await rig.connected()
        await rig.works()
        await rig.source.close()
    await rig.connected()
    await rig.connected()
    await rig.works(SECOND)


@check
async def read_can_be_cancelled(rig: Rig) -> None:
    """A waiting read ends when it is cancelled, and the source can be read on."""
    await rig.connected()
    await rig.works()
    for _ in range(5):
        reading = asyncio.ensure_future(rig.source.read())
        await asyncio.sleep(0.01)
        reading.cancel()
        done, _ = await asyncio.wait((reading,), timeout=PATIENCE)
        assert done, "a cancelled read goes on"
    await rig.works(SECOND)


@check
async def stands_turned_clocks(rig: Rig) -> None:
    """The context's clock may jump by an hour either way: reading goes on, stamped with the clock as it is."""
    await rig.connected()
    for values, offset in ((FIRST, times.HOUR), (SECOND, -times.HOUR), (FIRST, 0)):
        rig.clock.offset = offset
        await rig.batch() if not getattr(rig.harness, "can_set", True) else None
        for reading in (await rig.works(values)).values():
            assert abs(reading.gateway_time - rig.clock()) < PATIENCE * times.SECOND


@check
async def goes_on_after_nack(rig: Rig) -> None:
    """What could not be stored is refused; the source then goes on, after a new connection if it needs one."""
    await rig.connected()
    await rig.works()
    if getattr(rig.harness, "can_set", True):
        for path, kind in rig.kinds.items():
            await rig.harness.set(path, SECOND[kind])
    batch = await asyncio.wait_for(rig.source.read(), PATIENCE)
    await batch.nack("the disk is full")
    await rig.works(FIRST)


@check
async def writes_or_says_why_not(rig: Rig) -> None:
    """A write ends with an outcome or SourceMisconfigured; what is DONE is read back where the device can."""
    await rig.connected()
    await rig.works()
    with pytest.raises(SourceMisconfigured) as unknown:
        await rig.source.write(WriteCommand("NO.SUCH.TAG", 1.0))
    rig.note(unknown.value)
    done: dict[str, Value] = {}
    for path, kind in rig.kinds.items():
        try:
            outcome = await asyncio.wait_for(rig.source.write(WriteCommand(path, SECOND[kind])), PATIENCE)
        except SourceMisconfigured as error:
            rig.note(error)
            continue
        assert isinstance(outcome, CommandOutcome)
        if outcome is CommandOutcome.DONE:
            done[path] = SECOND[kind]
    if rig.plugin.can_write and rig.harness.reads_back:
        assert done, "no tag could be written"
        async with asyncio.timeout(PATIENCE):
            while done:
                for reading in (await rig.batch()).readings:
                    if reading.tag in done and reading.value == done[reading.tag]:
                        del done[reading.tag]


@check
async def browses_or_says_that_it_cannot(rig: Rig) -> None:
    """Browsing gives nodes where the plugin says it can, and NotImplementedError where not."""
    await rig.connected()
    if not rig.plugin.can_browse:
        with pytest.raises(NotImplementedError):
            await rig.source.browse("")
        return
    nodes = await asyncio.wait_for(rig.source.browse(""), PATIENCE)
    assert all(node.address and (node.branch or not node.kind or node.kind in KINDS) for node in nodes)


@check_with_faults
async def notices_and_survives_unplugging(rig: Rig) -> None:
    """A lost device is SourceUnavailable, from `read` and then from `connect`; when it is back, the same object works."""
    await rig.connected()
    await rig.works()
    await rig.harness.unplug()
    await unavailable(rig)
    with pytest.raises(SourceUnavailable) as refused:
        await asyncio.wait_for(rig.source.connect(), PATIENCE)
    rig.note(refused.value)
    await rig.harness.plug()
    await rig.connected()
    await rig.works(SECOND)


@check_with_faults
async def waits_in_silence(rig: Rig) -> None:
    """While the device is silent `read` waits or says SourceUnavailable; it never spins, and it can be cancelled."""
    await rig.connected()
    await rig.works()
    await rig.harness.freeze()
    ended, empty = await watched(rig)
    assert ended <= MOST_READS, "read returns in a hot loop"
    assert empty <= 3, "read returns without anything"
    await rig.harness.thaw()
    await rig.works(SECOND)


@check_with_faults
async def stands_slow_answers(rig: Rig) -> None:
    """A device that answers after a while is read on, with a new connection or without."""
    await rig.connected()
    await rig.works()
    for values in (SECOND, FIRST):
        await rig.harness.freeze()
        reading = asyncio.ensure_future(rig.batch())
        await asyncio.sleep(0.7)
        await rig.harness.thaw()
        reading.cancel()
        await asyncio.wait((reading,), timeout=PATIENCE)
        assert reading.done()
        await rig.works(values)


@check_with_faults
async def tells_no_outcome_of_a_write_into_silence(rig: Rig) -> None:
    """A write that is not answered is UNKNOWN, or never left because there is no connection; it is never DONE."""
    await rig.connected()
    await rig.works()
    await rig.harness.freeze()
    path, kind = next(iter(rig.kinds.items()))
    try:
        outcome = await asyncio.wait_for(rig.source.write(WriteCommand(path, SECOND[kind])), PATIENCE)
        assert outcome is CommandOutcome.UNKNOWN
    except (SourceUnavailable, SourceMisconfigured) as error:
        rig.note(error)


@check_with_faults
async def stands_garbage(rig: Rig) -> None:
    """Whatever the device sends: BAD readings and SourceUnavailable, nothing else; afterwards the source works again."""
    await rig.connected()
    await rig.works()
    await rig.harness.garbage()
    ended, empty = await watched(rig)
    assert ended <= MOST_READS, "read returns in a hot loop"
    assert empty <= 3, "read returns without anything"
    await rig.harness.plug()
    await rig.works(SECOND)


@check_with_faults
async def leaks_nothing_in_a_reconnect_storm(rig: Rig) -> None:
    """Ten times unplugged and plugged in again: no task, thread or open file more than after the first time."""
    process = psutil.Process(os.getpid())

    async def used() -> tuple[int, int, int]:
        await rig.source.close()
        await asyncio.sleep(0.05)
        return len(asyncio.all_tasks()), process.num_threads(), process.num_fds()

    async def round_trip() -> None:
        await rig.connected()
        await rig.works()
        await rig.harness.unplug()
        await unavailable(rig)
        try:
            await rig.source.connect()
        except SourceUnavailable as error:
            rig.note(error)
        await rig.harness.plug()

    for _ in range(2):
        await round_trip()
    before = await used()
    for _ in range(10):
        await round_trip()
    for _ in range(100):  # the other ends of closed connections go a little later
        after = await used()
        if all(now <= then for now, then in zip(after, before, strict=True)):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"tasks, threads and files were {before}, are {after}: {asyncio.all_tasks()}")


def files_are_complete(plugin: SourcePlugin) -> None:
    """A plugin folder has the same files as every other; its page has the place of the generated table of options."""
    folder = Path(str(import_module(package(plugin.name)).__file__)).parent
    for file in ("config.py", "source.py", "README.md", "example.yaml", "tests"):
        assert (folder / file).exists(), f"{file} is missing"
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert 0 < page.find("<!-- options:begin -->") < page.find("<!-- options:end -->")
    example = YAML(typ="safe").load(folder / "example.yaml")
    config = plugin.config.model_validate(example)
    assert config.type == plugin.name
    assert config.tags, "the example shows no tag"


def unknown_keys_are_refused(plugin: SourcePlugin) -> None:
    """A misspelt option is an error, in the source and in its tags, never ignored."""
    section = harness_of(plugin.name)().config()
    plugin.config.model_validate(section)
    tag = {**section["tags"][0], "no_such_option": 1}
    for wrong in ({**section, "no_such_option": 1}, {**section, "tags": [tag]}):
        with pytest.raises(ValidationError, match="no_such_option"):
            plugin.config.model_validate(wrong)


def quiet(records: Iterable[logging.LogRecord], rig: Rig) -> None:
    """Check that no log line shows a secret."""
    rig.is_discreet(*(record.getMessage() for record in records))
