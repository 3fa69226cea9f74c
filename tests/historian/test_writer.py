import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import msgspec
import psycopg
import pytest
from tests.historian.support import ORIGIN, PLACE, START, TOPIC, Edge, as_stored, flush_of, ramp, reading

from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.flush import EventRecord, Flush, GivenUp, Refusal
from trunkline.historian.migrate import check_version, migrate
from trunkline.historian.reader import Reader
from trunkline.historian.server import EmbeddedServer
from trunkline.historian.writer import Writer
from trunkline.ledger.balance import Cell
from trunkline.ledger.coverage import Range
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus
from trunkline.log.codec.columns import decode, encode
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.port import TopicPartition
from trunkline.model import times
from trunkline.model.errors import Fenced, Misconfigured, RetryLater
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import Category, Kind

HOUR = times.hour_of(START)


def stored_times(reader: Reader, tag: str) -> list[int]:
    found: list[int] = reader.raw(tag, times.EARLIEST, START + times.DAY).time.tolist()
    return found


def test_replay_of_a_whole_topic_adds_nothing(conninfo: str) -> None:
    """P-76, P-121: duplicates are counted and not stored, whole blocks and parts of blocks alike."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        for part in range(3):
            writer.write(flush_of([edge.block(ramp("A", 10, start=START + part * 10 * times.SECOND))]))
        before = stored_times(reader, "A")
        outcome = writer.write(flush_of(edge.records))
        assert (outcome.stored, outcome.repeats) == (0, 30)
        with Writer(conninfo) as fresh:
            assert fresh.take_over([PLACE]) == {PLACE: 3}
            assert fresh.write(flush_of(edge.records)).repeats == 30
        assert stored_times(reader, "A") == before
        (row,) = reader.ledger(START, START + times.HOUR)
        assert (row.counts.stored, row.counts.repeats) == (30, 60)
        assert reader.audit() == []


def test_a_block_known_in_part_is_stored_in_part(conninfo: str) -> None:
    """PD-6: readings are told apart by their journal position."""
    edge = Edge()
    edge.block(ramp("A", 10))
    whole = decode(edge.records)
    early = as_stored(encode(whole.select(whole.seq < 6), BlockHead(ORIGIN, 0, 6, (Tally("plc", HOUR, 6),)), 0), 0)
    late = as_stored(encode(whole.select(whole.seq >= 3), BlockHead(ORIGIN, 3, 10, (Tally("plc", HOUR, 7),)), 0), 1)
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([early]))
        outcome = writer.write(flush_of([late]))
        assert (outcome.stored, outcome.repeats) == (4, 3)
        assert stored_times(reader, "A") == [START + place * times.SECOND for place in range(10)]
        assert reader.holes() == []


def test_counts_of_validation_reach_the_ledger_and_skipped_positions_show(conninfo: str) -> None:
    """W-121: rejected and deduplicated readings are accounted for; a hole names gateway, partition and range."""
    edge = Edge()
    edge.block(ramp("A", 4))
    columns = decode(edge.records)
    head = BlockHead(ORIGIN, 5, 20, (Tally("plc", HOUR, 4, rejected=3, deduplicated=2),))
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        record = as_stored(encode(columns, head, 0), 0)
        flush = flush_of([record])
        flush.statuses = [status("gw-1", [EdgeCount("plc", "telemetry", HOUR, 9, 9, 0)])]
        writer.write(flush)
        snapshot = reader.ledger_snapshot(recount=True)
        counts = snapshot.counts[Cell("gw-1", "plc", "telemetry", HOUR)]
        assert (counts.read, counts.forwarded, counts.stored, counts.rejected, counts.deduplicated, counts.kept) == (9, 9, 4, 3, 2, 4)
        assert snapshot.holes == [("gw-1", 0, Range(0, 5))]
        assert snapshot.positions == {PLACE: 1}
        assert snapshot.gateways == {ORIGIN: "gw-1"}
        given_up = Flush(decode([]), [], {PLACE: 1}, given_up=[GivenUp(ORIGIN, PLACE, 0, 5)])
        writer.write(given_up)
        assert reader.holes() == []


def test_a_zombie_writer_is_fenced(conninfo: str) -> None:
    """PD-21: a replaced writer can store nothing more, not even after a new connection."""
    edge = Edge()
    old, new = Writer(conninfo), Writer(conninfo)
    with old, new, Reader(conninfo) as reader:
        old.take_over([PLACE])
        old.write(flush_of([edge.block(ramp("A", 5))]))
        assert new.take_over([PLACE]) == {PLACE: 1}
        second = flush_of([edge.block(ramp("A", 5, start=START + times.MINUTE))])
        for _ in range(2):
            with pytest.raises(Fenced):
                old.write(second)
        new.write(second)
        assert len(stored_times(reader, "A")) == 10


def test_positions_in_another_log_are_not_taken_for_this_one(conninfo: str) -> None:
    """PD-21: a site that moves to another log, or whose topics were made anew, loses nothing behind a position that means nothing."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        assert writer.take_over([PLACE], {TOPIC: "journal"}) == {PLACE: 0}
        writer.write(flush_of([edge.block(ramp("A", 5))]))
        assert writer.take_over([PLACE], {TOPIC: "journal"}) == {PLACE: 1}
        assert writer.take_over([PLACE], {TOPIC: "kafka"}) == {PLACE: 0}
        assert writer.write(flush_of(edge.records)).repeats == 5
        assert writer.take_over([PLACE], {TOPIC: "kafka"}) == {PLACE: 1}
        assert writer.take_over([PLACE]) == {PLACE: 1}
        assert len(stored_times(reader, "A")) == 5


