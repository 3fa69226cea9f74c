"""The journal against a bare sqlite3 script that keeps a row a reading: durable appends, and reading everything back.

`journal.append`: `Reading` objects in, durable blocks out: encoding, one transaction and one fsync per 1,000 readings. The peer inserts the
same objects with `executemany` in transactions of 1,000 with the same journal mode and the same fsync.

Each batch is made just before it is appended, as a gateway reads just before it writes, while the clock stands still.

`journal.read`: everything polled and decoded into columns. The peer fetches all its rows.

`journal.sealed.append` and `journal.sealed.read`: the same with encryption at rest, against the journal without it.
"""

import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import SHORT, Work, bench, stopwatch, wanted
from trunkline.log.codec.columns import decode
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.sealing import Key
from trunkline.log.port import Topic
from trunkline.model import times
from trunkline.model.reading import Kind, Reading

TAGS: Final = 100
PARTITIONS: Final = 4
BATCH: Final = 1000
BATCHES: Final = 100 if SHORT else 500
RUNS: Final = 3 if SHORT else 5
TOPIC: Final = "telemetry.raw"

Batch = list[tuple[TagSlot, Reading]]

CREATE: Final = """
    CREATE TABLE reading (id INTEGER PRIMARY KEY, tag TEXT, value REAL, quality INTEGER, source_time INTEGER, gateway_time INTEGER)"""
INSERT: Final = "INSERT INTO reading (tag, value, quality, source_time, gateway_time) VALUES (?, ?, ?, ?, ?)"


def readings() -> Iterator[Batch]:
    """Yield a plant's readings: every tag ten times a second, jittered µs times, values rounded to 3 digits."""
    chance = random.Random(7)
    slots = [TagSlot.of(f"PLANT01.AREA02.UNIT_{n:02d}.FLOW_RATE", f"plc-{n % 4}", Kind.DOUBLE, PARTITIONS) for n in range(TAGS)]
    start = 1_795_000_000 * times.SECOND
    for batch in range(BATCHES):
        rows = []
        for n in range(BATCH):
            measured = start + (batch * BATCH + n) * 1000 + chance.randrange(2000)
            slot = slots[n % TAGS]
            rows.append((slot, Reading(slot.path, round(chance.gauss(100, 10), 3), 0, measured, measured + chance.randrange(5000))))
        yield rows


def timed(append: Callable[[Batch], None]) -> Work:
    """Append every batch; return the time that took."""
    seconds = cpu = 0.0
    for batch in readings():
        started, cpu_before = time.perf_counter(), time.process_time()
        append(batch)
        seconds += time.perf_counter() - started
        cpu += time.process_time() - cpu_before
    return Work(BATCHES * BATCH, seconds, cpu_s=cpu)


def fill_journal(path: Path, key: Key | None = None) -> Work:
    """Append every batch durably, sealed where there is a key."""
    covered: dict[int, int] = {}
    seq = 0

    def append(batch: Batch) -> None:
        nonlocal seq
        records, seq = write_blocks(journal.id, seq, covered, batch)
        journal.append(TOPIC, records)
        covered.update((record.partition or 0, seq) for record in records)

    with Journal(path, key=key) as journal:
        journal.create([Topic(TOPIC, PARTITIONS)])
        return timed(append)


def fill_table(path: Path) -> Work:
    """Insert every batch, a row a reading."""

    def append(batch: Batch) -> None:
        db.execute("BEGIN")
        db.executemany(INSERT, [(r.tag, r.value, r.quality, r.source_time, r.gateway_time) for _, r in batch])
        db.execute("COMMIT")

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute(CREATE)
        return timed(append)


def append_once(fill: Callable[[Path], Work]) -> Work:
    """One run of `journal.append` or of its peer."""
    with tempfile.TemporaryDirectory() as folder:
        return fill(Path(folder) / "readings.db")


def read_ours(path: Path, key: Key | None = None) -> Work:
    """One run of `journal.read`."""
    count = 0
    with Journal(path, key=key) as journal, journal.consumer("bench", [TOPIC], "worker-0") as consumer, stopwatch() as watch:
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


def sealed(conditions: dict[str, Any]) -> bool:
    """Run the benches of a sealed journal; return whether the goals were met."""
    key = Key.random()
    passed = True
    if wanted("journal.sealed.append"):
        ours, plain = partial(append_once, partial(fill_journal, key=key)), ("journal", partial(append_once, fill_journal))
        passed &= bench("journal.sealed.append", "readings/s", ours, peer=plain, goal=0.8, runs=RUNS, conditions=conditions)["passed"]
    if wanted("journal.sealed.read"):
        with tempfile.TemporaryDirectory() as folder:
            closed, open_ = Path(folder) / "sealed.db", Path(folder) / "plain.db"
            fill_journal(closed, key)
            fill_journal(open_)
            conditions = {**conditions, "bytes_a_reading": round(closed.stat().st_size / (BATCHES * BATCH), 1)}
            conditions["peer_bytes_a_reading"] = round(open_.stat().st_size / (BATCHES * BATCH), 1)
            ours, plain = partial(read_ours, closed, key), ("journal", partial(read_ours, open_))
            passed &= bench("journal.sealed.read", "readings/s", ours, peer=plain, goal=0.8, runs=RUNS, conditions=conditions)["passed"]
    return passed


def main() -> int:
    """Run what is wanted; return 1 if a goal was missed."""
    passed = True
    conditions: dict[str, Any] = {"tags": TAGS, "partitions": PARTITIONS, "batch": BATCH, "readings": BATCHES * BATCH}
    if wanted("journal.append"):
        ours, theirs = partial(append_once, fill_journal), ("sqlite3-rows", partial(append_once, fill_table))
        passed &= bench("journal.append", "readings/s", ours, peer=theirs, goal=1.0, runs=RUNS, conditions=conditions)["passed"]
    if wanted("journal.read"):
        with tempfile.TemporaryDirectory() as folder:
            log, rows = Path(folder) / "log.db", Path(folder) / "rows.db"
            fill_journal(log)
            fill_table(rows)
            conditions["bytes_a_reading"] = round(log.stat().st_size / (BATCHES * BATCH), 1)
            conditions["peer_bytes_a_reading"] = round(rows.stat().st_size / (BATCHES * BATCH), 1)
            ours, theirs = partial(read_ours, log), ("sqlite3-rows", partial(read_theirs, rows))
            passed &= bench("journal.read", "readings/s", ours, peer=theirs, goal=1.0, runs=RUNS, conditions=conditions)["passed"]
    passed &= sealed({"tags": TAGS, "partitions": PARTITIONS, "batch": BATCH, "readings": BATCHES * BATCH})
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
