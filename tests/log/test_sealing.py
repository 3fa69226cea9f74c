"""A sealed journal: nothing of its records can be read or moved without the key, and no damage or wrong key loses what it need not.

The rows speak of data that survives (W-2, D-2, PD-10); sealing must not take any of it back.
"""

import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.log.behaviour import LogBehaviour, log
from tests.log.test_damage import LANES, fill, read_all
from tests.log.test_journal import JournalEngine

from trunkline.log.journal import frames, inspecting, marks, schema, sealing
from trunkline.log.journal.journal import Journal
from trunkline.log.journal.salvage import beside
from trunkline.log.journal.sealing import Key, WrongKey
from trunkline.log.port import Record, Topic, TopicPartition
from trunkline.model import times as clock
from trunkline.model.errors import CorruptData, Misconfigured, RetryLater

__all__ = ["log"]

KEY, OTHER = Key(bytes(range(32))), Key(bytes(range(1, 33)))
A0, A1, B0 = TopicPartition("a", 0), TopicPartition("a", 1), TopicPartition("b", 0)
VALUE, TAG, NAME, HEADER, STAND = b"marker-of-the-value", b"PLANT.AREA.MARKER", "marker-name", b"marker-header", "marker-checkpoint"
MARKERS = [VALUE, TAG, NAME.encode(), HEADER, STAND.encode()]


class SealedEngine(JournalEngine):
    """A sealed journal in a folder."""

    def open(self) -> Journal:
        return Journal(self.path, max_record_bytes=self.max_record_bytes, key=KEY)

    def source(self) -> str:
        opening = "from trunkline.log.journal.journal import Journal\nfrom trunkline.log.journal.sealing import Key\n"
        return f"from pathlib import Path\n{opening}log = Journal(Path({str(self.path)!r}), key=Key(bytes(range(32))))"


@pytest.fixture
def engine(tmp_path: Path) -> SealedEngine:
    return SealedEngine(tmp_path / "journal" / "log.db")


class TestBehaviour(LogBehaviour):
    """The suite of all engines."""


@pytest.mark.parametrize(
    ("byte", "place", "sealed"),
    [
        (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_cipher_is_the_one_that_is_published(monkeypatch: pytest.MonkeyPatch, byte: int, place: bytes, sealed: str) -> None:
    """The test vectors of C2SP's XAES-256-GCM."""
    monkeypatch.setattr(sealing, "urandom", lambda _: b"ABCDEFGHIJKLMNOPQRSTUVWX")
    key = Key(bytes([byte]) * 32)
    made = key.seal(b"XAES-256-GCM", place)
    assert made.hex() == b"ABCDEFGHIJKLMNOPQRSTUVWX".hex() + sealed
    assert key.open(made, place) == b"XAES-256-GCM"


def test_what_is_sealed_opens_with_its_key_for_its_place_only() -> None:
    made = KEY.seal(b"plain", b"here")
    assert len(made) == len(b"plain") + sealing.OVERHEAD
    assert KEY.open(made, b"here") == b"plain"
    for key, content, place in ((OTHER, made, b"here"), (KEY, made, b"there"), (KEY, made[:-1], b"here"), (KEY, b"", b"here")):
        with pytest.raises(CorruptData):
            key.open(content, place)
    for byte in range(len(made)):
        with pytest.raises(CorruptData):
            KEY.open(made[:byte] + bytes([made[byte] ^ 1]) + made[byte + 1 :], b"here")
    text = KEY.seal_text("plain", "here")
    assert (KEY.open_text(text, "here"), sealing.is_sealed_text(text)) == ("plain", True)
    with pytest.raises(CorruptData):
        KEY.open_text(text, "there")
    with pytest.raises(ValueError, match="32 bytes, not 5"):
        Key(b"short")
    assert bytes(range(32)).hex() not in repr(KEY)


def test_a_key_in_its_wrapping() -> None:
    inner = Key.random()
    wrapped = KEY.wrap(inner)
    assert (sealing.needed(wrapped), KEY.unwrap(wrapped).fingerprint) == (KEY.fingerprint, inner.fingerprint)
    assert wrapped != KEY.wrap(inner)
    for bad in (wrapped[:-8], "", "1:ab:cd", "garbage"):
        with pytest.raises(WrongKey):
            KEY.unwrap(bad)
    with pytest.raises(WrongKey, match=f"key {KEY.fingerprint}, not with {OTHER.fingerprint}"):
        OTHER.unwrap(wrapped)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def write(journal: Journal, times: int = 5) -> None:
    """Append records that carry every marker, small ones and ones that are compressed."""
    for _ in range(times):
        one = Record(VALUE, TAG, ((NAME, HEADER),))
        journal.append_many({"a": [one._replace(partition=0), one._replace(partition=1)], "b": [one] * 20}, private={"stand": STAND})


@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "sealed"])
def test_nothing_of_a_record_is_on_the_disk(tmp_path: Path, key: Key | None) -> None:
    """Value, key, header and a source's checkpoint, in every file of the journal at every stage; without encryption all are found."""
    path = tmp_path / "log.db"
    seen: list[bytes] = []
    with Journal(path, key=key) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal, 40)
        seen.append(on_disk(tmp_path))  # in the write-ahead log
        journal.store.checkpoint()
        journal.delete_before(B0, 400)
        journal.give_back(0, 5.0)
        journal.store.rewrite()
        write(journal)
        seen.append(on_disk(tmp_path))
        assert journal.meta("stand") == STAND
        assert {(one.value, one.key, one.headers) for one in journal.read(A0, 0)} == {(VALUE, TAG, ((NAME, HEADER),))}
    content = bytearray(path.read_bytes())
    content[4096 : 2 * 4096] = bytes(4096)
    path.write_bytes(content)
    with Journal(path, key=key) as journal:  # mended
        write(journal)
        seen.append(on_disk(tmp_path))
    assert list(tmp_path.glob("*.corrupt-*"))
    for content_then in seen:
        assert [marker in content_then for marker in MARKERS] == [key is None] * len(MARKERS)