def test_a_taker_over_waits_for_a_flush_under_way(conninfo: str) -> None:
    """PD-21: the flush is either wholly before the take-over, and its positions are returned, or fenced."""
    with Writer(conninfo) as old, psycopg.connect(conninfo) as other:
        old.take_over([PLACE])
        other.execute("UPDATE historian.position SET next_offset = 7 WHERE topic = %s", (TOPIC,))
        with Writer(conninfo) as new:
            new._connected().execute("SET lock_timeout = '100ms'")
            new._connected().commit()
            with pytest.raises(RetryLater):
                new.take_over([PLACE])
            other.commit()
            assert new.take_over([PLACE]) == {PLACE: 7}


def test_many_partitions_are_taken_over_in_one_step(conninfo: str) -> None:
    """P-114, P-115: each has its own position, epoch and coverage; those that belong to others now are let go."""
    edges = [Edge(origin=f"edge-{number}") for number in range(3)]
    places = [TopicPartition(TOPIC, number) for number in range(3)]
    with Writer(conninfo) as one, Writer(conninfo) as two:
        assert one.take_over(places) == dict.fromkeys(places, 0)
        for number, (edge, place) in enumerate(zip(edges, places, strict=True), 1):
            for _ in range(number):
                one.write(flush_of([edge.block(ramp(f"T{number}", 5))._replace(partition=place.partition)]))
        assert two.take_over(places[1:]) == {places[1]: 2, places[2]: 3}
        assert set(two.coverage) == {("edge-1", places[1]), ("edge-2", places[2])}
        assert two.write(flush_of([record._replace(partition=2) for record in edges[2].records])).repeats == 15
        with pytest.raises(Fenced):
            one.write(flush_of([edges[1].block(ramp("T2", 5))._replace(partition=1)]))
        assert one.take_over([places[0]]) == {places[0]: 1}
        assert one.write(flush_of([edges[0].block(ramp("T1", 5))])).stored == 5


