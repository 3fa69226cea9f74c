"""The journal against a bare sqlite3 script that keeps a row a reading: durable appends, and reading everything back.

`journal.append`: `Reading` objects in, durable blocks out: encoding, one transaction and one fsync per 1,000 readings. The peer inserts the
same objects with `executemany` in transactions of 1,000 with the same journal mode and the same fsync.

`journal.read`: everything polled and decoded into columns. The peer fetches all its rows.
"""

import random
import sqlite3
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import SHORT, Work, bench, stopwatch, wanted
from trunkline.log.codec.columns import decode
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Topic
from trunkline.model import times
from trunkline.model.reading import Kind, Reading

TAGS: Final = 100
PARTITIONS: Final = 4
BATCH: Final = 1000
BATCHES: Final = 100 if SHORT else 500
RUNS: Final = 3 if SHORT else 5
TOPIC: Final = "telemetry.raw"

Batches = list[list[tuple[TagSlot, Reading]]]

CREATE: Final = """
    CREATE TABLE reading (id INTEGER PRIMARY KEY, tag TEXT, value REAL, quality INTEGER, source_time INTEGER, gateway_time INTEGER)"""
INSERT: Final = "INSERT INTO reading (tag, value, quality, source_time, gateway_time) VALUES (?, ?, ?, ?, ?)"


def readings() -> Batches:
    """Return a plant's readings: every tag ten times a second, jittered µs times, values rounded to 3 digits."""
    chance = random.Random(7)
    slots = [TagSlot.of(f"PLANT01.AREA02.UNIT_{n:02d}.FLOW_RATE", f"plc-{n % 4}", Kind.DOUBLE, PARTITIONS) for n in range(TAGS)]
    start = 1_795_000_000 * times.SECOND
    batches: Batches = []
    for batch in range(BATCHES):
        rows = []
        for n in range(BATCH):
            measured = start + (batch * BATCH + n) * 1000 + chance.randrange(2000)
            slot = slots[n % TAGS]
            rows.append((slot, Reading(slot.path, round(chance.gauss(100, 10), 3), 0, measured, measured + chance.randrange(5000))))
        batches.append(rows)
    return batches


def fill_journal(path: Path, batches: Batches) -> float:
    """Append every batch durably; return the seconds it took."""
    with Journal(path) as journal:
        journal.create([Topic(TOPIC, PARTITIONS)])
        covered: dict[int, int] = {}
        seq = 0
        with stopwatch() as watch:
            for batch in batches:
                records, seq = write_blocks(journal.id, seq, covered, batch)
                journal.append(TOPIC, records)
                covered |= {record.partition or 0: seq for record in records}
        return watch.seconds


def fill_table(path: Path, batches: Batches) -> float:
    """Insert every batch, a row a reading; return the seconds it took."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(CREATE)
        with stopwatch() as watch:
            for batch in batches:
                db.execute("BEGIN")
                db.executemany(INSERT, [(r.tag, r.value, r.quality, r.source_time, r.gateway_time) for _, r in batch])
                db.execute("COMMIT")
        return watch.seconds


def append_ours(batches: Batches) -> Work:
    """One run of `journal.append`."""
    with tempfile.TemporaryDirectory() as folder:
        return Work(len(batches) * BATCH, fill_journal(Path(folder) / "log.db", batches))


def append_theirs(batches: Batches) -> Work:
    """One run of its peer."""
    with tempfile.TemporaryDirectory() as folder:
        return Work(len(batches) * BATCH, fill_table(Path(folder) / "rows.db", batches))


def read_ours(path: Path) -> Work:
    """One run of `journal.read`."""
    count = 0
    with Journal(path) as journal, journal.consumer("bench", [TOPIC], "worker-0") as consumer, stopwatch() as watch:
        while batch := consumer.poll(1000, 0.0):
            count += len(decode(batch.records))
    if count != BATCHES * BATCH:
        raise RuntimeError(f"{count} of {BATCHES * BATCH} readings came back")
    return Work(count, watch.seconds)


def read_theirs(path: Path) -> Work:
    """One run of its peer."""
    with closing(sqlite3.connect(path)) as db, stopwatch() as watch:
        rows = db.execute("SELECT tag, value, quality, source_time, gateway_time FROM reading ORDER BY id").fetchall()
    return Work(len(rows), watch.seconds)


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    batches = readings()
    passed = True
    conditions: dict[str, Any] = {"tags": TAGS, "partitions": PARTITIONS, "batch": BATCH, "readings": BATCHES * BATCH}
    if wanted("journal.append"):
        peer = ("sqlite3-rows", partial(append_theirs, batches))
        passed &= bench(
            "journal.append", "readings/s", partial(append_ours, batches), peer=peer, goal=1.0, runs=RUNS, conditions=conditions
        )["passed"]
    if wanted("journal.read"):
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = Path(folder) / "log.db", Path(folder) / "rows.db"
            fill_journal(ours, batches)
            fill_table(theirs, batches)
            sizes = {"bytes_a_reading": round(ours.stat().st_size / (BATCHES * BATCH), 1)}
            sizes["peer_bytes_a_reading"] = round(theirs.stat().st_size / (BATCHES * BATCH), 1)
            peer = ("sqlite3-rows", partial(read_theirs, theirs))
            passed &= bench(
                "journal.read", "readings/s", partial(read_ours, ours), peer=peer, goal=1.0, runs=RUNS, conditions=conditions | sizes
            )["passed"]
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