def forge(path: Path, change: str, *values: object) -> None:
    """Change batches in the file and give them checksums that are right: what somebody with the disk can do."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(change, values)
        for row in db.execute(f"SELECT {schema.BATCH_COLUMNS} FROM batch").fetchall():
            rowid, count, oldest, newest, appended, _, codec, frame = row
            check = schema.batch_crc(rowid, count, oldest, newest, appended, codec, zlib.crc32(frame))
            db.execute("UPDATE batch SET crc = ? WHERE id = ?", (check, rowid))
        db.commit()


def take_from(source: int, target: int) -> tuple[str, ...]:
    """Return the change that puts the sealed records of one place into another."""
    copy = "UPDATE batch SET ({columns}) = (SELECT {columns} FROM batch WHERE id = ?1) WHERE id = ?2"
    return copy.format(columns="count, oldest, newest, appended, codec, frame"), source, target  # type: ignore[return-value]


PLACES = {"offset": (A0, 3), "partition": (A1, 2), "topic": (B0, 2)}


@pytest.mark.parametrize("where", PLACES)
def test_records_that_were_moved_inside_the_file_are_damage(tmp_path: Path, where: str) -> None:
    """To another offset, partition or topic, with every checksum right: quarantined and told, the others are delivered."""
    path = tmp_path / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        for at in (A0, A1, B0):
            for number in range(5):
                journal.append(at.topic, [Record(b"%s %d" % (str(at).encode(), number), partition=at.partition)])
        lanes = {A0: 1, A1: 2, B0: 3}
    at, offset = PLACES[where]
    forge(path, *take_from(schema.place(lanes[A0], 2), schema.place(lanes[at], offset)))
    with Journal(path, key=KEY) as journal:
        for lane in lanes:
            expected = {number: b"%s %d" % (str(lane).encode(), number) for number in range(5)}
            if lane == at:
                del expected[offset]
            assert read_all(journal, lane) == expected
        (lost,) = journal.quarantined()
        assert (lost.kind, lost.topic, lost.partition, lost.first, lost.next) == ("damaged", at.topic, at.partition, offset, offset + 1)
        assert "fails its authentication" in lost.reason
        assert journal.append(at.topic, [Record(b"more", partition=at.partition)])[at] == 6


@pytest.mark.parametrize(
    "change",
    ["newest = newest + 1", "appended = appended + 1", "frame = ZEROBLOB(LENGTH(frame))", "codec = 0"],
)
def test_a_batch_that_was_changed_is_damage_though_its_checksum_is_right(tmp_path: Path, change: str) -> None:
    path = tmp_path / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a")])
        for number in range(3):
            journal.append("a", [Record(b"%d" % number)])
    forge(path, f"UPDATE batch SET {change} WHERE id = ?", schema.place(1, 1))
    with Journal(path, key=KEY) as journal, journal.consumer("g", ["a"], "worker-0") as consumer:
        assert [one.value for _ in range(2) for one in consumer.poll(10, 5.0).records] == [b"0", b"2"]
        assert [(one.kind, one.first) for one in journal.quarantined()] == [("damaged", 1)]


def nonces(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as db:
        return [frame[:24] for (frame,) in db.execute("SELECT frame FROM batch")]


def test_no_nonce_comes_twice_even_at_the_same_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is put back from a copy gives the same offsets out again, and a clock that is set back the same times: the same key must
    not meet the same nonce there."""
    monkeypatch.setattr(clock, "now", lambda: 1_795_000_000_000_000)
    path = tmp_path / "log.db"
    found: list[bytes] = []
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a")])
        for _ in range(300):
            journal.append("a", [Record(b"same")])
    found += nonces(path)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path, kept)
    for number in range(2):
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
        with Journal(path, key=KEY) as journal:
            assert journal.append("a", [Record(b"%d" % number)])[TopicPartition("a", 0)] == 301
        found.append(nonces(path)[-1])
    assert len(found) == 302
    assert len(set(found)) == len({nonce[:12] for nonce in found}) == 302


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}