def test_records_that_can_never_be_stored_do_not_block_the_partition(conninfo: str) -> None:
    """PD-22: NUL in text, times outside 2000 to 2200 and a changed kind are named, counted, and the others stored."""
    kinds = {"T": Kind.TEXT}
    edge = Edge(kinds=kinds)
    record = edge.block(
        [
            reading("T", START, "fine"),
            reading("T", START + 1, "nul\0inside"),
            reading("A", times.EARLIEST - 1, 1.0),
            reading("A", 7_289_654_400 * times.SECOND, 1.0),
            reading("A", START, 1.0),
        ]
    )
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        flush = flush_of([record])
        with pytest.raises(Refusal) as refusal:
            writer.write(flush)
        assert set(refusal.value.readings) == {1, 2, 3}
        assert reader.tags().total == 2
        flush.refuse(refusal.value)
        outcome = writer.write(flush)
        assert (outcome.stored, outcome.rejected) == (2, 3)
        changed = Edge(origin="edge-2", kinds={"A": Kind.INTEGER}, offset=1)
        with pytest.raises(Refusal, match="a tag keeps its kind for life"):
            writer.write(flush_of([changed.block([reading("A", START, 1)])]))
        assert sum(counts.rejected for counts in reader.ledger_snapshot().counts.values()) == 3
        assert reader.audit() == []


def test_values_that_the_database_refuses_are_found_by_halving(conninfo: str) -> None:
    """PD-22: whatever PostgreSQL refuses, the culprits are named and the others stored."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("SELECT historian.ensure_partition('2026-06-01')")
        connection.execute("ALTER TABLE historian.segment ADD CHECK (v_max < 100)")
    edge = Edge()
    values = [1.0, 2.0, 100.0, 3.0, 200.0, 4.0]
    flush = flush_of([edge.block(reading("A", START + place, value) for place, value in enumerate(values))])
    event = Event(id=str(uuid7()), type="T", time=START, gateway_time=START, text="fine")
    flush.events = [EventRecord(event, None, TopicPartition("events.clean", 0), Category.EVENT)]
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        with pytest.raises(Refusal) as refusal:
            writer.write(flush)
        assert set(refusal.value.readings) == {2, 4}
        assert refusal.value.events == {}
        assert "check constraint" in refusal.value.reason
        flush.refuse(refusal.value)
        writer.write(flush)
        assert reader.raw("A", START, START + 10).values() == [1.0, 2.0, 3.0, 4.0]


def test_a_dropped_partition_is_made_again(conninfo: str) -> None:
    """P-121: late data after retention does not stop the partition."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block(ramp("A", 5))]))
        with psycopg.connect(conninfo) as connection:
            connection.execute("SELECT historian.drop_month('2026-06-01', 'test', 'test')")
        late = flush_of([edge.block(ramp("A", 5))])
        with pytest.raises(RetryLater):
            writer.write(late)
        assert writer.write(late).stored == 5
        assert len(stored_times(reader, "A")) == 5
        assert reader.audit() == []


