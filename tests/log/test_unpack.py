"""What is inside a record, whatever it is; and finding the place in a topic at which to begin."""

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.codec.schemas import PARSED, SINGLE_ID, frame
from trunkline.log.codec.writer import TagSlot, write_blocks
from trunkline.log.following import Start, follow, partitions_of, positions_at, read_between, read_last
from trunkline.log.journal.journal import Journal
from trunkline.log.port import Record, StoredRecord, Topic, TopicPartition
from trunkline.log.unpack import form_of, unpack
from trunkline.model import times
from trunkline.model.errors import Misconfigured
from trunkline.model.events import Event
from trunkline.model.reading import Kind, Reading

NOW = times.from_iso("2026-01-01T00:00:00Z")


def stored(value: bytes, *headers: tuple[str, bytes]) -> StoredRecord:
    return StoredRecord("t", 0, 0, NOW, None, value, headers)


def single(**fields: Any) -> bytes:
    out = io.BytesIO()
    out.write(frame(SINGLE_ID))
    fastavro.schemaless_writer(out, PARSED[SINGLE_ID], {"tag": "A", "gateway_time": NOW, **fields})
    return out.getvalue()


def block(*values: float | str | None, kind: Kind = Kind.DOUBLE) -> StoredRecord:
    slot = TagSlot.of("P.A", "plc", kind, 1)
    (record,), _ = write_blocks("edge", 7, {}, [(slot, Reading("P.A", value, 0, None, NOW)) for value in values])
    return stored(record.value, *record.headers)


def test_a_block() -> None:
    unpacked = unpack(block(1.5, float("nan"), None))
    assert unpacked.form == "block"
    assert [one["value"] for one in unpacked.content] == [1.5, "nan", None]
    assert [one["seq"] for one in unpacked.content] == [7, 8, 9]
    assert unpacked.content[0]["time"] == "2026-01-01T00:00:00.000000Z"


def test_a_block_without_its_header() -> None:
    """It is shown as it is, with the reason."""
    found = unpack(stored(block(1.0).value))
    assert found.form == "block"
    assert found.problem is not None
    assert "is not a block" in found.problem


def test_a_single() -> None:
    found = unpack(stored(single(value=True, source_time=NOW)))
    assert found.form == "single"
    assert (found.content["value"], found.content["quality"], found.content["source_time"]) == (True, "GOOD", "2026-01-01T00:00:00.000000Z")
    assert unpack(stored(single())).content["source_time"] is None


def test_an_event_with_an_impossible_time() -> None:
    event = Event(id="x", type="T", time=2**62, gateway_time=NOW)
    found = unpack(stored(encode_event(event)))
    assert (found.form, found.problem, found.content["time"]) == ("event", None, 2**62)


@pytest.mark.parametrize(
    ("value", "form", "content"),
    [
        (b'{"a": [1]}', "json", {"a": [1]}),
        (b"  [1]", "json", [1]),
        (b"line", "text", "line"),
        (b"\xff\xfe", "bytes", "fffe"),
        (b"", "empty", {}),
        (b"\x00\x00\x00\x27\x10abc", "avro schema 10000", "0000002710616263"),
    ],
)
def test_everything_else(value: bytes, form: str, content: object) -> None:
    found = unpack(stored(value))
    assert (found.form, found.content, found.problem) == (form, content, None)


def test_broken_json_is_shown_as_text() -> None:
    found = unpack(stored(b'{"a": '))
    assert (found.form, found.content) == ("json", '{"a": ')
    assert found.problem


def test_an_empty_record_tells_what_it_stands_for() -> None:
    head = BlockHead("edge", 3, 5, (Tally("plc", 0, 0, rejected=2),))
    assert unpack(stored(b"", (HEADER, encode_head(head)))).content == {"origin": "edge", "lo": 3, "hi": 5, "rejected": 2}
    assert unpack(stored(b"", (HEADER, b"damaged"))).problem


@example(b"\x94\xa1\x80", frame(1))  # a header whose text is no UTF-8
@example(b'"\x80": 1}', b"{")
@given(st.binary(max_size=200), st.sampled_from([b"", frame(1), frame(2), frame(3), frame(4), b"{"]))
def test_never_raises(value: bytes, start: bytes) -> None:
    """People look at what is broken."""
    record = stored(start + value)
    assert unpack(record).form == form_of(record)
    assert unpack(stored(start + value, (HEADER, value))).form


# --- places


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Journal]:
    """Two partitions; record n at NOW + n s, every third in partition 1."""
    with Journal(tmp_path / "j.db") as journal:
        journal.create([Topic("t", 2)])
        for number in range(60):
            at = 1 if number % 3 == 0 else 0
            journal.append("t", [Record(str(number).encode(), timestamp=NOW + number * times.SECOND, partition=at)])
        yield journal


def numbers(records: Iterator[StoredRecord] | list[StoredRecord]) -> list[int]:
    return [int(record.value) for record in records]


def everything(_: StoredRecord) -> bool:
    return True


def test_the_newest(log: Journal) -> None:
    bounds = partitions_of(log, "t")
    assert numbers(read_last(log, bounds, 5, everything)) == [55, 56, 57, 58, 59]
    assert numbers(read_last(log, bounds, 100, everything)) == list(range(60))
    assert numbers(read_last(log, bounds, 3, lambda record: int(record.value) < 10)) == [7, 8, 9]


@pytest.mark.parametrize("second", [0, 1, 17, 59])
def test_since_a_time(log: Journal, second: int) -> None:
    """Both partitions begin at the first record that is not older."""
    bounds = partitions_of(log, "t")
    positions = positions_at(log, bounds, Start("time", NOW + second * times.SECOND))
    assert numbers(read_between(log, positions, bounds, everything)) == list(range(second, 60))


def test_before_and_after_all(log: Journal) -> None:
    bounds = partitions_of(log, "t")
    assert positions_at(log, bounds, Start("time", 0)) == {at: first for at, (first, _) in bounds.items()}
    assert positions_at(log, bounds, Start("time", NOW + times.DAY)) == {at: end for at, (_, end) in bounds.items()}
    assert positions_at(log, bounds, Start("offset", 10**9)) == positions_at(log, bounds, Start("latest"))


def test_after_retention(log: Journal) -> None:
    log.delete_before(TopicPartition("t", 0), 30)
    bounds = partitions_of(log, "t", 0)
    assert positions_at(log, bounds, Start("offset", 5)) == {TopicPartition("t", 0): 30}
    kept = numbers(read_between(log, positions_at(log, bounds, Start("earliest")), bounds, everything))
    assert kept == [number for number in range(60) if number % 3][30:]


def test_what_comes(log: Journal) -> None:
    stop = threading.Event()
    coming = follow(log, positions_at(log, partitions_of(log, "t"), Start("latest")), everything, stop)
    log.append("t", [Record(b"60", partition=1), Record(b"61", partition=0)])
    assert sorted(int(next(coming).value) for _ in range(2)) == [60, 61]
    stop.set()
    assert list(coming) == []


def test_what_is_not_there(log: Journal) -> None:
    with pytest.raises(Misconfigured, match="there is no topic 'x': there are t"):
        partitions_of(log, "x")
    with pytest.raises(Misconfigured, match="has no partition 2: it has 2, counted from 0"):
        partitions_of(log, "t", 2)