def cut(folder: Path, target: Path) -> Path:
    """Copy a journal that is open, as a power cut would leave it."""
    target.mkdir()
    for name, content in contents(folder).items():
        if not name.endswith("-shm"):
            (target / name).write_bytes(content)
    return target / "log.db"


@pytest.mark.parametrize("state", ["closed", "cut off", "damaged"])
def test_without_its_key_a_journal_is_refused_and_left_as_it_is(tmp_path: Path, state: str) -> None:
    """Nothing is written, mended or set aside; with the key everything is there."""
    folder = tmp_path / "journal"
    folder.mkdir()
    path = folder / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal)
        if state == "cut off":
            path = cut(folder, tmp_path / "cut")
    if state == "damaged":
        content = bytearray(path.read_bytes())
        content[4096 : 2 * 4096] = bytes(4096)
        path.write_bytes(content)
    known = {"log.db", "log.db-wal", "log.db.marks"}
    before = {name: content for name, content in contents(path.parent).items() if name in known}
    for wrong, told in ((None, "no key was given"), (OTHER, f"not with {OTHER.fingerprint}")):
        with pytest.raises(WrongKey, match=rf"log\.db is sealed with the key {KEY.fingerprint}, .*{told}"):
            Journal(path, key=wrong)
        after = contents(path.parent)
        assert {name: content for name, content in after.items() if name in known} == before
        assert after.keys() <= known | {"log.db-shm", "log.db-wal"}
    with Journal(path, key=KEY) as journal:
        assert len(journal.read(B0, 0)) == 100
        assert journal.meta("stand") == STAND


