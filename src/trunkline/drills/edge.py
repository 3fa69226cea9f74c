"""`python -m trunkline.drills.edge FOLDER`: the edge of a drill, a whole gateway whose devices are a `Feed`.

History is fed as quickly as the edge takes it (or at its own pace); then a step each period, at its time, once it is said when that
begins. After a kill the next start goes on where the journal ends, as devices do that keep what was not acknowledged.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Final

from trunkline.config.loading import Site, load
from trunkline.drills.alarms import AlarmFeeder
from trunkline.drills.feed import Feed
from trunkline.drills.link import BadLog, CutLog, Kept, TwiceLog
from trunkline.drills.plan import Folder, Plan
from trunkline.drills.weather import Line, read_weather
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.role import Gateway
from trunkline.log.codec.writer import Rows
from trunkline.log.opening import layout_of, open_site_log
from trunkline.log.port import Log
from trunkline.model import times
from trunkline.model.errors import RetryLater
from trunkline.model.reading import Category
from trunkline.supervisor import logs
from trunkline.supervisor.collector import set_collector
from trunkline.supervisor.holding import follow_supervisor, hold_place

#: Readings under way: fewer than the edge takes without waiting, so that they become durable in the order in which they were read.
_UNDER_WAY: Final = 40_000
_LOOK_SECONDS: Final = 0.05


class Feeder:
    """Hands a feed to an edge, and notes what was acknowledged.

    Args:
        writer: of the edge.
        feed: what the devices show.
        paced: history takes the time that it tells of.
        folder: of the drill.
        stop: set when the devices end.
    """

    def __init__(self, writer: EdgeWriter, feed: Feed, folder: Folder, stop: asyncio.Event, *, paced: bool) -> None:
        self._writer = writer
        self._feed = feed
        self._paced = paced
        self._folder = folder
        self._stop = stop
        self._tags = len(feed.slots)
        self._step, left = divmod(writer.next_position, self._tags)
        if left:
            raise RuntimeError(f"the journal ends within a step, at position {writer.next_position}")
        self._under_way: deque[asyncio.Task[None]] = deque()
        self._notes = os.open(folder.acknowledged, os.O_WRONLY | os.O_CREAT, 0o600)

    async def run(self) -> None:
        """Feed until stopped; what is under way then is waited for."""
        try:
            await self._history()
            await self._live()
        finally:
            await self._settle(0)
            os.close(self._notes)

    async def _history(self) -> None:
        feed = self._feed
        while self._step < feed.steps and not self._stop.is_set():
            steps = feed.at_once if self._step + feed.at_once <= feed.steps and not self._paced else 1
            if self._paced:
                await self._until(feed.moment(self._step))
            await self._hand_over(steps)
            await self._settle(max(0, _UNDER_WAY // (self._tags * steps) - 1))

    async def _live(self) -> None:
        while not self._stop.is_set():
            if self._feed.live is None:
                self._feed.live = self._folder.live()
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            await self._until(self._feed.moment(self._step))
            if not self._stop.is_set():
                await self._hand_over(1, times.now())
                await self._settle(0)

    async def _until(self, moment: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, (moment - times.now()) / times.SECOND)):
                await self._stop.wait()

    async def _hand_over(self, steps: int, gateway_time: int | None = None) -> None:
        rows = self._feed.rows(self._step, steps, gateway_time)
        self._step += steps
        self._under_way.append(asyncio.create_task(self._keep(rows, self._step * self._tags)))
        await asyncio.sleep(0)  # the task takes its place in the queue

    async def _keep(self, rows: Rows, reached: int) -> None:
        """Make readings durable, then note that they are acknowledged, as a device would."""
        await self._writer.submit(rows)
        os.pwrite(self._notes, reached.to_bytes(8, "big"), 0)

    async def _settle(self, most: int) -> None:
        """Wait until no more than so many chunks are under way."""
        while len(self._under_way) > most:
            await self._under_way.popleft()


def acknowledged(folder: Folder) -> int:
    """Return how many readings were acknowledged."""
    try:
        return int.from_bytes(folder.acknowledged.read_bytes(), "big")
    except FileNotFoundError:
        return 0


async def run(site: Site, plan: Plan, folder: Folder) -> None:
    """Run the edge until it is told to stop."""
    stop, over = told_to_stop(), asyncio.Event()
    log = site.config.log
    gateway = Gateway(site.gateway(plan.gateway), (), log, site.data_dir, site.secrets, behind_link(site, folder))
    feeder = Feeder(gateway.writer, plan.feed(layout_of(log), folder.live()), folder, stop, paced=plan.paced)
    alarms = AlarmFeeder(gateway.writer, plan, folder, stop, sum(one.read for one in gateway.status().counts if one.category == "alarm"))
    running = asyncio.create_task(gateway.run(over))
    try:
        await asyncio.gather(feeder.run(), alarms.run())
    finally:
        over.set()
        await running


def told_to_stop() -> asyncio.Event:
    """Return what is set once this process is told to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def behind_link(site: Site, folder: Folder) -> Callable[[], Log]:
    """Return what opens the site log, and raises RetryLater while its link is cut."""
    weather = read_weather(folder.path)
    line = None if weather is None else Line(weather, folder.path)
    topics, kept = layout_of(site.config.log).topics(Category.TELEMETRY, "raw"), Kept()

    def open_site() -> Log:
        if not folder.link.exists():
            raise RetryLater("the link to the site is cut")
        log = open_site_log(site.config.log, site.data_dir, site.secrets)
        if line is None:
            return CutLog(log, folder.link)
        return TwiceLog(log, folder.link, line, topics, kept) if line.weather.twice else BadLog(log, folder.link, line)

    return open_site


def main(run: Callable[[Site, Plan, Folder], Coroutine[None, None, None]] = run) -> None:
    """Run the edge of the folder that is named."""
    logs.configure(as_json=True)
    set_collector()
    folder = Folder(Path(sys.argv[1]))
    site, plan = load(folder.site_file), folder.plan()
    with hold_place(site.data_dir, f"gateway:{plan.gateway}"):
        follow_supervisor()
        asyncio.run(run(site, plan, folder))


if __name__ == "__main__":
    main()
