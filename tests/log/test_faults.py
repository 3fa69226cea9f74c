"""Processes killed at any instant, disks that are full or read-only: what was acknowledged stays, nothing is ever half there."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trunkline.log.journal import marks
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.salvage import beside
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import RetryLater

A, B = TopicPartition("a", 0), TopicPartition("b", 0)
PATIENCE = 60.0

WRITER = """
import random, sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, TopicPartition
A = TopicPartition("a", 0)
chance = random.Random(int(sys.argv[2]))
journal = Journal(Path(sys.argv[1]))
turn = int(journal.meta("turn") or 0)
while True:
    turn += 1
    n = chance.choice([1, 3, 40])
    body = chance.randbytes(chance.choice([10, 3000, 60_000]))
    journal.append_many(
        {"a": [Record(b"%d " % turn + body)] * n, "b": [Record(b"%d" % turn)]},
        tallies={("a",): n, ("b",): 1, ("b", str(turn % 5)): 1},
        meta={"turn": str(turn), "a": str(n)},
    )
    print(turn, n, flush=True)
    if turn % 50 == 0:
        journal.delete_before(A, journal.bounds("a")[A][1] - 20)
"""

STEPPER = """
import sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
journal = Journal(Path(sys.argv[1]))
consumer = journal.consumer("copy", ["a"], "worker-0")
print("ready", flush=True)
while True:
    batch = consumer.poll(7, 0.1)
    if batch.records:
        consumer.commit(batch.positions, with_appends={"b": [Record(r.value) for r in batch.records]}, tallies={("n",): len(batch.records)})
        print(batch.positions, flush=True)
"""


def kill_at_random(script: str, arguments: list[str], chance: random.Random) -> list[str]:
    """Run a script, kill it at a random instant after it first spoke, and return what it said."""
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    said: list[str] = []
    assert process.stdout is not None
    reading = threading.Thread(target=said.extend, args=(process.stdout,))
    reading.start()
    deadline = time.monotonic() + PATIENCE
    while not said and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(chance.random() * 0.12)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    reading.join(PATIENCE)
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
    return [line for line in said if line.endswith("\n")]


def test_a_writer_killed_at_any_instant(tmp_path: Path) -> None:
    """P-117: 20 kills; every acknowledged step is there, whole, and no step is there in part."""
    path = tmp_path / "log.db"
    with Journal(path) as journal:
        journal.create([Topic("a"), Topic("b")])
    chance = random.Random(7)
    acknowledged = 0
    for _ in range(20):
        said = kill_at_random(WRITER, [str(path), str(chance.randrange(1 << 30))], chance)
        if said:
            acknowledged = int(said[-1].split()[0])
        with Journal(path) as journal:
            turn = int(journal.meta("turn") or 0)
            assert acknowledged <= turn <= acknowledged + 1
            steps = []
            offset = 0
            while records := journal.read(B, offset):
                steps += [int(record.value) for record in records]
                offset = records[-1].offset + 1
            assert steps == list(range(1, turn + 1))
            newest = journal.last(A)
            assert newest is not None
            assert newest.value.split(b" ")[0] == b"%d" % turn
            assert journal.tallies(("b",))[("b",)] == turn
            assert sum(count for key, count in journal.tallies(("b",)).items() if len(key) == 2) == turn
            appended = journal.tallies(("a",))[("a",)]
            skipped = sum(entry.next - entry.first for entry in journal.quarantined() if entry.topic == "a")
            assert journal.bounds("a")[A][1] - skipped == appended
            assert all(entry.kind == "skipped" for entry in journal.quarantined())
            acknowledged = turn
    assert acknowledged > 20
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_a_step_killed_at_any_instant_acts_once(tmp_path: Path) -> None:
    """P-121: positions and outputs are one transaction, so a step that reads, appends and commits copies each record once."""
    path = tmp_path / "log.db"
    with Journal(path) as journal:
        journal.create([Topic("a"), Topic("b")])
        for start in range(0, 20_000, 1000):
            journal.append("a", [Record(b"%d" % i) for i in range(start, start + 1000)])
        chance = random.Random(11)
        for _ in range(6):
            kill_at_random(STEPPER, [str(path)], chance)
            copied = [int(record.value) for record in journal.read(B, 0, 100_000)]
            assert copied == list(range(len(copied)))
            assert journal.committed("copy").get(A, 0) == len(copied) == journal.tallies().get(("n",), 0)


def test_a_mending_killed_at_any_instant(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with Journal(path) as journal:
        journal.create([Topic("a")])
        for turn in range(400):
            journal.append_many({"a": [Record(b"%d" % turn)]}, tallies={("n",): 1})
        identity = journal.id
    mending = """
