"""A damaged journal: mended on the way, never a crash, never an offset used twice, every loss on record."""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from trunkline.log.journal.journal import Journal
from trunkline.log.journal.salvage import beside
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import Misconfigured

LANES = [TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)]


@dataclass
class Truth:
    """What was acknowledged."""

    id: str = ""
    records: dict[TopicPartition, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    tallies: dict[tuple[str, ...], int] = field(default_factory=dict)


def fill(path: Path, seed: int, appends: int) -> tuple[Journal, Truth]:
    """Return an open journal with incompressible and compressible batches of many sizes, and what is in it."""
    chance = random.Random(seed)
    journal = Journal(path)
    truth = Truth(journal.id)
    journal.create([Topic("a", 2), Topic("b", 1)])
    consumer = journal.consumer("g", ["a", "b"], "worker-0")
    for turn in range(appends):
        at = chance.choice(LANES)
        size = chance.choice([10, 300, 5000])
        values = [chance.randbytes(size) if turn % 2 else b"%d" % turn * (size // 4) for _ in range(chance.randint(1, 5))]
        key = ("read", f"source-{turn % 7}")
        journal.append_many({at.topic: [Record(value, partition=at.partition) for value in values]}, tallies={key: len(values)})
        truth.records[at] += values
        truth.tallies[key] = truth.tallies.get(key, 0) + len(values)
    truth.positions = consumer.poll(10_000, 5.0).positions
    consumer.commit(truth.positions)
    consumer.close()
    journal.append_many({}, meta={"configuration": "7"})
    return journal, truth


def copy(source: Path, target: Path) -> Path:
    """Copy a journal as a power cut would leave it."""
    target.mkdir()
    for suffix in ("", "-wal", ".marks"):
        if beside(source, suffix).exists():
            shutil.copy(beside(source, suffix), beside(target / source.name, suffix))
    return target / source.name


def read_all(journal: Journal, at: TopicPartition) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while records := journal.read(at, offset):
        found |= {record.offset: record.value for record in records}
        offset = records[-1].offset + 1
    return found


def check(path: Path, truth: Truth, *, facts: bool = True) -> int:
    """Open a damaged journal and compare; return the number of records lost."""
    lost = 0
    with Journal(path) as journal:
        assert journal.id == truth.id
        for at in LANES:
            found = read_all(journal, at)
            gone = {o for q in journal.quarantined() if (q.topic, q.partition) == at for o in range(q.first, min(q.next, 10_000))}
            for offset, value in enumerate(truth.records[at]):
                if offset in found:
                    assert found[offset] == value, f"{at}@{offset} changed"
                else:
                    assert offset in gone, f"{at}@{offset} is missing and nobody says so"
                    lost += 1
            assert all(offset < len(truth.records[at]) for offset in found), "records that nobody wrote"
            first_new = journal.append(at.topic, [Record(b"new", partition=at.partition)])[at] - 1
            assert first_new >= len(truth.records[at]), f"offset {first_new} of {at} used twice"
            assert journal.read(at, first_new)[0].value == b"new"
            newest = journal.last(at)
            assert newest is not None
            assert newest.value == b"new"
        if facts:
            assert journal.tallies() == truth.tallies
            assert journal.meta("configuration") == "7"
            assert journal.committed("g") == truth.positions
        with journal.consumer("g", ["a", "b"], "worker-0") as consumer:
            assert {record.value for record in consumer.poll(1000, 5.0).records} >= {b"new"}
    with Journal(path) as journal:  # what was mended stays mended
        assert journal.id == truth.id
    return lost


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    path = tmp_path_factory.mktemp("closed") / "log.db"
    journal, truth = fill(path, 1, 150)
    journal.close()
    assert not beside(path, "-wal").exists()
    return path, truth


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A journal cut off in the middle: everything is still in the write-ahead log."""
    path = tmp_path_factory.mktemp("cut") / "log.db"
    journal, truth = fill(path, 2, 100)
    snapshot = copy(path, path.parent / "snapshot")
    journal.close()
    return snapshot, truth


def flip(path: Path, chance: random.Random, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(bits):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def test_an_undamaged_copy_loses_nothing(closed: tuple[Path, Truth], cut: tuple[Path, Truth], tmp_path: Path) -> None:
    for name, (path, truth) in {"closed": closed, "cut": cut}.items():
        assert check(copy(path, tmp_path / name), truth) == 0
        assert not list((tmp_path / name).glob("*.corrupt-*"))


@pytest.mark.parametrize("seed", range(50))
def test_flipped_bits(closed: tuple[Path, Truth], tmp_path: Path, seed: int) -> None:
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    flip(damaged, random.Random(seed))
    assert check(damaged, truth) <= 60


@pytest.mark.parametrize("seed", range(25))
def test_flipped_bits_in_the_write_ahead_log(cut: tuple[Path, Truth], tmp_path: Path, seed: int) -> None:
    """SQLite would silently stop reading at the first page that fails its checksum and lose everything behind it."""
    path, truth = cut
    damaged = copy(path, tmp_path / "damaged")
    flip(beside(damaged, "-wal"), random.Random(seed))
    assert check(damaged, truth) <= 60


@pytest.mark.parametrize("place", [0, 4, 8, 20, 24, 4119])
def test_damage_to_the_very_last_commit(cut: tuple[Path, Truth], tmp_path: Path, place: int) -> None:
    """It looks like a write that was cut off before it was acknowledged; its offsets are left free all the same."""
    path, truth = cut
    damaged = copy(path, tmp_path / "damaged")
    wal = beside(damaged, "-wal")
    content = bytearray(wal.read_bytes())
    frames = [at for at in range(32, len(content) - 4119, 4120) if content[at + 8 : at + 16] == content[16:24]]
    content[frames[-1] + place] ^= 0x10
    wal.write_bytes(content)
    check(damaged, truth, facts=False)


@pytest.mark.parametrize("seed", range(15))
def test_a_page_of_garbage(closed: tuple[Path, Truth], tmp_path: Path, seed: int) -> None:
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    chance = random.Random(seed)
    content = bytearray(damaged.read_bytes())
    page = 0 if seed == 0 else chance.randrange(len(content) // 4096)
    content[page * 4096 : (page + 1) * 4096] = chance.randbytes(4096)
    damaged.write_bytes(content)
    with capture_logs() as said:
        assert check(damaged, truth) <= 100
    aside = list(tmp_path.glob("damaged/*.corrupt-*"))
    mendings = [entry for entry in said if "salvaged" in entry["event"]]
    assert {entry["aside"] for entry in mendings} == {file.name for file in aside if not file.name.endswith("-wal")}, "people are told"
    assert all(file.read_bytes()[page * 4096 :][:4096] == content[page * 4096 :][:4096] for file in aside), (
        "the damaged file is kept as it was"
    )


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(closed: tuple[Path, Truth], tmp_path: Path, share: float) -> None:
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    with damaged.open("rb+") as file:
        file.truncate(int(damaged.stat().st_size * share))
    check(damaged, truth, facts=share > 0.8)


def test_a_file_that_is_gone_does_not_start_again_at_0(closed: tuple[Path, Truth], tmp_path: Path) -> None:
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    damaged.unlink()
    check(damaged, truth, facts=False)


def test_a_note_that_names_no_file_does_not_keep_the_journal_closed(closed: tuple[Path, Truth], tmp_path: Path) -> None:
    """Its writer was killed between making and filling it."""
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    beside(damaged, ".mending").touch()
    assert check(damaged, truth) == 0
    assert not beside(damaged, ".mending").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"0000\n{}"])
def test_damaged_marks_are_written_anew(closed: tuple[Path, Truth], tmp_path: Path, content: bytes) -> None:
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    beside(damaged, ".marks").write_bytes(content)
    assert check(damaged, truth) == 0
    assert not list(tmp_path.glob("damaged/*.corrupt-*"))


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match="no journal"):
        Journal(path)
    assert path.read_bytes() == before


def test_damage_found_while_reading_is_mended_under_way(closed: tuple[Path, Truth], tmp_path: Path) -> None:
    """A batch that fails its check is kept apart and reading goes on behind it; other holders of the file notice nothing."""
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    at = LANES[0]
    with Journal(damaged) as journal, Journal(damaged) as other:
        db = sqlite3.connect(damaged)
        rows = db.execute("SELECT id, count, frame FROM batch WHERE id < ? ORDER BY id", (2 << 47,)).fetchall()
        rowid, count, frame = rows[3]
        db.execute("UPDATE batch SET frame = ? WHERE id = ?", (frame[:-1] + bytes([frame[-1] ^ 1]), rowid))
        db.commit()
        db.close()
        first = rowid & ((1 << 47) - 1)
        with other.consumer("h", ["a"], "worker-0") as consumer:
            seen = {(record.partition, record.offset) for record in consumer.poll(100_000, 5.0).records}
            seen |= {(record.partition, record.offset) for record in consumer.poll(100_000, 0.0).records}
        missing = {offset for offset in range(len(truth.records[at])) if (0, offset) not in seen}
        assert missing == set(range(first, first + count))
        (entry,) = journal.quarantined()
        assert (entry.kind, entry.topic, entry.partition, entry.first, entry.next) == ("damaged", "a", 0, first, first + count)
        assert "checksum" in entry.reason
        assert len(entry.frame) == len(frame)
        assert journal.read(at, first, 1)[0].offset == first + count


def test_another_process_mends_the_file_under_us(closed: tuple[Path, Truth], tmp_path: Path) -> None:
    """Whoever has the old file open follows to the new one: no append goes into the file set aside."""
    path, truth = closed
    damaged = copy(path, tmp_path / "damaged")
    at = LANES[2]
    with Journal(damaged) as journal, journal.consumer("h", ["b"], "worker-0") as consumer:
        batch = consumer.poll(100_000, 5.0)
        assert len(batch.records) == len(truth.records[at])
        consumer.commit(batch.positions)
        mending = """
import sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record
with Journal(Path(sys.argv[1])) as journal:
    with journal.store._exclusive():
        journal.store._mend("a drill")
    print(journal.append("b", [Record(b"theirs")]))
"""
        subprocess.run([sys.executable, "-c", mending, str(damaged)], check=True, timeout=60)
        assert len(list(tmp_path.glob("damaged/*.corrupt-*Z"))) == 1
        journal.append("b", [Record(b"ours")])
        values: list[bytes] = []
        while len(values) < 2:
            values += [record.value for record in consumer.poll(10, 0.2).records]
        assert values == [b"theirs", b"ours"]
        assert journal.tallies() == truth.tallies
        assert beside(damaged, "-wal").exists(), "closing the old file must leave the new one's write-ahead log alone"
    assert [record.value for record in Journal(damaged).read(at, len(truth.records[at]))] == [b"theirs", b"ours"]


@pytest.mark.parametrize("step", ["noted", "moved", "moved with its log", "replaced"])
def test_an_interrupted_mending_is_finished(cut: tuple[Path, Truth], tmp_path: Path, step: str) -> None:
    path, truth = cut
    damaged = copy(path, tmp_path / "damaged")
    aside = beside(damaged, ".corrupt-then")
    beside(damaged, ".mending").write_text(f"{aside.name}\na drill")
    if step != "noted":
        damaged.rename(aside)
    if step == "moved with its log":
        beside(damaged, "-wal").rename(beside(aside, "-wal"))
        beside(damaged, ".fresh").write_bytes(b"half a file")
    if step == "replaced":
        beside(damaged, "-wal").rename(beside(aside, "-wal"))
        whole = copy(path, tmp_path / "whole")
        for suffix in ("", "-wal"):
            beside(whole, suffix).rename(beside(damaged, suffix))
    assert check(damaged, truth) == 0
    assert not beside(damaged, ".mending").exists()


def test_a_writer_killed_between_head_and_page_of_its_last_frame(tmp_path: Path) -> None:
    """P-117: the head says that the transaction is over, the page is what lay there before: that page must not hide the true one."""
    path = tmp_path / "log.db"
    with Journal(path) as journal:
        journal.create([Topic("a"), Topic("b")])
        for turn in range(400):
            journal.append_many({"a": [Record(b"x" * 40)], "b": [Record(b"%d" % turn)]})
        snapshot = copy(path, tmp_path / "snapshot")
    wal = beside(snapshot, "-wal")
    content = bytearray(wal.read_bytes())
    frames = [at for at in range(32, len(content) - 4119, 4120) if content[at + 8 : at + 16] == content[16:24]]
    commits = [at for at in frames if content[at + 4 : at + 8] != bytes(4)]
    assert commits[-1] == frames[-1]
    for last in commits[-40:]:
        torn = copy(snapshot, tmp_path / f"torn-{last}")
        before = content[frames[0] + 24 : frames[0] + 4120]  # an older page, as after the log began anew
        beside(torn, "-wal").write_bytes(content[: last + 24] + before)
        with Journal(torn) as journal:
            found = [int(value) for value in read_all(journal, TopicPartition("b", 0)).values()]
            assert found == list(range(400 - len(commits) + commits.index(last)))
            assert all(entry.kind == "skipped" for entry in journal.quarantined())
        assert not list(torn.parent.glob("*.corrupt-*"))
