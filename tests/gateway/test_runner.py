"""The runner ends when it is told to, whatever a protocol library makes of a cancelled request."""

import asyncio
import sys
import threading
from typing import Any, cast

import pytest

from trunkline.config.site import BufferConfig
from trunkline.config.tags import SourceConfig, TagConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.log.codec import columns as codec
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Positions
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater, SourceUnavailable
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand


class Deaf:
    """A source whose library takes a cancelled request for a lost connection, or for an answer that came."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.reading = asyncio.Event()
        self.connects = 0

    async def connect(self) -> None:
        self.connects += 1

    async def read(self) -> ReadBatch:
        self.reading.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if not self._answers:
                raise SourceUnavailable("request cancelled outside library") from None
        return ReadBatch([Reading("P.T", 1.0, 0, None, times.now())])

    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise NotImplementedError

    async def browse(self, at: str) -> list[BrowseNode]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("answers", [False, True])
async def test_a_cancelled_runner_ends_even_if_the_source_swallows_it(edge: Journal, layout: Layout, answers: bool) -> None:
    writer = EdgeWriter(edge, layout, BufferConfig(), wrote=threading.Event())
    writer.start()
    source = Deaf(answers=answers)
    config = SourceConfig(id="deaf", type="simulated", tags=(TagConfig(path="P.T"),))
    runner = SourceRunner(config, source, writer, layout)
    task = asyncio.create_task(runner.run())
    await source.reading.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=20)
    assert task in done
    assert task.cancelled()
    assert (runner.state, source.connects) == ("stopped", 1)
    writer.stop()


class Twice(Deaf):
    """A source whose second batch is read while the first one cannot be stored."""

    def __init__(self, disk: dict[str, bool], writer: EdgeWriter) -> None:
        super().__init__(answers=True)
        self._disk, self._writer = disk, writer
        self.given_back: list[int] = []
        self._number = 0

    async def read(self) -> ReadBatch:
        self._number += 1
        number = self._number
        if number == 1:
            self._disk["full"] = True
        else:
            while self._writer.error is None:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(self._writer.abandon)

        async def nack(_why: str) -> None:
            self.given_back.append(number)

        return ReadBatch([Reading("P.T", 1.0, 0, None, times.now())], nack=nack)


async def test_a_batch_read_meanwhile_is_given_back(edge: Journal, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's own tests fill a real file; here its answer is switched, so that the moment is the test's choice."""
    real, disk = edge.append_many, {"full": False}

    def append_many(*arguments: Any, **options: Any) -> Positions:
        if disk["full"]:
            raise RetryLater("database or disk is full")
        return real(*arguments, **options)

    monkeypatch.setattr(edge, "append_many", append_many)
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    source = Twice(disk, writer)
    config = SourceConfig(id="twice", type="simulated", tags=(TagConfig(path="P.T"),))
    task = asyncio.create_task(SourceRunner(config, source, writer, layout).run())
    async with asyncio.timeout(20):
        while len(source.given_back) < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    assert source.given_back == [1, 2]


class Away(Deaf):
    """A source whose device is never there."""

    async def connect(self) -> None:
        self.connects += 1
        raise SourceUnavailable("nobody answers")


async def test_failures_are_counted_for_a_minute(edge: Journal, layout: Layout) -> None:
    """W-52, D-10: `errors_last_minute` of /health forgets what `adapter_errors_total` keeps."""
    now = 0
    writer = EdgeWriter(edge, layout, BufferConfig(), wrote=threading.Event())
    writer.start()
    source = Away(answers=False)
    config = SourceConfig(id="away", type="simulated", tags=(TagConfig(path="P.T"),))
    runner = SourceRunner(config, source, writer, layout, steady=lambda: now)
    task = asyncio.create_task(runner.run())
    async with asyncio.timeout(20):
        while source.connects < 2 or runner.state != "backing_off":
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    failed = runner.errors_total
    assert runner.errors_last_minute() == failed >= 2
    now += times.MINUTE - 1
    assert runner.errors_last_minute() == failed
    now += 1
    assert (runner.errors_last_minute(), runner.errors_total) == (0, failed)
    writer.stop()


class Nowhere:
    """In the writer's place: takes everything at once, so that batches follow each other without a pause."""

    async def enter(self, *_: object, **__: object) -> "asyncio.Future[None]":
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


async def test_status_is_asked_from_other_threads_while_readings_come(layout: Layout) -> None:
    """The reporter and the pages of /health and /metrics ask in threads of their own: one that fell over would report no more."""
    config = SourceConfig(id="busy", type="simulated", tags=(TagConfig(path="P.T", time="gateway"),))
    now = 0
    runner = SourceRunner(config, Away(answers=False), cast("EdgeWriter", Nowhere()), layout, steady=lambda: now)
    failed: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                runner.status()
            except (RuntimeError, LookupError) as error:
                failed.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for asker in askers:
            asker.start()
        for _ in range(20_000):
            now += times.SECOND // 100
            await runner._take(ReadBatch([Reading("P.T", 1.0, 0, None, now)]))
    finally:
        over.set()
        for asker in askers:
            asker.join()
        sys.setswitchinterval(interval)
    assert failed == []
    assert runner.status().readings_per_s == pytest.approx(100, rel=0.02)


class Quiet(Deaf):
    """A source with one reading to give."""

    async def read(self) -> ReadBatch:
        if not self.reading.is_set():
            self.reading.set()
            return ReadBatch([Reading("P.T", 1.0, 0, None, times.now())])
        await asyncio.sleep(600)
        return ReadBatch()


@pytest.mark.parametrize("step", [times.HOUR, -times.HOUR])
async def test_an_hour_that_the_clock_leaps_over_is_no_silence(edge: Journal, layout: Layout, step: int) -> None:
    """D-15: a step of the gateway's clock makes no tag stale, and a device that dies after it is noticed in time, whichever way it went."""
    wall, passed, looks = times.now(), 0, 0

    def steady() -> int:
        nonlocal looks
        looks += 1
        return passed

    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    config = SourceConfig(id="quiet", type="simulated", tags=(TagConfig(path="P.T", time="gateway"),))
    task = asyncio.create_task(SourceRunner(config, Quiet(answers=True), writer, layout, clock=lambda: wall, steady=steady).run())
    async with asyncio.timeout(30):
        while writer.next_position < 1:
            await asyncio.sleep(0.01)
        wall += step
        seen = looks
        while looks < seen + 2:
            await asyncio.sleep(0.01)
        assert writer.next_position == 1
        passed += 10 * times.SECOND
        while writer.next_position < 2:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    writer.stop()
    records = [record for at in edge.bounds(layout.topic(Category.TELEMETRY, "raw")) for record in edge.read(at, 0)]
    told = codec.decode(records)
    assert told.quality.tolist() == [Quality.GOOD, Quality.UNCERTAIN_STALE]
    assert told.gateway_time[1] == wall
