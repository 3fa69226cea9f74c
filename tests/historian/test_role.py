import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.historian.support import ORIGIN, START, TOPIC, Edge, eventually, ramp, reading

from trunkline.config.site import HistorianConfig, LogConfig
from trunkline.historian.reader import Reader
from trunkline.historian.role import HistorianStatus, run_historian, topics_of
from trunkline.lab.ports import free_ports
from trunkline.ledger.balance import Cell
from trunkline.ledger.status import BufferStatus, EdgeCount, GatewayStatus, LinkStatus, encode_status
from trunkline.log.codec.events import encode_event
from trunkline.log.codec.head import HEADER, BlockHead, Tally, encode_head
from trunkline.log.journal.journal import Journal
from trunkline.log.opening import open_site_log
from trunkline.log.port import Record, TopicPartition
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Misconfigured, RetryLater
from trunkline.model.events import Event
from trunkline.model.identity import uuid7
from trunkline.model.reading import Kind
from trunkline.processing.deadletter import decode_dead_letter

LAYOUT = Layout("gateway", 1)
HOUR = times.hour_of(START)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.db") as journal:
        journal.create(LAYOUT.catalogue(times.DAY))
        yield journal


@contextmanager
def running(log: Journal, conninfo: str, **config: float) -> Iterator[HistorianStatus]:
    """The role in a thread; stopped in order at the end."""
    stop, status = threading.Event(), HistorianStatus()
    thread = threading.Thread(
        target=run_historian, args=(log, LAYOUT, conninfo, HistorianConfig(**config), stop), kwargs={"status": status}
    )
    thread.start()
    try:
        yield status
    finally:
        stop.set()
        thread.join()


def clean(edge: Edge, readings: list[object]) -> Record:
    record = edge.block(readings)  # type: ignore[arg-type]  # any readings
    return Record(record.value, record.key, record.headers, partition=0)


def settled(log: Journal) -> bool:
    """Return whether the positions shown in the log have reached its end."""
    committed = log.committed("historian")
    ends = {at: end for topic in topics_of(LAYOUT) for at, (_, end) in log.bounds(topic).items() if end}
    return all(committed.get(at, 0) >= end for at, end in ends.items())


def test_everything_on_the_clean_topics_is_stored_and_accounted_for(log: Journal, conninfo: str) -> None:
    """P-70 to P-75: readings, events, alarms, reports of gateways and notices of loss, each at its place."""
    edge = Edge()
    event = Event(id=str(uuid7()), type="UNIT_START", time=START, gateway_time=START, asset="PLANT01", text="start")
    head = BlockHead(ORIGIN, 0, 1, (Tally("plc", HOUR, 1),))
    refused = BlockHead(ORIGIN, 1, 2, (Tally("plc", HOUR, 0, rejected=1),))
    gap = msgspec.structs.replace(event, id=str(uuid7()), type="GAP")
    lost = {"topic": "telemetry.raw", "partition": 0, "lo": 30, "hi": 40}
    notice = msgspec.structs.replace(event, id=str(uuid7()), type="BUFFER_OVERFLOW", origin=ORIGIN, attributes=lost)
    counts = [EdgeCount("plc", "telemetry", HOUR, 40, 30, 10), EdgeCount("plc", "event", HOUR, 2, 2, 0)]
    report = GatewayStatus("gw-1", ORIGIN, START, "0", [], BufferStatus(0, 0, None, 1), LinkStatus("up", START, None), counts)
    log.append(TOPIC, [clean(edge, [*ramp("A", 30)])])
    edge.seq = 40
    edge.covered = 40
    log.append(TOPIC, [clean(edge, [*ramp("A", 5, start=START + times.MINUTE)])])
    with_head = [Record(encode_event(event), b"k", ((HEADER, encode_head(head)),)), Record(b"", b"k", ((HEADER, encode_head(refused)),))]
    log.append("events.clean", [*with_head, Record(encode_event(gap), b"k")])
    log.append("metrics.gateways", [Record(encode_status(report)), Record(b"{not json")])
    log.append("dlq.buffer_overflow", [Record(encode_event(notice))])
    with running(log, conninfo) as status, Reader(conninfo) as reader:
        eventually(lambda: status.stored == 35 and settled(log))
        snapshot = reader.ledger_snapshot(recount=True)
        telemetry = snapshot.counts[Cell("gw-1", "plc", "telemetry", HOUR)]
        assert (telemetry.read, telemetry.dropped, telemetry.stored, telemetry.kept) == (40, 10, 35, 35)
        events = snapshot.counts[Cell("gw-1", "plc", "event", HOUR)]
        assert (events.read, events.stored, events.rejected, events.kept) == (2, 1, 1, 1)
        assert set(snapshot.counts) == {Cell("gw-1", "plc", "telemetry", HOUR), Cell("gw-1", "plc", "event", HOUR)}
        assert snapshot.holes == []
        found = [one.type for one, _ in reader.events(START, START + 1)[0]]
        assert sorted(found) == ["BUFFER_OVERFLOW", "GAP", "UNIT_START"]
        assert [one.gateway for one in reader.gateway_status()] == ["gw-1"]
        (letter,) = log.read(TopicPartition("dlq.invalid_events", 0), 0)
        assert decode_dead_letter(letter).topic == "metrics.gateways"
    assert status.state == "stopped"


