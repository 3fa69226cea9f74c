"""Alarms that the seed and their number alone decide, fed beside the readings."""

import asyncio
import contextlib
import os
import random
import uuid

from trunkline.drills.plan import Folder, Plan
from trunkline.gateway.edge import EdgeWriter
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity


def alarm(plan: Plan, number: int) -> Alarm:
    """Return one alarm; its time is as long after that of the first as the plan lets pass between them."""
    chance = random.Random(f"{plan.seed}/{number}")  # noqa: S311 - content, no secret
    tag = chance.choice(plan.tags)
    asset, _, name = tag.path.rpartition(".")
    moment = plan.start_us + number * plan.alarm_us
    return Alarm(
        id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        type="LIMIT_HIGH",
        time=moment,
        gateway_time=moment,
        asset=asset,
        tag=name,
        source=tag.source,
        text=f"alarm {number} of the drill",
        severity=chance.choice(list(AlarmSeverity)),
        active=number % 2 == 0,
        value=round(chance.uniform(80.0, 120.0), 3),
        threshold=80.0,
    )


class AlarmFeeder:
    """Hands alarms to an edge, one after the other at the plan's pace, whatever telemetry does, and notes what was acknowledged.

    Args:
        writer: of the edge.
        plan: says how many µs pass between two.
        folder: of the drill.
        stop: set when the devices end.
        first: number of the first one: as many as the journal has.
    """

    def __init__(self, writer: EdgeWriter, plan: Plan, folder: Folder, stop: asyncio.Event, first: int) -> None:
        self._writer = writer
        self._plan = plan
        self._folder = folder
        self._stop = stop
        self._next = first

    async def run(self) -> None:
        """Feed until stopped; return at once when the plan has no alarms."""
        if not self._plan.alarm_us:
            return
        notes = os.open(self._folder.alarms, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while not self._stop.is_set():
                await self._writer.submit((), [alarm(self._plan, self._next)])
                self._next += 1
                os.pwrite(notes, self._next.to_bytes(8, "big"), 0)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), self._plan.alarm_us / times.SECOND)
        finally:
            os.close(notes)


def acknowledged_alarms(folder: Folder) -> int:
    """Return how many alarms were acknowledged."""
    try:
        return int.from_bytes(folder.alarms.read_bytes(), "big")
    except FileNotFoundError:
        return 0