import sys
from pathlib import Path
from trunkline.log.journal.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    with store._exclusive():
        store._mend("a drill")
        store._current()
"""
    chance = random.Random(3)
    for _ in range(8):
        kill_at_random(mending, [str(path)], chance)
        with Journal(path) as journal:
            assert journal.id == identity
            assert [int(record.value) for record in journal.read(A, 0, 1000)][:400] == list(range(400))
            assert journal.tallies() == {("n",): 400}
        for aside in tmp_path.glob("*.corrupt-*"):
            aside.unlink()


# ---------------------------------------------------------------------- disks


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "log.db") as opened:
        opened.create([Topic("a"), Topic("b")])
        yield opened


def writer_pragma(journal: Journal, pragma: str) -> None:
    with journal.store._exclusive():
        journal.store._current().execute(f"PRAGMA {pragma}")


def test_a_full_file_takes_nothing_by_halves(journal: Journal) -> None:
    (pages,) = journal.store.read(lambda db: db.execute("PRAGMA page_count").fetchone())
    writer_pragma(journal, f"max_page_count = {pages + 20}")
    stored = 0
    while True:
        try:
            journal.append_many({"a": [Record(os.urandom(3000))] * 3, "b": [Record(b"1")]}, tallies={("n",): 1})
        except RetryLater as error:
            assert "full" in str(error)  # noqa: PT017 - the one that ends the loop
            break
        stored += 1
    assert stored > 0
    for _ in range(2):
        assert journal.bounds("a")[A] == (0, 3 * stored)
        assert journal.bounds("b")[B] == (0, stored)
        assert journal.tallies() == {("n",): stored}
    journal.delete_before(A, 3)
    assert journal.append_many({"a": [Record(b"deleting makes room")]}) == {A: 3 * stored + 1}
    writer_pragma(journal, "max_page_count = 1000000")
    assert journal.append("a", [Record(os.urandom(300_000))]) == {A: 3 * stored + 2}


def test_a_disk_that_refuses_to_grow(tmp_path: Path) -> None:
    """The limit of the process stands for the disk's: the kernel refuses the write itself, which works for root too."""
    script = """
import os, resource, sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import RetryLater
A = TopicPartition("a", 0)
journal = Journal(Path(sys.argv[1]))
journal.create([Topic("a")])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for room in (600_000, 700_000, 1_000_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    refused = 0
    while refused < 3:
        before = journal.bounds("a")[A][1]
        try:
            journal.append_many({"a": [Record(os.urandom(9_000))] * 2}, tallies={("n",): 2})
        except RetryLater as error:
            assert "disk" in str(error), error
            assert journal.bounds("a")[A][1] == before == journal.tallies().get(("n",), 0)
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.append_many({"a": [Record(b"again")]}, tallies={("n",): 1}) == {A: before + 1}
journal.close()
with Journal(Path(sys.argv[1])) as journal:
    end = journal.bounds("a")[A][1]
    assert [r.offset for r in journal.read(A, 0, 100_000)] == list(range(end))
    assert journal.quarantined() == []
print(end)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "log.db")], check=True, timeout=PATIENCE, capture_output=True, text=True
    )
    assert int(done.stdout) > 30


def test_a_read_only_file(journal: Journal) -> None:
    journal.append("a", [Record(b"1")])
    with journal.consumer("g", ["a"], "worker-0") as consumer:
        batch = consumer.poll(10, 5.0)
        writer_pragma(journal, "query_only = ON")
        with pytest.raises(RetryLater, match="read-only"):
            journal.append("a", [Record(b"2")])
        with pytest.raises(RetryLater, match="read-only"):
            consumer.commit(batch.positions)
        assert [record.value for record in journal.read(A, 0)] == [b"1"]
        writer_pragma(journal, "query_only = OFF")
        consumer.commit(batch.positions)
    assert journal.append("a", [Record(b"2")]) == {A: 2}


@pytest.mark.parametrize("place", ["/proc/log.db", "/dev/null/log.db"])
def test_a_place_where_no_journal_can_be(place: str) -> None:
    with pytest.raises(RetryLater, match="cannot be opened"):
        Journal(Path(place))


def test_marks_that_cannot_be_written_hold_back_the_append(journal: Journal) -> None:
    """Nothing is given out above the ceiling before the ceiling is durable."""
    blocked = beside(journal.path, ".marks.new")
    blocked.mkdir()
    journal.store.marks = marks.Marks(journal.id, 0)
    beside(journal.path, ".marks").unlink()
    with pytest.raises(RetryLater, match="cannot be written"):
        journal.append("a", [Record(b"1")])
    assert journal.bounds("a")[A] == (0, 0)
    blocked.rmdir()
    assert journal.append("a", [Record(b"1")]) == {A: 1}