def test_switching_it_on_keeps_what_was_there(tmp_path: Path) -> None:
    """Old records stay readable and in the clear until they go; salvage seals them; an earlier release refuses the file."""
    path, new = tmp_path / "log.db", tmp_path / "new" / "log.db"
    with Journal(path) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal)
        identity = journal.id
        assert not journal.sealed
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert inspecting.sealing(db) is None
    with Journal(path, key=KEY) as journal:
        assert journal.sealed
        assert journal.meta("stand") == STAND
        journal.append_many({"a": [Record(b"sealed-since", partition=0)]})
        journal.delete_before(A1, 2)
        assert [one.value for one in journal.read(A0, 0)] == [VALUE] * 5 + [b"sealed-since"]
    assert VALUE in path.read_bytes()
    assert b"sealed-since" not in path.read_bytes()
    with inspecting.looking(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
        told = inspecting.sealing(db)
    assert told is not None
    assert (told.key, told.plain_records) == (KEY.fingerprint, 5 + 3 + 100)
    new.parent.mkdir()
    inspecting.salvage_into(new, path, KEY)
    assert not any(marker in on_disk(new.parent) for marker in MARKERS[:4])
    with Journal(new, key=KEY) as journal:
        assert journal.id == identity
        assert [one.value for one in journal.read(A0, 0)] == [VALUE] * 5 + [b"sealed-since"]
        assert len(journal.read(A1, 0)) == 3
        assert len(journal.read(B0, 0)) == 100
        assert {one.kind for one in journal.quarantined()} == {"skipped"}
        assert sum(one.batches for one in [inspecting.check(new, KEY)]) > 0
    assert inspecting.check(new, KEY).flaws == []


def test_check_and_salvage_without_the_key_do_what_they_can(tmp_path: Path) -> None:
    path, new = tmp_path / "log.db", tmp_path / "new" / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal)
    whole = inspecting.check(path, KEY)
    closed = inspecting.check(path)
    assert (whole.flaws, whole.unopened, whole.records) == ([], 0, 110)
    assert (closed.flaws, closed.unopened, closed.records) == ([], closed.batches, 110)
    with pytest.raises(WrongKey):
        inspecting.check(path, OTHER)
    forge(path, "UPDATE batch SET newest = newest + 1 WHERE id = ?", schema.place(1, 1))
    assert inspecting.check(path).flaws == [], "what has a right checksum cannot be told from a whole one"
    (flaw,) = inspecting.check(path, KEY).flaws
    assert (flaw.place, "authentication" in flaw.what) == ("a/0@1", True)
    new.parent.mkdir()
    inspecting.salvage_into(new, path)
    with Journal(new, key=KEY) as journal:
        assert len(journal.read(B0, 0)) == 100
        assert sorted(read_all(journal, A0)) == [0, 2, 3, 4]


def test_another_key_for_the_same_records(tmp_path: Path) -> None:
    """Also beside a process that has the journal open; what wrapped the key before is in none of the files."""
    path = tmp_path / "log.db"
    with Journal(path, key=KEY) as running:
        running.create([Topic("a", 2), Topic("b")])
        write(running)
        with inspecting.looking(path) as db:
            before = schema.fact(db, schema.KEY)
            batches = db.execute("SELECT * FROM batch ORDER BY id").fetchall()
        assert before is not None
        assert before.encode() in on_disk(tmp_path)
        with Journal(path, key=KEY) as journal:
            journal.rekey(OTHER)
        assert before.encode() not in on_disk(tmp_path)
        with inspecting.looking(path) as db:
            assert db.execute("SELECT * FROM batch ORDER BY id").fetchall() == batches
        write(running)
        running.create([Topic("c")])
    with pytest.raises(WrongKey):
        Journal(path, key=KEY)
    with Journal(path, key=OTHER) as journal:
        assert len(journal.read(B0, 0)) == 200
    with Journal(tmp_path / "plain.db") as journal, pytest.raises(Misconfigured, match="is not sealed"):
        journal.rekey(KEY)


def test_killed_between_the_journal_and_its_marks(tmp_path: Path) -> None:
    """The journal says which key it is; the marks follow."""
    path = tmp_path / "log.db"
    note = beside(path, ".marks")
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a")])
        journal.append("a", [Record(b"x")])
        before = note.read_bytes()
        journal.rekey(OTHER)
    note.write_bytes(before)
    with pytest.raises(WrongKey):
        Journal(path, key=KEY)
    with Journal(path, key=OTHER) as journal:
        assert [one.value for one in journal.read(TopicPartition("a", 0), 0)] == [b"x"]
    known = marks.load(note)
    assert known is not None
    assert sealing.needed(known.key) == OTHER.fingerprint


