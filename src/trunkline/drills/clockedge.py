"""`python -m trunkline.drills.clockedge FOLDER`: an edge whose clock steps. Its devices are a source of its own, on a clock of theirs.

Readings go the whole way of a gateway: through its runner, which conditions them, and watches clocks.
"""

import asyncio
import contextlib
import os
from functools import partial
from typing import Final

import numpy as np

from trunkline.config.loading import Site
from trunkline.config.tags import KINDS, SourceConfig, TagConfig
from trunkline.drills.clocks import SteppedClock, read_clocks
from trunkline.drills.edge import behind_link, main, told_to_stop
from trunkline.drills.feed import Feed
from trunkline.drills.plan import SOURCE, Folder, Plan
from trunkline.gateway.role import Gateway
from trunkline.log.opening import layout_of
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading
from trunkline.sources.port import BrowseNode, CommandOutcome, ReadBatch, SourceContext, WriteCommand

#: Readings of history that are handed over at once, about.
_AT_ONCE: Final = 2_000
#: What a device hands over later than this after it was due lay somewhere; its age says nothing of the device's clock.
_LATE: Final = 2 * times.SECOND
_LOOK_SECONDS: Final = 0.05
#: The devices are silent while the site is brought up; an hour that a clock leaps over must not be taken for silence.
_SILENCE_SECONDS: Final = 1800.0


class Devices:
    """A `trunkline.sources.port.Source` that gives what a feed shows, with the time of the devices' clock.

    Args:
        feed: what the devices show.
        folder: of the drill.
        clock: that of the gateway, and of the machine beneath it.
        context: of the source.
        stop: set when the devices end.
    """

    def __init__(self, feed: Feed, folder: Folder, clock: SteppedClock, context: SourceContext, stop: asyncio.Event) -> None:
        self._feed = feed
        self._folder = folder
        self._clock = clock
        self._now = context.now
        self._stop = stop
        self._step = self._kept = 0
        self._settled = asyncio.Event()
        self._notes = os.open(folder.acknowledged, os.O_WRONLY | os.O_CREAT, 0o600)

    async def connect(self) -> None:
        """Begin with the first step that was not acknowledged."""
        self._step = self._kept

    async def read(self) -> ReadBatch:
        """Return the next step, or several of history."""
        feed = self._feed
        if self._step < feed.steps:
            steps = min(max(1, _AT_ONCE // len(feed.slots)), feed.steps - self._step)
        else:
            steps = 1
            await self._due()
        if self._stop.is_set():
            await asyncio.Event().wait()  # nothing more comes; the gateway ends this
        first = self._step
        self._step += steps
        late = first < feed.steps or self._clock.machine() - feed.moment(first) > _LATE
        return ReadBatch(self._readings(first, steps), late=late, ack=partial(self._acknowledge, self._step))

    async def _due(self) -> None:
        """Wait until the next live step is due."""
        while self._feed.live is None and not self._stop.is_set():
            self._feed.live = self._folder.live()
            await asyncio.sleep(_LOOK_SECONDS)
        if self._feed.live is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, (self._feed.moment(self._step) - self._clock.machine()) / times.SECOND)):
                    await self._stop.wait()

    def _readings(self, first: int, steps: int) -> list[Reading]:
        feed, step, read = self._feed, np.arange(first, first + steps), self._now()
        clocks = read_clocks(self._folder.path)
        feed.turns = clocks.devices
        stamps = [read] * steps if clocks.misread and first >= feed.steps else feed.time(step).tolist()
        values = [feed.values(tag, step) for tag in range(len(feed.slots))]
        return [
            Reading(slot.path, of_tag[row], Quality.GOOD, stamp, read)
            for row, stamp in enumerate(stamps)
            for slot, of_tag in zip(feed.slots, values, strict=True)
        ]

    async def _acknowledge(self, reached: int) -> None:
        self._kept = reached
        os.pwrite(self._notes, (reached * len(self._feed.slots)).to_bytes(8, "big"), 0)
        if self._stop.is_set() and reached == self._step:
            self._settled.set()

    async def ended(self) -> None:
        """Wait until the devices have ended and everything that they gave is acknowledged."""
        await self._stop.wait()
        if self._kept < self._step:
            await self._settled.wait()
        os.close(self._notes)

    async def write(self, command: WriteCommand) -> CommandOutcome:
        """Refuse: these devices only show."""
        del command
        return CommandOutcome.REFUSED

    async def browse(self, at: str) -> list[BrowseNode]:
        """See the port: there is nothing to browse."""
        raise NotImplementedError(at)

    async def close(self) -> None:
        """See the port: there is nothing to let go of."""


def section(plan: Plan) -> SourceConfig:
    """Return the section of the devices: all tags in one, so that they are read step by step."""
    words = {kind: word for word, kind in KINDS.items()}
    tags = [{"path": tag.path, "kind": words[tag.kind], "measurement": tag.measurement} for tag in plan.tags]
    silence = {"stale_after": _SILENCE_SECONDS, "lost_after": _SILENCE_SECONDS}
    return SourceConfig(id=SOURCE, type="simulated", tags=tuple(map(TagConfig.model_validate, tags)), **silence)


async def run(site: Site, plan: Plan, folder: Folder) -> None:
    """Run the edge until it is told to stop."""
    clock = SteppedClock(folder.path)
    clock.put_on()
    stop, over = told_to_stop(), asyncio.Event()
    log = site.config.log
    devices: list[Devices] = []

    def make(_: SourceConfig, context: SourceContext) -> Devices:
        devices.append(Devices(plan.feed(layout_of(log), folder.live()), folder, clock, context, stop))
        return devices[-1]

    gateway = Gateway(site.gateway(plan.gateway), [section(plan)], log, site.data_dir, site.secrets, behind_link(site, folder), make)
    running = asyncio.create_task(gateway.run(over))
    try:
        await devices[0].ended()
    finally:
        over.set()
        await running


if __name__ == "__main__":
    main(run)