def test_a_commit_whose_answer_was_lost_is_not_stored_again(conninfo: str) -> None:
    """PD-21: the writer looks what was stored before it tries again."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        flush = flush_of([edge.block(ramp("A", 5))])
        writer.write(flush)
        writer._in_doubt = dict(flush.positions)  # as after a connection lost during COMMIT
        writer.close()
        outcome = writer.write(flush)
        assert (outcome.stored, outcome.repeats) == (0, 0)
        assert len(stored_times(reader, "A")) == 5


def test_events_and_alarms_are_stored_once(conninfo: str) -> None:
    """P-80, P-81, PD-23, PD-25: equal repeats are dropped, the same id with other content is refused."""
    place = TopicPartition("alarms.clean", 0)
    alarm = Alarm(
        id=str(uuid7()), type="HIGH_TEMP", time=START, gateway_time=START + 1, asset="PLANT01.AREA02.UNIT_05", tag="TEMPERATURE",
        text="hot", severity=AlarmSeverity.HIGH, value=321.5, threshold=320.0, unit="°C", attributes={"n": 2**60, "ok": True, "s": "ж"},
    )  # fmt: skip
    mode = Event(
        id=str(uuid7()), type="MODE_CHANGE", time=START, gateway_time=START, before="AUTO", after="MANUAL", actor="op", asset="PLANT01"
    )

    def entry(event: Event, position: int, head: bool = True) -> EventRecord:
        category = Category.ALARM if isinstance(event, Alarm) else Category.EVENT
        counted = BlockHead(ORIGIN, position, position + 1, (Tally("plc", HOUR, 1),)) if head else None
        return EventRecord(event, counted, place, category)

    def flush(*entries: EventRecord) -> Flush:
        return Flush(decode([]), [], {place: 1}, events=list(entries))

    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([place])
        assert writer.write(flush(entry(alarm, 0), entry(mode, 1))).events == 2
        assert writer.write(flush(entry(alarm, 0), entry(mode, 1))).repeats == 2
        assert writer.write(flush(entry(mode, 0, head=False))).events == 0
        forged = flush(entry(msgspec.structs.replace(alarm, value=1.0), 2), entry(msgspec.structs.replace(mode, id="no-uuid"), 3))
        with pytest.raises(Refusal, match="is not a UUID") as refusal:
            writer.write(forged)
        forged.refuse(refusal.value)
        with pytest.raises(Refusal, match="another event with the id") as refusal:
            writer.write(forged)
        forged.refuse(refusal.value)
        assert writer.write(forged).rejected == 2
        again = msgspec.structs.replace(alarm, gateway_time=START + 5)  # delivered again, so read again
        assert writer.write(flush(entry(again, 5))).repeats == 1
        found, cursor = reader.events(START, START + 1)
        assert cursor is None
        by_type = {event.type: event for event, _ in found}
        assert by_type["HIGH_TEMP"] == msgspec.structs.replace(alarm, origin=ORIGIN, source="plc")
        assert by_type["MODE_CHANGE"] == msgspec.structs.replace(mode, origin=ORIGIN, source="plc")
        assert [event.type for event, _ in reader.events(START, START + 1, search="hot HIGH")[0]] == ["HIGH_TEMP"]
        assert [event.type for event, _ in reader.events(START, START + 1, under="PLANT01.AREA02")[0]] == ["HIGH_TEMP"]
        first, cursor = reader.events(START, START + 1, limit=1)
        second, end = reader.events(START, START + 1, limit=1, cursor=cursor or "")
        assert end is None
        assert {event.type for event, _ in first + second} == {"HIGH_TEMP", "MODE_CHANGE"}
        assert reader.audit() == []


def status(gateway: str, counts: list[EdgeCount], at: int = START) -> GatewayStatus:
    return GatewayStatus(gateway, ORIGIN, at, "0", [], BufferStatus(0, 0, None, 1), LinkStatus("up", at, None), counts)


def test_reports_of_gateways_are_absolute_and_never_go_back(conninfo: str) -> None:
    """D-20: telling twice or late changes nothing."""
    place = TopicPartition("metrics.gateways", 0)
    reports = [
        status("gw-1", [EdgeCount("plc", "telemetry", HOUR, 10, 8, 1)], START + 1),
        status("gw-1", [EdgeCount("plc", "telemetry", HOUR, 5, 5, 0)], START),
    ]
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([place])
        for _ in range(2):
            writer.write(Flush(decode([]), [], {place: 1}, statuses=reports))
        (row,) = reader.ledger(START, START + 1)
        assert (row.counts.read, row.counts.forwarded, row.counts.dropped) == (10, 8, 1)
        assert [one.at_us for one in reader.gateway_status()] == [START + 1]


def test_members_that_share_ledger_rows_never_dead_lock(conninfo: str) -> None:
    """P-115: one member stores reports of gateways besides, so it touches rows of the ledger that others touch at the same time."""
    hours = range(40)
    other = TopicPartition(TOPIC, 1)
    reports = TopicPartition("metrics.gateways", 0)
    told = [EdgeCount("plc", "telemetry", HOUR + hour, 10, 8, 1) for hour in reversed(hours) if hour % 2]
    together = threading.Barrier(2)

    def write(writer: Writer, tag: str, place: TopicPartition) -> None:
        edge = Edge()
        for turn in range(30):
            record = edge.block([reading(tag, START + hour * times.HOUR + turn, 1.0) for hour in hours])
            flush = flush_of([record._replace(partition=place.partition)])
            if place == PLACE:
                flush.positions[reports] = turn + 1
                flush.statuses = [status("gw-1", told, START + turn)]
            together.wait(30)
            writer.write(flush)

    with Writer(conninfo) as one, Writer(conninfo) as two, Reader(conninfo) as reader, ThreadPoolExecutor(2) as pool:
        one.take_over([PLACE, reports])
        two.take_over([other])
        for done in [pool.submit(write, one, "A", PLACE), pool.submit(write, two, "B", other)]:
            done.result()
        assert reader.audit() == []
        assert sum(row.counts.stored for row in reader.ledger(START, START + 40 * times.HOUR)) == 2 * 30 * len(hours)


def test_series_carry_what_the_configuration_says(conninfo: str) -> None:
    """P-12: unit, description and range come from the site file and follow its changes."""
    for unit in ("bar", "kPa"):
        registry = {"PLANT.P": SeriesInfo(Kind.DOUBLE, unit, "boiler pressure", "gw-1", "plc", 0.0, 30.0)}
        with Writer(conninfo, registry) as writer:
            writer.take_over([PLACE])
        with Reader(conninfo) as reader:
            (tag,) = reader.tags(search="PRESS").tags
            assert (tag.tag, tag.unit, tag.max, tag.source) == ("PLANT.P", unit, 30.0, "plc")


def test_a_database_without_tables_is_named(server: EmbeddedServer) -> None:
    """PD-34: services check the version and never migrate."""
    with pytest.raises(Misconfigured, match="trunkline migrate"):
        check_version(server.conninfo_of("postgres"))
    check_version(server.conninfo)
    assert migrate(server.conninfo) == []
    with pytest.raises(Misconfigured, match="trunkline migrate"), Writer(server.conninfo_of("postgres")) as writer:
        writer.take_over([PLACE])


def test_a_writer_needs_no_right_to_change_tables(server: EmbeddedServer, conninfo: str) -> None:
    """PD-34: a service role stores data, makes partitions and retires months without DDL rights."""
    role = f"service_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(conninfo) as connection:
        connection.execute(f'CREATE ROLE "{role}" LOGIN')
        connection.execute(f'GRANT USAGE ON SCHEMA historian TO "{role}"')
        connection.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA historian TO "{role}"')
    edge = Edge()
    with Writer(conninfo.replace("user=trunkline", f"user={role}")) as writer:
        writer.take_over([PLACE])
        assert writer.write(flush_of([edge.block(ramp("A", 5))])).stored == 5
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer._connected().execute("DROP TABLE historian.segment")
    with psycopg.connect(conninfo) as connection:
        connection.execute(f'DROP OWNED BY "{role}"')
        connection.execute(f'DROP ROLE "{role}"')


def test_a_deleted_row_is_found_and_named(conninfo: str) -> None:
    """Issue 3: a deliberately deleted row shows with gateway, source and hour."""
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        later = START + times.HOUR
        writer.write(flush_of([edge.block(ramp("A", 5) + ramp("B", 7) + ramp("A", 6, start=later))]))
        assert reader.audit() == []
        with psycopg.connect(conninfo) as connection:
            assert connection.execute("DELETE FROM historian.segment WHERE n = 7").rowcount == 1
        (found,) = reader.audit()
        assert (found.cell, found.expected, found.found) == (Cell(ORIGIN, "plc", "telemetry", HOUR), 12, 5)


def test_qualities_are_counted_in_headers(conninfo: str) -> None:
    """PD-26: BAD readings have no part in least, most and average."""
    edge = Edge()
    qualities = [Quality.GOOD, Quality.UNCERTAIN_STALE, Quality.BAD_OUT_OF_RANGE, Quality.BAD_COMMS_LOST]
    values = [1.0, 3.0, 999.0, None]
    record = edge.block(
        reading("A", START + place, value, quality) for place, (value, quality) in enumerate(zip(values, qualities, strict=True))
    )
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([record]))
        chart = reader.chart("A", START, START + times.HOUR, 1)
        assert [column.tolist() for column in (chart.n, chart.bad, chart.min, chart.max, chart.avg)] == [[4], [3], [1.0], [3.0], [2.0]]
        raw = reader.raw("A", START, START + 10)
        assert Counter(raw.quality.tolist()) == Counter(int(quality) for quality in qualities)
        assert raw.values() == values
