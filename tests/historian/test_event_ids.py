"""Event ids that readings of third parties came with: stored, kept by merging and correcting, shown and found (P-9, P-78, PD-24)."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import psycopg
import pytest
from tests.historian.support import START, Edge, as_stored, ramp
from tests.log.readings import NOW, envelope

from trunkline.historian.compactor import Compactor
from trunkline.historian.gathering import Gathering
from trunkline.historian.reader import Reader
from trunkline.historian.retention import remove_readings
from trunkline.historian.writer import Writer
from trunkline.log.codec.records import EVENT_IDS
from trunkline.log.port import Batch, Record, StoredRecord, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind

TAGS = ("FLOW", "PRESSURE", "MODE")
KINDS = {f"P.A.U.{tag}": Kind.TEXT if tag == "MODE" else Kind.DOUBLE for tag in TAGS}
OURS = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
END = NOW + 2 * times.HOUR


def envelopes(count: int, first: int = 0) -> tuple[list[bytes], list[UUID]]:
    """Return messages of three tags in turn, a second apart, and their ids."""
    ids = [UUID(str(uuid7())) for _ in range(count)]
    messages = []
    for number, event_id in enumerate(ids, first):
        tag = TAGS[number % 3]
        moment = times.to_iso(NOW + number * times.SECOND)
        value = f"word {number}" if tag == "MODE" else number + 0.5
        messages.append(envelope(value, tag, event_id=str(event_id), timestamp=moment, node_id=42))
    return messages, ids


def store(conninfo: str, records: Sequence[StoredRecord]) -> None:
    layout = Layout("gateway", 1)
    place = TopicPartition(layout.topic(Category.TELEMETRY, "clean"), 0)
    gathering = Gathering(layout, KINDS)
    placed = [record._replace(topic=place.topic, partition=0) for record in records]
    gathering.add(Batch(placed, {place: placed[-1].offset + 1}))
    with Writer(conninfo) as writer:
        writer.take_over([place])
        made = gathering.flush()
        assert made.broken == []
        writer.write(made.flush)


@pytest.fixture
def reader(conninfo: str) -> Iterator[Reader]:
    with Reader(conninfo) as opened:
        yield opened


def found(reader: Reader, tag: str) -> dict[UUID | None, object]:
    raw = reader.raw(f"P.A.U.{tag}", NOW - times.HOUR, END, event_ids=True)
    return dict(zip(raw.event_ids or [], raw.values(), strict=True))


def test_ids_are_stored_and_found(conninfo: str, reader: Reader) -> None:
    """Beside readings without an id, in one flush with them; the id of a reading is that of its envelope, whatever its kind."""
    messages, ids = envelopes(30)
    edge = Edge()
    third = [as_stored(Record(message), 1 + number) for number, message in enumerate(messages)]
    store(conninfo, [edge.block(ramp(OURS, 5)), *third])
    for place, tag in enumerate(TAGS):
        expected = {ids[number]: (f"word {number}" if tag == "MODE" else number + 0.5) for number in range(place, 30, 3)}
        assert found(reader, tag) == expected
    assert reader.raw(OURS, START, START + times.HOUR, event_ids=True).event_ids is None
    with psycopg.connect(conninfo) as connection:
        view = "SELECT event_id, node_id, tag FROM plant.telemetry WHERE plant = 'P' ORDER BY \"timestamp\""
        assert connection.execute(view).fetchall() == [(one, 42, TAGS[number % 3]) for number, one in enumerate(ids)]
        for number in (0, 1, 2, 29):
            row = connection.execute("SELECT path, value FROM plant.telemetry_of(%s)", (ids[number],)).fetchall()
            assert row == [(f"P.A.U.{TAGS[number % 3]}", None if number % 3 == 2 else number + 0.5)]
        assert connection.execute("SELECT count(*) FROM plant.telemetry_of(%s)", (UUID(str(uuid7())),)).fetchone() == (0,)
        without = connection.execute("SELECT count(*), count(DISTINCT event_id) FROM plant.telemetry WHERE path = %s", (OURS,)).fetchone()
        assert without == (5, 5), "a reading of ours has an id that is made of what it is"


def test_an_id_of_another_version_is_found_too(conninfo: str) -> None:
    event_id = UUID("6f1c2f6e-9f0a-4d5e-8a52-0d5d4bb9f1a7")
    store(conninfo, [as_stored(Record(envelope(event_id=str(event_id))), 0)])
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT value FROM plant.telemetry_of(%s)", (event_id,)).fetchall() == [(50.2,)]


def test_merging_and_correcting_keep_ids_with_their_readings(conninfo: str, reader: Reader) -> None:
    """Later flushes bring earlier readings, and some without an id in the same series."""
    messages, ids = envelopes(60)
    late_first = [*enumerate(messages[30:]), *enumerate(messages[:30], 30)]
    for offset in range(0, len(late_first), 10):
        store(conninfo, [as_stored(Record(one), at) for at, one in late_first if offset <= at < offset + 10])
    before = {tag: found(reader, tag) for tag in TAGS}
    assert sum(len(one) for one in before.values()) == 60
    with Compactor(conninfo, quiet_seconds=0) as compactor:
        assert compactor.run_once().before > 0
    assert {tag: found(reader, tag) for tag in TAGS} == before
    remove_readings(conninfo, "P.A.U.FLOW", NOW, NOW + 10 * times.SECOND, actor="a", reason="b")
    assert found(reader, "FLOW") == {one: value for one, value in before["FLOW"].items() if one not in ids[:10]}


def test_ids_that_do_not_fit_their_block_are_left_out(conninfo: str, reader: Reader) -> None:
    """A damaged header costs the ids, never the readings."""
    block = Edge().block(ramp(OURS, 3))
    store(conninfo, [block._replace(headers=(*block.headers, (EVENT_IDS, bytes(range(16)))))])
    raw = reader.raw(OURS, START, START + times.HOUR, event_ids=True)
    assert (len(raw), raw.event_ids) == (3, None)
