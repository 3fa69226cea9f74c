"""The reserved part of the edge journal, what the file takes on its disk, and giving it back."""

import asyncio
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.gateway.edge_support import CHURN, alarm, alarms, fill, notes, positions, readings, stored, writer_of

from trunkline.config.site import BufferConfig
from trunkline.gateway.buffer import HIGH_MARK, BufferKeeper
from trunkline.gateway.confirmed import Confirmed
from trunkline.gateway.edge import EdgeWriter, edge_counts
from trunkline.gateway.forwarder import Forwarder
from trunkline.gateway.room import Room
from trunkline.ledger.confirmation import Confirmation, ConfirmedLane, encode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.log.codec.events import decode_event
from trunkline.log.journal import schema
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Log, Record, Topic, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import NoRoom
from trunkline.model.reading import Category

MB = 1_000_000
BOUNDS = BufferConfig(max_bytes=24 * MB, reserved_bytes=12 * MB)


def keeper_of(edge: Journal, site: Callable[[], Log], layout: Layout, config: BufferConfig = BOUNDS) -> BufferKeeper:
    return BufferKeeper(edge, Forwarder(edge, site, layout), layout, config, Confirmed(edge, layout))


def trouble(writer: EdgeWriter) -> str:
    """Return why the writer cannot write now."""
    return writer.error or ""


async def test_telemetry_leaves_the_reserved_part_to_alarms(edge: Journal, open_site: Callable[[], Log], layout: Layout) -> None:
    """PD-10, D-24, W-102: no append of telemetry passes its share; alarms get in meanwhile, into the rest and no further."""
    keeper = keeper_of(edge, open_site, layout)
    room = keeper.room
    assert (room.share, room.reserved) == (12 * MB, 12 * MB)
    writer = writer_of(edge, layout, room)
    writer.start()
    written = 0
    try:
        waiting = asyncio.create_task(writer.submit(notes(0, 4)))
        while True:
            done, _ = await asyncio.wait([waiting], timeout=0.01)
            if not done and trouble(writer):
                break
            if done:
                written += 4
                assert edge.space().used <= room.share
                waiting = asyncio.create_task(writer.submit(notes(written, 4)))
        assert written >= 100
        assert "may use are used up" in trouble(writer)
        await writer.submit((), [alarm("while telemetry waits")])
        await writer.submit(notes(0, 0), [alarm("and another")])
        assert alarms(edge, layout) == 2
        assert not waiting.done()

        keeper.tend(times.now())  # gives up the oldest, so that the rest gets in
        await waiting
        assert trouble(writer) == ""
        assert edge.space().used <= room.share
        assert alarms(edge, layout) == 2

        await asyncio.gather(*(writer.submit((), [alarm("x" * 100_000 + str(number))]) for number in range(20)))
        assert alarms(edge, layout) == 22
        assert edge.space().used <= room.ceiling
    finally:
        writer.abandon()
    with pytest.raises(NoRoom):
        edge.append_many({}, meta={"x": "y"}, within=edge.space().used - 4096)
    assert edge.meta("x") is None


async def test_alarms_do_not_push_telemetry_out_of_its_share_until_they_pass_the_reserve(edge: Journal, layout: Layout) -> None:
    """PD-10: the marks apply to the part of telemetry; alarms beyond the reserved part take from it, so that the disk's bound holds."""
    room = Room(edge, layout, BOUNDS)
    assert room.size() < MB
    assert room.limit == room.share
    topic = layout.topic(Category.ALARM, "raw")
    edge.append(topic, [Record(_noise(MB - 1000, number)) for number in range(6)])
    assert room.size() < MB
    assert room.limit == room.share
    edge.append(topic, [Record(_noise(MB - 1000, number)) for number in range(6, 14)])
    assert room.size() < MB
    assert room.share - 10 * MB < room.limit < room.share
    assert room.within == room.ceiling < room.max_bytes


