"""The bytes of a batch, and rows read from raw database pages."""

import random
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.log.journal import frames
from trunkline.log.journal.pages import Pages, Wal, wal_of
from trunkline.log.port import Record
from trunkline.model.errors import CorruptData

names = st.text(st.characters(codec="utf-8"), max_size=8)
records = st.builds(
    Record,
    value=st.binary(max_size=200),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(names, st.binary(max_size=20)), max_size=3).map(tuple),
    timestamp=st.none() | st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(records, min_size=1, max_size=30), st.integers(0, 2**62))
def test_round_trip(batch: list[Record], now: int) -> None:
    frame, timestamps = frames.encode(batch, now)
    codec, stored = frames.pack(frame)
    opened = frames.decode(frames.unpack(codec, stored))
    assert list(opened.timestamps) == timestamps == [now if record.timestamp is None else record.timestamp for record in batch]
    assert list(opened.keys) == [record.key for record in batch]
    assert list(opened.values) == [record.value for record in batch]
    assert list(opened.headers) == [record.headers for record in batch]


@given(st.lists(records, min_size=1, max_size=5), st.data())
def test_any_damage_is_corrupt_data_or_another_batch(batch: list[Record], data: st.DataObject) -> None:
    frame = bytearray(frames.encode(batch, 0)[0])
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(CorruptData):
        frames.decode(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


@given(st.binary(max_size=100), st.integers(-1, 3))
def test_garbage_is_corrupt_data(garbage: bytes, codec: int) -> None:
    with suppress(CorruptData):
        frames.decode(frames.unpack(codec, garbage))


def test_compression_is_left_out_where_it_does_not_help() -> None:
    assert frames.pack(b"short")[0] == frames.RAW
    assert frames.pack(random.Random(1).randbytes(10_000))[0] == frames.RAW
    codec, stored = frames.pack(b"x" * 10_000)
    assert codec == frames.ZSTD
    assert len(stored) < 100


def test_a_header_alone_says_what_is_wrong() -> None:
    frame = frames.encode([Record(b"1")], 0)[0]
    with pytest.raises(CorruptData, match="version 9"):
        frames.decode(b"\x09" + frame[1:])
    with pytest.raises(CorruptData, match="1 bytes too many"):
        frames.decode(frame + b"\0")
    with pytest.raises(CorruptData, match="too short"):
        frames.decode(frame[:-1])


cells = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1, -1, 127, -129]),
    st.none() | st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=300),
    st.binary(max_size=40) | st.integers(0, 30_000).map(bytes),
)


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), cells, max_size=30))
def test_raw_pages_give_the_rows_that_sqlite_wrote(rows: dict[int, tuple[int | None, str | None, bytes]]) -> None:
    """With SQLite itself as the oracle, in the file and in its write-ahead log."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
        db.executemany("INSERT INTO t VALUES (?, ?, ?, ?)", [(rowid, *row) for rowid, row in rows.items()])
        assert wal_of(path).whole
        for _ in range(2):
            pages = Pages(path)
            found = {rowid: values[1:] for rowid, values in pages.rows() if len(values) == 4}
            pages.close()
            assert found == rows
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"garbage" * 1000, b"\0" * 10_000])
def test_a_write_ahead_log_of_garbage_does_no_harm(content: bytes) -> None:
    assert Wal(content).pages == {} or not Wal(content).whole
