"""The contract of every source plugin: checks that `trunkline.sources.testing.suite` runs on each one that a test module names.

What a plugin has to bring is told in `trunkline.sources.testing.rig`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable

import psutil
import pytest
import yaml
from pydantic import ValidationError

from trunkline.config.tags import KINDS
from trunkline.model import times
from trunkline.model.errors import SourceMisconfigured, SourceUnavailable
from trunkline.model.reading import Value
from trunkline.sources.catalogue import folder_of
from trunkline.sources.options import options, readme_with
from trunkline.sources.port import CommandOutcome, SourcePlugin, WriteCommand
from trunkline.sources.testing.rig import FIRST, PATIENCE, SECOND, Rig, package

#: Seconds of watching for things that must not happen.
WATCH = 1.5
#: Reads of one source that may end within WATCH: the harnesses scan every 20 ms at the fastest.
MOST_READS = 200

Check = Callable[[Rig], Awaitable[None]]
CHECKS: dict[str, Check] = {}
CHECKS_WITH_FAULTS: dict[str, Check] = {}


def check(run: Check) -> Check:
    """Add a check that every source must pass."""
    CHECKS[run.__name__] = run
    return run


def check_with_faults(run: Check) -> Check:
    """Add a check for sources whose device can be unplugged, frozen and garbled."""
    CHECKS_WITH_FAULTS[run.__name__] = run
    return run


async def unavailable(rig: Rig) -> None:
    """Read until the source says that the connection is lost. Readings may still come before."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await rig.keep(await rig.source.read())
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
                    await rig.keep(batch)
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
async def goes_on_behind_its_checkpoint(rig: Rig) -> None:
    """A source that gives checkpoints reads nothing again that was durable, and everything that was not."""
    await rig.connected()
    await rig.works()
    if rig.checkpoint is None:
        return
    for path, kind in rig.kinds.items():
        await rig.harness.set(path, FIRST[kind])
    kept = {(reading.tag, reading.source_time) for reading in (await rig.batch()).readings}
    await rig.restart()
    for path, kind in rig.kinds.items():
        await rig.harness.set(path, SECOND[kind])
    lost = await asyncio.wait_for(rig.source.read(), PATIENCE)
    assert kept.isdisjoint((reading.tag, reading.source_time) for reading in lost.readings), "what was durable is read again"
    await rig.restart()
    again = await asyncio.wait_for(rig.source.read(), PATIENCE)
    told = [(reading.tag, reading.value, reading.source_time) for reading in lost.readings]
    assert [(reading.tag, reading.value, reading.source_time) for reading in again.readings][: len(told)] == told, "a batch is lost"


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
async def refuses_unknown_keys(rig: Rig) -> None:
    """A misspelt option is an error with its name, in the source and in its tags, never ignored."""
    section = rig.harness.config()
    tag = {**section["tags"][0], "no_such_option": 1}
    for wrong in ({**section, "no_such_option": 1}, {**section, "tags": [tag]}):
        with pytest.raises(ValidationError, match="no_such_option"):
            rig.plugin.config.model_validate(wrong)


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


#: Largest default pool of an event loop (`concurrent.futures.ThreadPoolExecutor`).
MOST_POOL_THREADS = 32


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

    # the loop's own pool of threads grows with use up to its size: let it, so that only others count
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.02) for _ in range(2 * MOST_POOL_THREADS)))
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
    """A plugin folder has the same files as every other; its page has the table of its options, its example is a valid section."""
    folder = folder_of(package(plugin.name))
    for file in ("config.py", "source.py", "README.md", "example.yaml", "tests"):
        assert (folder / file).exists(), f"{folder / file} is missing"
    page = (folder / "README.md").read_text(encoding="utf-8")
    renewed = readme_with(page, options(plugin))
    assert renewed is not None, f"{folder / 'README.md'} has no place for the options"
    assert page == renewed, f"the options in the page are old: run 'trunkline sources show {plugin.name} --into README.md' in its folder"
    config = plugin.config.model_validate(yaml.safe_load((folder / "example.yaml").read_text(encoding="utf-8")))
    assert config.type == plugin.name
    assert config.tags, "the example shows no tag"


def quiet(records: Iterable[logging.LogRecord], rig: Rig) -> None:
    """Check that no log line shows a secret."""
    rig.is_discreet(*(record.getMessage() for record in records))
