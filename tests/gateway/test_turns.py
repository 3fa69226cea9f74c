"""Sources start few at once and a jittered moment apart (W-35, W-36). The clock is the test's: nothing here waits for real time."""

import asyncio
import heapq
import threading
from itertools import pairwise

import pytest

from trunkline.config.site import BufferConfig
from trunkline.config.tags import SourceConfig, TagConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.runner import SourceRunner
from trunkline.gateway.turns import Turns
from trunkline.log.journal.journal import Journal
from trunkline.log.topics import Layout
from trunkline.model.errors import SourceUnavailable
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, WriteCommand


class Hand:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = 0

    async def sleep(self, seconds: float) -> None:
        self._numbers += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, self._numbers, woken))
        await woken

    async def turn(self, seconds: float) -> None:
        """Let so much time pass, and everybody do what there is to do at each moment of it."""
        end = self.now + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await _settle()
        self.now = end


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Plant:
    """Devices that say when each was called, and how many were at once."""

    def __init__(self, clock: Hand, answer_after: float | None) -> None:
        self._clock, self._answer_after = clock, answer_after
        self.called: list[tuple[int, float]] = []
        self.under_way = self.most = 0

    async def connect(self, number: int, turns: Turns) -> None:
        async with turns.turn():
            self.called.append((number, self._clock.now))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await (asyncio.Event().wait() if self._answer_after is None else self._clock.sleep(self._answer_after))
            self.under_way -= 1


def start(plant: Plant, turns: Turns, count: int) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(plant.connect(number, turns)) for number in range(count)]


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_two_hundred_start_in_order_few_at_once_and_a_jittered_moment_apart() -> None:
    clock = Hand()
    plant = Plant(clock, answer_after=0.5)
    tasks = start(plant, Turns("gw1", at_once=16, apart=0.02, held=1.0, sleep=clock.sleep), 200)
    await clock.turn(60.0)
    assert [number for number, _ in plant.called] == list(range(200))
    assert plant.most == 16
    gaps = [after - before for (_, before), (_, after) in pairwise(plant.called)]
    assert min(gaps) >= 0.01 - 1e-9
    assert len({round(gap, 6) for gap in gaps}) > 100, "there is no jitter"
    assert all(task.done() for task in tasks)


async def test_a_seed_gives_the_same_moments_and_another_one_others() -> None:
    async def moments(seed: str) -> list[float]:
        clock = Hand()
        plant = Plant(clock, answer_after=0.0)
        tasks = start(plant, Turns(seed, sleep=clock.sleep), 30)
        await clock.turn(10.0)
        await end(tasks)
        return [at for _, at in plant.called]

    assert await moments("gw1") == await moments("gw1")
    assert await moments("gw1") != await moments("gw2")


async def test_devices_that_do_not_answer_hold_nobody_up_for_long() -> None:
    """Sixty-four silent devices: every second as many as there are places are tried, while the others go on hanging."""
    clock = Hand()
    plant = Plant(clock, answer_after=None)
    tasks = start(plant, Turns("gw1", at_once=16, apart=0.02, held=1.0, sleep=clock.sleep), 64)
    await clock.turn(0.9)
    assert len(plant.called) == 16
    await clock.turn(1.1)
    assert 16 < len(plant.called) <= 32
    await clock.turn(5.0)
    assert len(plant.called) == 64
    await end(tasks)


async def test_a_turn_that_is_given_up_is_free_again() -> None:
    """Whoever is cancelled, in the queue, before the device or in the very moment of getting a turn, takes no place with it."""
    clock = Hand()
    plant = Plant(clock, answer_after=None)
    turns = Turns("gw1", at_once=2, apart=0.02, held=1e9, sleep=clock.sleep)
    for _ in range(5):
        tasks = start(plant, turns, 6)
        await clock.turn(10.0)
        await end(tasks)
    before = len(plant.called)
    assert before == 5 * 2
    answering = Plant(clock, answer_after=0.1)
    tasks = start(answering, turns, 6)
    await clock.turn(10.0)
    assert len(answering.called) == 6
    assert answering.most == 2
    await end(tasks)


class Absent:
    """A source whose device is never there."""

    def __init__(self) -> None:
        self.connects = 0

    async def connect(self) -> None:
        self.connects += 1
        raise SourceUnavailable("nobody answers")

    async def read(self) -> ReadBatch:
        raise NotImplementedError

    async def write(self, command: WriteCommand) -> CommandOutcome:
        raise NotImplementedError

    async def browse(self, at: str) -> list[BrowseNode]:
        raise NotImplementedError

    async def close(self) -> None:
        pass


@pytest.fixture
def writer(edge: Journal, layout: Layout) -> EdgeWriter:
    writer = EdgeWriter(edge, layout, BufferConfig(linger_ms=1), wrote=threading.Event())
    writer.start()
    return writer


async def test_a_source_tells_that_it_waits_and_takes_one_turn_only(writer: EdgeWriter, layout: Layout) -> None:
    """The status says `waiting` until its turn; tries after the first are spread by the back-off, and take no turn from others."""
    clock = Hand()
    turns = Turns("gw1", at_once=1, apart=0.02, held=1e9, sleep=clock.sleep)
    source = Absent()
    config = SourceConfig(id="away", type="simulated", tags=(TagConfig(path="P.T"),))
    runner = SourceRunner(config, source, writer, layout, turn=turns.turn)
    task = asyncio.create_task(runner.run())
    await _settle()
    assert (runner.status().state, source.connects) == ("waiting", 0)
    await clock.turn(0.05)
    assert source.connects == 1
    assert runner.status().state != "waiting"
    async with asyncio.timeout(20):
        while source.connects < 2:  # with the clock of the turns standing still
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task], timeout=20)
    writer.stop()