def test_what_cannot_be_stored_goes_to_the_dead_letters(log: Journal, conninfo: str) -> None:
    """PD-22: bad records are quarantined with bytes, place and reason; those behind them are stored."""
    edge = Edge(kinds={"T": Kind.TEXT})
    good = clean(edge, [reading("T", START, "nul\0"), reading("T", START + 1, "fine")])
    more = clean(edge, [*ramp("A", 5)])
    damaged = clean(edge, [*ramp("A", 3, start=START + times.MINUTE)])
    log.append(TOPIC, [good, damaged._replace(value=damaged.value[:20]), more, Record(b"\0garbage", partition=0)])
    event = Event(id="no uuid", type="X", time=START, gateway_time=START)
    log.append("events.clean", [Record(encode_event(event)), Record(b"garbage")])
    with running(log, conninfo) as status, Reader(conninfo) as reader:
        eventually(lambda: status.stored == 6 and settled(log))
        assert reader.audit() == []
        (row,) = reader.ledger(START, START + times.HOUR)
        assert (row.counts.stored, row.counts.rejected) == (6, 4)
        assert reader.holes() == []
        letters = [decode_dead_letter(record) for record in log.read(TopicPartition("dlq.invalid_telemetry", 0), 0)]
        assert sorted((letter.offset, letter.tag) for letter in letters if letter.tag) == [(0, "T")]
        assert sorted(letter.offset for letter in letters) == [0, 1, 3]
        assert any("NUL" in letter.reason for letter in letters)
        assert len(log.read(TopicPartition("dlq.invalid_events", 0), 0)) == 2


def test_a_stop_while_dead_letters_cannot_be_written_leaves_them_for_the_next_start(
    log: Journal, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PD-22: nothing behind a broken record counts as stored before it lies among the dead letters. The log's refusal is made up here."""
    log.append(TOPIC, [Record(b"\0garbage", partition=0), clean(Edge(), [*ramp("A", 5)])])

    def full(*_: object, **__: object) -> None:
        raise RetryLater("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("trunkline.historian.role.bury_broken", full)
        with running(log, conninfo) as status:
            eventually(lambda: status.state == "waiting")
        assert status.stored == 0
    with running(log, conninfo) as status:
        eventually(lambda: status.stored == 5 and settled(log))
    (letter,) = log.read(TopicPartition("dlq.invalid_telemetry", 0), 0)
    assert decode_dead_letter(letter).offset == 0


def test_the_first_reading_does_not_wait_and_the_last_is_stored_at_the_end(log: Journal, conninfo: str) -> None:
    """Issue 3: quick after silence, gathered under load, nothing left behind by an orderly stop."""
    edge = Edge()
    with running(log, conninfo, flush_seconds=3600.0) as status, Reader(conninfo) as reader:
        log.append(TOPIC, [clean(edge, [*ramp("A", 1)])])
        eventually(lambda: status.stored == 1)
        log.append(TOPIC, [clean(edge, [*ramp("A", 2, start=START + times.MINUTE)])])
        eventually(lambda: status.waiting == 2)
        assert status.stored == 1
    with Reader(conninfo) as reader:
        assert len(reader.raw("A", START, START + times.HOUR)) == 3


def test_a_flush_holds_as_many_readings_as_configured_however_many_are_in_a_record(log: Journal, conninfo: str) -> None:
    """Memory goes by readings: a backlog of large blocks does not come all at once."""
    edge = Edge()
    log.append(TOPIC, [clean(edge, [*ramp("A", 500, start=START + block * times.SECOND * 500)]) for block in range(60)])
    with running(log, conninfo, flush_readings=1000) as status:
        eventually(lambda: status.stored == 30_000)
    assert status.flushes > 20


def test_out_of_connections_is_waited_for(log: Journal, conninfo: str) -> None:
    """Issue 3, faults: PostgreSQL out of connections loses nothing, and memory stays bounded because nothing is polled meanwhile."""
    edge = Edge()
    name = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
    limit = psycopg.sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("CREATE ROLE nobody_special LOGIN")
        admin.execute("GRANT USAGE ON SCHEMA historian TO nobody_special")
        admin.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA historian TO nobody_special")
        admin.execute(limit.format(psycopg.sql.Identifier(str(name)), 0))
        log.append(TOPIC, [clean(edge, [*ramp("A", 5)])])
        with running(log, conninfo.replace("user=trunkline", "user=nobody_special")) as status:
            eventually(lambda: status.state == "waiting")
            assert "too many connections" in (status.error or "")
            admin.execute(limit.format(psycopg.sql.Identifier(str(name)), -1))
            eventually(lambda: status.stored == 5)
        admin.execute("DROP OWNED BY nobody_special")
        admin.execute("DROP ROLE nobody_special")


def test_a_group_that_cannot_be_joined_yet_is_waited_for(tmp_path: Path, conninfo: str) -> None:
    """P-115: brokers that are away, or members that are busy, keep a historian waiting; it does not end, and stops when told."""
    (port,) = free_ports(1)
    config = LogConfig(engine="kafka", bootstrap=f"127.0.0.1:{port}", insecure=True, timeout_seconds=1, partitions=1)
    log, stop, status = open_site_log(config, tmp_path, look=False), threading.Event(), HistorianStatus()
    thread = threading.Thread(
        target=run_historian, args=(log, LAYOUT, conninfo, HistorianConfig(), stop), kwargs={"status": status, "member": "historian-1"}
    )
    thread.start()
    eventually(lambda: status.state == "waiting")
    assert status.error
    stop.set()
    thread.join()
    assert status.state == "stopped"
    log.close()


def test_a_database_that_was_not_migrated_stops_the_role(log: Journal, conninfo: str) -> None:
    """PD-34."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("DROP SCHEMA historian CASCADE")
    with pytest.raises(Misconfigured, match="trunkline migrate"):
        run_historian(log, LAYOUT, conninfo, HistorianConfig(), threading.Event())
