"""Readings and alarms in an edge journal, and what is in a log."""

import random
import threading
from collections.abc import Sequence
from itertools import count

from trunkline.config.site import BufferConfig
from trunkline.gateway.edge import EdgeWriter
from trunkline.gateway.room import Room
from trunkline.log.codec import columns as codec
from trunkline.log.codec.writer import TagSlot
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind, Reading

NOW = times.from_iso("2026-01-01T00:00:00Z")
TAGS = [f"P.A.U{number}.FLOW" for number in range(12)]
SLOTS = {tag: TagSlot.of(tag, "plc", Kind.DOUBLE, 3) for tag in TAGS}
NOTE = TagSlot.of("P.A.U1.NOTE", "plc", Kind.TEXT, 3)


def readings(start: int, number: int) -> list[tuple[TagSlot, Reading]]:
    """Reading k has value k and time NOW + k ms."""
    slots = [(k, SLOTS[TAGS[k % len(TAGS)]]) for k in range(start, start + number)]
    return [(slot, Reading(slot.path, float(k), 0, NOW + k * 1000, NOW + k * 1000 + 500)) for k, slot in slots]


def notes(start: int, number: int, size: int = 100_000) -> list[tuple[TagSlot, Reading]]:
    """Return readings that fill a disk: texts of about `size` bytes that cannot be made smaller."""
    made = []
    for k in range(start, start + number):
        text = random.Random(k).randbytes(size // 2).decode("latin-1")
        made.append((NOTE, Reading(NOTE.path, text, 0, NOW + k * 1000, NOW + k * 1000 + 500)))
    return made


#: A program that appends, deletes and gives back without end; arguments: journal, seed.
CHURN = """
import random, sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, TopicPartition, Topic
at = TopicPartition("a", 0)
chance = random.Random(int(sys.argv[2]))
with Journal(Path(sys.argv[1])) as journal:
    journal.create([Topic("a")])
    while True:
        end = journal.append("a", [Record(b"%d " % n + chance.randbytes(20_000)) for n in range(60)])[at]
        print("appended", end, flush=True)
        journal.delete_before(at, end - 30)
        print("first", end - 30, flush=True)
        journal.give_back(0, 5.0)
        print("given", journal.space().free, flush=True)
"""

_numbers = count()


def alarm(text: str = "") -> Alarm:
    """Return an alarm of its own."""
    return Alarm(
        id=str(uuid7()),
        type="HIGH_TEMP",
        time=NOW + next(_numbers),
        gateway_time=NOW,
        source="plc",
        severity=AlarmSeverity.HIGH,
        text=text,
    )


def writer_of(journal: Journal, layout: Layout, room: Room | None = None) -> EdgeWriter:
    """Return a writer, not started."""
    return EdgeWriter(journal, layout, BufferConfig(linger_ms=1), wrote=threading.Event(), room=room)


async def fill(journal: Journal, layout: Layout, *batches: Sequence[tuple[TagSlot, Reading]], events: Sequence[Alarm] = ()) -> None:
    """Write batches, each in a transaction of its own."""
    writer = writer_of(journal, layout)
    writer.start()
    for batch in batches:
        await writer.submit(batch)
    await writer.submit((), events)
    writer.stop()


def stored(log: Log, topic: str) -> list[StoredRecord]:
    """Return every record of a topic."""
    found: list[StoredRecord] = []
    for at, (first, _) in log.bounds(topic).items():
        offset = first
        while records := log.read(at, offset, 1000):
            found += records
            offset = records[-1].offset + 1
    return found


def positions(log: Log, layout: Layout) -> list[int]:
    """Return the journal position of every raw reading in a log, ascending."""
    return sorted(codec.decode(stored(log, layout.topic(Category.TELEMETRY, "raw"))).seq.tolist())


def alarms(log: Log, layout: Layout) -> int:
    """Return how many alarms a log holds."""
    return len(stored(log, layout.topic(Category.ALARM, "raw")))