def _noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def test_the_bound_holds_for_the_disk_and_drops_are_told_exactly(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """W-97, W-101, W-103: file and write-ahead log stay below max_bytes, and the notices name just what is missing."""
    keeper = keeper_of(edge, open_site, layout)
    writer = writer_of(edge, layout, keeper.room)
    writer.start()
    total = 0
    for _ in range(40):
        await writer.submit(notes(total, 10))
        await writer.submit(readings(total + 10, 2))
        total += 12
        keeper.tend(times.now())
        space = edge.space()
        assert space.disk <= BOUNDS.max_bytes
        assert keeper.size() <= HIGH_MARK * keeper.room.limit
        files = [file for file in edge.path.parent.iterdir() if file.name.startswith(edge.path.name)]
        on_disk = sum(file.stat().st_blocks * 512 for file in files)
        assert on_disk <= BOUNDS.max_bytes
    writer.stop()
    kept = set(positions(edge, layout))
    notices = [decode_event(record.value) for record in stored(edge, layout.overflow)]
    assert 0 < len(kept) < total
    assert notices
    (cell,) = edge_counts(edge.tallies())
    assert cell.dropped == total - len(kept) == sum(int(str(one.attributes["readings"])) for one in notices)
    for partition in range(3):
        ranges = [one.attributes for one in notices if one.attributes["partition"] == partition]
        told = Coverage((int(str(one["lo"])), int(str(one["hi"]))) for one in ranges)
        topic = layout.topic(Category.TELEMETRY, "raw")
        first, _ = edge.bounds(topic)[TopicPartition(topic, partition)]
        assert told.holes() == ()
        assert sum(int(str(one["last_offset"])) + 1 - int(str(one["first_offset"])) for one in ranges) == first
    forwarder = Forwarder(edge, open_site, layout)
    while forwarder.step():
        pass
    assert set(positions(site, layout)) == kept


async def test_the_disk_goes_back_to_its_baseline_when_a_backlog_is_gone(
    edge: Journal, site: Log, open_site: Callable[[], Log], layout: Layout
) -> None:
    """PD-10: filled while the link was away, forwarded, confirmed, pruned: the file is as small as before, and whole."""
    await fill(edge, layout, readings(0, 100))
    forwarder, confirmed = Forwarder(edge, open_site, layout), Confirmed(edge, layout)
    keeper = BufferKeeper(edge, forwarder, layout, BufferConfig(retention_days=1), confirmed)
    before = edge.space()
    await fill(edge, layout, *(notes(start, 20) for start in range(100, 500, 20)))
    full = edge.path.stat().st_size
    assert full > before.file + 10 * MB
    keeper.tend(times.now() + 2 * times.DAY)
    assert edge.path.stat().st_size >= full, "what waits stays"
    while forwarder.step():
        pass
    topic = layout.topic(Category.TELEMETRY, "raw")
    lanes = [ConfirmedLane(topic, at.partition, [(0, 500)]) for at in site.bounds(topic)]
    site.append(layout.confirmations, [Record(encode_confirmation(Confirmation(edge.id, times.now(), lanes)), key=edge.id.encode())])
    confirmed.learn(site)
    keeper.tend(times.now() + 2 * times.DAY)
    assert positions(edge, layout) == []
    assert edge.path.stat().st_size <= before.file + 3 * MB
    assert edge.space().file == edge.path.stat().st_size
    with closing(sqlite3.connect(edge.path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    await fill(edge, layout, readings(500, 50))
    while forwarder.step():
        pass
    assert positions(site, layout) == list(range(550))


def earlier_release(path: Path) -> str:
    """Make a journal as earlier releases did, without a pointer map; return its id."""
    with Journal(path) as journal:
        identity = journal.id
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.create(db, identity, shrinks=False)
        db.execute("PRAGMA journal_mode = WAL")
    return identity


def test_a_file_of_an_earlier_release_shrinks_once_it_holds_little(tmp_path: Path) -> None:
    """It opens and works; while it holds much nothing is given back, then it is written anew under the same identity."""
    path, at = tmp_path / "journal.db", TopicPartition("a", 0)
    identity = earlier_release(path)
    with Journal(path) as journal, Journal(path) as other:
        journal.create([Topic("a")])
        journal.append("a", [Record(_noise(MB, number)) for number in range(25)])
        journal.delete_before(at, 5)
        before = journal.space()
        assert before.free > 4 * MB
        journal.give_back(0, 5.0)
        assert journal.space().free == before.free
        journal.delete_before(at, 24)
        journal.append_many({}, tallies={("a",): 3}, meta={"b": "c"})
        journal.give_back(0, 5.0)
        assert path.stat().st_size < 2 * MB
        for one in (journal, other):
            assert [record.value for record in one.read(at, 0)] == [_noise(MB, 24)]
            assert (one.id, one.tallies(), one.meta("b"), one.bounds("a")[at]) == (identity, {("a",): 3}, "c", (24, 25))
        other.append("a", [Record(b"more")])
    with Journal(path) as journal, closing(sqlite3.connect(path)) as db:
        assert schema.shrinks(db)
        assert [record.offset for record in journal.read(at, 0)] == [24, 25]
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_what_is_salvaged_out_of_a_file_of_an_earlier_release_can_shrink(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    identity = earlier_release(path)
    with Journal(path) as journal:
        journal.create([Topic("a")])
        journal.append("a", [Record(b"x")])
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = bytes(2 * 4096)
    path.write_bytes(content)
    with Journal(path) as journal, closing(sqlite3.connect(path)) as db:
        assert journal.id == identity
        assert schema.shrinks(db)


@pytest.mark.parametrize("seed", range(4))
def test_killed_while_giving_back(tmp_path: Path, seed: int) -> None:
    """P-117: what was acknowledged is there, and the file is whole."""
    path = tmp_path / "journal.db"
    script = tmp_path / "churn.py"
    script.write_text(CHURN)
    process = subprocess.Popen([sys.executable, script, path, str(seed)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [line.split() for line, _ in zip(process.stdout, range(7 + 3 * seed), strict=False)]
    process.send_signal(signal.SIGKILL)
    said += [line.split() for line in process.stdout]
    process.wait()
    ends = [int(number) for what, number in said if what == "appended"]
    firsts = [int(number) for what, number in said if what == "first"]
    assert ["given", "0"] in said
    at = TopicPartition("a", 0)
    with Journal(path) as journal:
        first, end = journal.bounds("a")[at]
        assert first in {firsts[-1], firsts[-1] + 60}
        assert end in {ends[-1], ends[-1] + 60}
        assert [record.offset for record in journal.read(at, first, 1000)] == list(range(first, end))
        assert journal.quarantined() == []
    assert not list(tmp_path.glob("*.corrupt-*"))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_damage_after_giving_back_is_salvaged(edge: Journal, layout: Layout, tmp_path: Path) -> None:
    """A file that was shortened holds pages that moved; salvage finds every record once."""
    await fill(edge, layout, *(notes(start, 10) for start in range(0, 200, 10)))
    topic = layout.topic(Category.TELEMETRY, "raw")
    for at, (first, end) in edge.bounds(topic).items():
        edge.delete_before(at, (first + end) // 2)
    kept = positions(edge, layout)
    edge.give_back(0, 5.0)
    assert edge.space().free == 0
    edge.store.checkpoint()
    copied = tmp_path / "copied" / "journal.db"
    copied.parent.mkdir()
    shutil.copy(edge.path, copied)
    shutil.copy(edge.path.with_name("journal.db.marks"), copied.with_name("journal.db.marks"))
    with copied.open("rb+") as file:
        file.seek(4096)
        file.write(bytes(range(256)) * 16)  # the pointer map
    with Journal(copied) as journal:
        assert positions(journal, layout) == kept
    assert list(copied.parent.glob("*.corrupt-*"))


LIMITED = """
import resource, sys
from pathlib import Path
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.reserve import Reserve
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model.errors import DiskFull
with Journal(Path(sys.argv[1])) as journal:
    journal.create([Topic("a")])
    journal.append("a", [Record(b"before")])
    reserve = Reserve(journal.path.with_name("journal.db.reserve"), 1 << 20)
    assert reserve.hold() and reserve.held == 1 << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))
    try:
        journal.append("a", [Record(b"refused" * 20_000)])
    except DiskFull as error:
        print(error)
    reserve.release()
    assert not reserve.hold() and reserve.held == 0 and reserve.spent
    reserve = Reserve(journal.path.with_name("journal.db.reserve"), 1 << 21)  # as after a restart
    assert reserve.spent and not reserve.hold()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert reserve.hold() and reserve.held == 1 << 20
    journal.append("a", [Record(b"after")])
    print([record.value for record in journal.read(TopicPartition("a", 0), 0)])
"""


def test_a_limit_on_files_is_a_full_disk(tmp_path: Path) -> None:
    """PD-10: so a quota is, which SQLite tells in the same way; the reserve is not held anew before there is room."""
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    said = subprocess.run([sys.executable, script, tmp_path / "journal.db"], capture_output=True, text=True, check=True, timeout=60)
    refused, kept = said.stdout.splitlines()
    assert "the disk reports an error or is full" in refused
    assert kept == "[b'before', b'after']"
