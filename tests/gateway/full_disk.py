"""Runs in a process of its own, because it mounts: what the edge journal does on a disk of 40 MB that is full, read-only or bounded."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.gateway.edge_support import alarm, alarms, notes, positions, stored, writer_of
from tests.system.disks import mounted

from trunkline.config.site import BufferConfig, LogConfig
from trunkline.gateway.buffer import BufferKeeper
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.forwarder import Forwarder
from trunkline.log.codec.events import decode_event
from trunkline.log.journal.inspecting import check
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import layout_of, open_edge_journal, open_site_log
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import RetryLater

MB = 1_000_000
CONFIG = LogConfig(partitions=3)


class Edge:
    """A writer and a keeper on the small disk, and a site log beside it."""

    def __init__(self, disk: Path, config: BufferConfig) -> None:
        self.disk = disk
        self.layout: Layout = layout_of(CONFIG)
        self.journal: Journal = open_edge_journal(CONFIG, disk, "gw1")
        self.forwarder = Forwarder(self.journal, lambda: open_site_log(CONFIG, disk.parent / "site"), self.layout)
        self.keeper = BufferKeeper(self.journal, self.forwarder, self.layout, config, Confirmed(self.journal, self.layout))
        self.keeper.tend(times.now())
        self.writer: EdgeWriter = writer_of(self.journal, self.layout, self.keeper.room)
        self.writer.start()
        self.acknowledged = 0

    async def submit_until_refused(self) -> "asyncio.Task[None]":
        """Write until a group has to wait; return that one."""
        while True:
            task = asyncio.create_task(self.writer.submit(notes(self.acknowledged, 5)))
            while not task.done():
                if self.writer.error:
                    return task
                await asyncio.sleep(0.005)
            self.acknowledged += 5

    def full(self) -> bool:
        """Whether the disk is known to be full."""
        return self.keeper.room.disk_full

    def acknowledged_are_there(self) -> None:
        """What was acknowledged is read back."""
        assert positions(self.journal, self.layout)[: self.acknowledged] == list(range(self.acknowledged))


async def until(condition: Callable[[], bool]) -> None:
    """Wait; the parent's time limit ends what never comes."""
    while not condition():
        await asyncio.sleep(0.01)


async def full(disk: Path) -> None:
    """Somebody else fills the disk: telemetry waits, alarms get in, nothing acknowledged goes; with room again all goes on in order."""
    edge = Edge(disk, BufferConfig())
    held = edge.keeper.room.held
    assert held >= 4 * MB
    await edge.writer.submit(notes(0, 5))
    edge.acknowledged = 5
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    waiting = await edge.submit_until_refused()
    assert "full" in (edge.writer.error or "")
    for number in range(50):
        await edge.writer.submit((), [alarm(f"alarm {number} " + "x" * 2000)])
        assert not waiting.done()
    assert edge.full()
    assert edge.keeper.room.held == 0, "the reserve is what they went into"
    edge.keeper.tend(times.now())
    assert edge.keeper.status().disk_full
    assert alarms(edge.journal, edge.layout) == 50
    edge.acknowledged_are_there()
    assert not stored(edge.journal, edge.layout.overflow), "a full disk below the bound gives nothing up"

    ballast.unlink()
    assert not waiting.done()
    edge.keeper.tend(times.now())  # as the gateway does after each attempt that found no room
    await waiting
    edge.acknowledged += 5
    assert edge.writer.error is None
    edge.acknowledged_are_there()
    assert not edge.full()
    assert edge.keeper.room.held == held
    edge.writer.stop()
    edge.journal.close()
    with open_edge_journal(CONFIG, disk, "gw1") as again:
        assert positions(again, edge.layout) == list(range(edge.acknowledged))
        assert alarms(again, edge.layout) == 50
        assert again.quarantined() == []


async def restarted(disk: Path) -> None:
    """A gateway that starts again on a full disk takes the room that was let go for what it is: telemetry waits on, alarms get in."""
    edge = Edge(disk, BufferConfig())
    held = edge.keeper.room.held
    await edge.writer.submit(notes(0, 5))
    edge.acknowledged = 5
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    taken = -1
    for _ in range(3):
        refused = await edge.submit_until_refused()
        assert taken in {-1, edge.acknowledged}, "the room let go for alarms went to telemetry"
        taken = edge.acknowledged
        await edge.writer.submit((), [alarm("x" * 2000)])
        edge.writer.abandon()
        with contextlib.suppress(RetryLater):
            await refused
        edge.journal.close()
        edge = Edge(disk, BufferConfig())
        edge.acknowledged = taken
        assert edge.full()
        assert edge.keeper.room.held == 0
    assert alarms(edge.journal, edge.layout) == 3
    ballast.unlink()
    edge.keeper.tend(times.now())
    assert not edge.full()
    assert edge.keeper.room.held == held
    await edge.writer.submit(notes(taken, 5))
    edge.acknowledged += 5
    edge.acknowledged_are_there()
    edge.writer.stop()
    edge.journal.close()


async def read_only(disk: Path) -> None:
    """A disk that is mounted read-only: it is said, all of it can still be looked at, and it goes on when it can be written."""
    edge = Edge(disk, BufferConfig())
    await edge.writer.submit(notes(0, 5))
    edge.writer.stop()
    edge.journal.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        open_edge_journal(CONFIG, disk, "gw1")
    except RetryLater as error:
        assert "Read-only file system" in str(error), error  # noqa: PT017 - no test of pytest's
    else:
        raise AssertionError("a journal on a read-only disk was opened for writing")
    checked = check(edge.journal.path)
    assert (checked.flaws, checked.id) == ([], edge.journal.id)
    assert checked.records > 0
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    again = Edge(disk, BufferConfig())
    await again.writer.submit(notes(5, 5))
    again.acknowledged = 10
    again.acknowledged_are_there()
    again.writer.stop()
    again.journal.close()


async def overflow(disk: Path) -> None:
    """The bound is met before the disk is full: what is dropped is told to the offset, and the disk is never full."""
    edge = Edge(disk, BufferConfig(max_bytes=34 * MB, reserved_bytes=16 * MB))
    total = 0
    for _ in range(60):
        task = asyncio.create_task(edge.writer.submit([*notes(total, 5)]))
        await until(lambda task=task: task.done() or edge.writer.error is not None)  # type: ignore[misc]
        edge.keeper.tend(times.now())
        await task
        total += 5
        assert not edge.full()
    await edge.writer.submit((), [alarm()])
    edge.writer.stop()
    kept = positions(edge.journal, edge.layout)
    told: set[int] = set()
    for record in stored(edge.journal, edge.layout.overflow):
        facts = decode_event(record.value).attributes
        told |= set(range(int(str(facts["lo"])), int(str(facts["hi"]))))
    assert told == set(range(total)) - set(kept)
    assert told
    assert alarms(edge.journal, edge.layout) == 1
    edge.journal.close()


def main() -> int:
    """Run one scenario."""
    scenario, where = sys.argv[1], Path(sys.argv[2])
    with mounted(where, "size=40m") as disk:
        asyncio.run({"full": full, "restarted": restarted, "read-only": read_only, "overflow": overflow}[scenario](disk))
    sys.stdout.write(f"{scenario}: passed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