@pytest.mark.parametrize("gone", [(), (".marks",), ("meta",), ("meta_copy",), ("meta", "meta_copy")])
def test_the_key_is_kept_in_three_places(tmp_path: Path, gone: tuple[str, ...]) -> None:
    """P-117: losing any of them, and both in the file, loses no record."""
    path = tmp_path / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal)
        journal.append_many({}, meta={"configuration": "7"})
    with closing(sqlite3.connect(path)) as db:
        roots = dict(db.execute("SELECT name, rootpage FROM sqlite_schema"))
    content = bytearray(path.read_bytes())
    for name in gone:
        if name == ".marks":
            beside(path, name).unlink()
        else:
            content[(roots[name] - 1) * 4096 : roots[name] * 4096] = bytes(4096)
    path.write_bytes(content)
    with Journal(path, key=KEY) as journal:
        assert [one.value for one in journal.read(A0, 0)] == [VALUE] * 5
        assert len(journal.read(B0, 0)) == 100
        assert [one for one in journal.quarantined() if one.kind != "skipped"] == []
    with pytest.raises(WrongKey):
        Journal(path)


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Damage to sealed records is what damage to others is: mended on the way, on record, nothing else lost."""
    monkeypatch.setattr("tests.log.test_damage.Journal", lambda path: Journal(path, key=KEY))
    path = tmp_path / "log.db"
    journal, truth = fill(path, seed, 60)
    journal.close()
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(seed % 3 + 1):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    with Journal(path, key=KEY) as journal:
        for at in LANES:
            found = read_all(journal, at)
            gone = {o for q in journal.quarantined() if (q.topic, q.partition) == at for o in range(q.first, min(q.next, 10_000))}
            for offset, value in enumerate(truth.records[at]):
                assert found.get(offset) == value or (offset not in found and offset in gone)
        assert journal.tallies() == truth.tallies


def test_a_checkpoint_that_was_changed_is_passed_over_and_told(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with Journal(path, key=KEY) as journal:
        journal.append_many({}, private={"one": "1", "two": "2"})
        other = journal.store.read(lambda db: schema.fact(db, "two"))
        assert other is not None
        journal.append_many({}, meta={"one": other})
        with capture_logs() as said:
            assert journal.meta("one") is None
        assert [(line["fact"], "authentication" in line["event"]) for line in said] == [("one", True)]
        assert journal.meta("two") == "2"


def test_a_process_without_the_key_takes_sealed_records_for_no_damage(tmp_path: Path) -> None:
    """The site file was changed, another process sealed the journal, and this one still runs."""
    path = tmp_path / "log.db"
    with Journal(path) as running:
        running.create([Topic("a")])
        at = TopicPartition("a", 0)
        running.append("a", [Record(b"plain")])
        with Journal(path, key=KEY) as journal:
            journal.append("a", [Record(b"sealed")])
            reads: list[Callable[[], object]] = [lambda: running.read(at, 1), lambda: running.last(at)]
            for read in reads:
                with pytest.raises(RetryLater, match=r"a/0@1 is sealed, and this process has no key"):
                    read()
            assert journal.quarantined() == []
            assert [one.value for one in journal.read(at, 0)] == [b"plain", b"sealed"]


def test_sealed_sizes_add_up(tmp_path: Path) -> None:
    """W-97: what the bounds of the buffer are measured by."""
    with Journal(tmp_path / "log.db", key=KEY) as journal:
        journal.create([Topic("a", 2), Topic("b")])
        write(journal)
        rows = journal.store.read(lambda db: db.execute("SELECT codec, LENGTH(frame) FROM batch").fetchall())
        assert {codec for codec, _ in rows} == {frames.SEALED, frames.SEALED | frames.ZSTD}
        assert journal.size("a") + journal.size("b") == sum(length + schema.ROW_BYTES for _, length in rows)
        for at in (A0, A1, B0):
            journal.delete_before(at, 1000)
        assert journal.size("a") + journal.size("b") == 0
