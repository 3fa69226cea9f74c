import psycopg
import pytest
from tests.historian.support import PLACE, START, Edge, eventually, flush_of, ramp, reading

from trunkline.historian.flush import EventRecord
from trunkline.historian.reader import Reader
from trunkline.historian.retention import _ALONE, drop_old, remove_readings
from trunkline.historian.writer import Writer
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Category, Kind

LATER = START + 45 * times.DAY


def test_old_months_go_and_are_on_record(conninfo: str) -> None:
    """PD-24: retention is a setting, drops partitions, and the ledger still balances."""
    edge = Edge(kinds={"T": Kind.TEXT})
    place = TopicPartition("events.clean", 0)
    event = Event(id=str(uuid7()), type="T", time=START, gateway_time=START)
    head = BlockHead(edge.origin, 0, 1, (Tally("plc", times.hour_of(START), 1),))
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE, place])
        flush = flush_of([edge.block([*ramp("A", 5), reading("T", START, "x"), *ramp("A", 4, start=LATER)])])
        flush.events = [EventRecord(event, head, place, Category.EVENT)]
        flush.positions[place] = 1
        writer.write(flush)
        assert drop_old(conninfo, 44, now=LATER) == 1  # the month is not wholly over the age; the event is older
        assert drop_old(conninfo, 10, now=LATER) == 6
        assert len(reader.raw("A", START, LATER + times.HOUR)) == 4
        assert reader.audit() == []
        assert [(one.kind, one.records) for one in reader.removals()] == [("retention", 6), ("retention", 1)]
        assert drop_old(conninfo, 10, now=LATER) == 0


def test_members_retire_history_one_at_a_time(conninfo: str) -> None:
    """P-115: two historians that find the same old months do not drop them twice."""
    edge = Edge()
    with Writer(conninfo) as writer, psycopg.connect(conninfo) as first, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block(ramp("A", 5))]))
        first.execute(_ALONE)
        assert drop_old(conninfo, 10, now=LATER) == 0
        first.close()
        eventually(lambda: drop_old(conninfo, 10, now=LATER) == 5)
        assert len(reader.removals()) == 1


def test_a_long_query_does_not_block_retention_for_ever(conninfo: str) -> None:
    edge = Edge()
    with Writer(conninfo) as writer, psycopg.connect(conninfo) as busy:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block(ramp("A", 5))]))
        busy.execute("SELECT count(*) FROM historian.segment")
        with pytest.raises(RetryLater):
            drop_old(conninfo, 10, now=LATER)
        busy.rollback()
        assert drop_old(conninfo, 10, now=LATER) == 5


def test_wrong_readings_can_be_removed_on_record(conninfo: str) -> None:
    """Design, section 5: corrections with an audit row; the newest value left becomes the latest."""
    edge = Edge(kinds={"T": Kind.TEXT})
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block([*ramp("A", 100), *ramp("B", 3), *(reading("T", START + n, f"w{n}") for n in range(5))])]))
        until = START + 200 * times.SECOND
        removed = remove_readings(conninfo, "A", START + 10 * times.SECOND, START + 20 * times.SECOND, actor="ann", reason="calibration")
        assert removed == 10
        assert remove_readings(conninfo, "A", START + 50 * times.SECOND, until, actor="ann", reason="swapped sensor") == 50
        assert remove_readings(conninfo, "T", START + 3, START + 10, actor="ann", reason="typo") == 2
        assert reader.raw("A", START, until).values() == [float(n) for n in range(100) if not 10 <= n < 20 and n < 50]
        assert {one.tag: one.value for one in reader.latest(under="")} == {"A": 49.0, "B": 2.0, "T": "w2"}
        assert reader.audit() == []
        assert [(one.tag, one.actor, one.records) for one in reader.removals()] == [("T", "ann", 2), ("A", "ann", 50), ("A", "ann", 10)]
        with pytest.raises(Misconfigured):
            remove_readings(conninfo, "NONE", START, until, actor="ann", reason="")
