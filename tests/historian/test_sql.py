import math
from collections.abc import Iterator

import psycopg
import pytest
from tests.historian.support import ORIGIN, PLACE, START, Edge, flush_of, ramp, reading

from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.flush import EventRecord
from trunkline.historian.writer import Writer
from trunkline.ledger.status import BufferStatus, GatewayStatus, LinkStatus
from trunkline.log.codec.head import BlockHead, Tally
from trunkline.log.port import TopicPartition
from trunkline.model import quality, times
from trunkline.model.events import Alarm, AlarmSeverity, Event
from trunkline.model.identity import uuid7
from trunkline.model.quality import Quality
from trunkline.model.reading import INT64_MAX, INT64_MIN, Category, Kind

FLOW = "PLANT01.AREA02.UNIT_05.FLOW_RATE"
COUNT = "PLANT01.AREA02.UNIT_05.COUNT"
STATE = "PLANT01.STATE"
EVENTS = TopicPartition("events.clean", 0)


@pytest.fixture
def database(conninfo: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A small history, seen through plain SQL."""
    kinds = {COUNT: Kind.INTEGER, STATE: Kind.TEXT}
    edge = Edge(kinds=kinds)
    alarm = Alarm(
        id=str(uuid7()), type="HIGH_TEMP", time=START, gateway_time=START, asset="PLANT01.AREA02.UNIT_05", tag="TEMPERATURE",
        severity=AlarmSeverity.CRITICAL, value=381.0, threshold=380.0, unit="°C",
    )  # fmt: skip
    mode = Event(id=str(uuid7()), type="MODE_CHANGE", time=START, gateway_time=START, asset="PLANT01.AREA02", before="AUTO", after="MANUAL")
    heads = [BlockHead(ORIGIN, number, number + 1, (Tally("plc", times.hour_of(START), 1),)) for number in range(2)]
    flush = flush_of(
        [
            edge.block(
                [
                    *ramp(FLOW, 3, first=0.125),
                    reading(FLOW, START + times.HOUR + 7, math.pi, Quality.BAD_OUT_OF_RANGE),
                    reading(FLOW, START + times.HOUR + 1_000_001, None, Quality.BAD_COMMS_LOST),
                    reading(FLOW, START + times.HOUR + 9_000_001, -0.0, Quality.UNCERTAIN_SUSPECT_RATE),
                    reading(COUNT, START, INT64_MAX),
                    reading(COUNT, START + 1, INT64_MIN),
                    reading(COUNT, START + 2, None, Quality.BAD),
                    reading(STATE, START, "läuft"),
                ]
            )
        ]
    )
    flush.events = [EventRecord(alarm, heads[0], EVENTS, Category.ALARM), EventRecord(mode, heads[1], EVENTS, Category.EVENT)]
    flush.positions[EVENTS] = 2
    flush.statuses = [GatewayStatus("node-042", ORIGIN, START, "0", [], BufferStatus(0, 0, None, 1), LinkStatus("up", 0, None), [])]
    with Writer(conninfo, {FLOW: SeriesInfo(unit="m³/h")}) as writer:
        writer.take_over([PLACE, EVENTS])
        writer.write(flush)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET timezone = 'Asia/Kolkata'")  # a zone of half an hour must not matter
        yield connection


def test_readings_of_a_tag(database: psycopg.Connection[tuple[object, ...]]) -> None:
    """Design, section 5: a function for tools; exact values, times and short codes."""
    query = "SELECT (extract(epoch FROM time) * 1000000)::int8, value, quality, code FROM readings(%s, %s, %s) ORDER BY 1"
    span = (times.to_datetime(START + times.SECOND), times.to_datetime(START + 2 * times.HOUR))
    hour = START + times.HOUR
    assert database.execute(query, (FLOW, *span)).fetchall() == [
        (START + times.SECOND, 1.125, 0, "GOOD"),
        (START + 2 * times.SECOND, 2.125, 0, "GOOD"),
        (hour + 7, math.pi, 0x803C, "OOR"),
        (hour + 1_000_001, None, 0x8031, "BAD"),
        (hour + 9_000_001, 0.0, 0x4F03, "UNCERTAIN"),
    ]
    whole = database.execute("SELECT integer_value FROM readings(%s, '2000-01-01Z', '2030-01-01Z') ORDER BY time", (COUNT,)).fetchall()
    assert whole == [(INT64_MAX,), (INT64_MIN,), (None,)]
    words = database.execute("SELECT text_value, value FROM readings(%s, '2000-01-01Z', '2030-01-01Z')", (STATE,)).fetchall()
    assert words == [("läuft", None)]


def test_short_codes_agree_with_the_model(database: psycopg.Connection[tuple[object, ...]]) -> None:
    """P-13, PD-26."""
    found = database.execute("SELECT q, quality_code(q) FROM generate_series(0, 65535) q ORDER BY 1").fetchall()
    assert found == [(code, quality.to_short(code)) for code in range(65536)]


def test_views_of_the_plant(database: psycopg.Connection[tuple[object, ...]]) -> None:
    """P-78 to P-83: the seed's tables and columns, as views."""
    columns = "plant, area, unit_name, tag, value, unit_of_measure, quality, node_id"
    rows = database.execute(f'SELECT {columns} FROM plant.telemetry WHERE tag = %s ORDER BY "timestamp" LIMIT 1', ("FLOW_RATE",)).fetchall()
    assert rows == [("PLANT01", "AREA02", "UNIT_05", "FLOW_RATE", 0.125, "m³/h", "GOOD", 42)]
    ids = database.execute("SELECT count(*), count(DISTINCT event_id) FROM plant.telemetry").fetchone()
    assert ids == (10, 10)
    between = "SELECT count(*) FROM plant.telemetry_between(%s, %s) WHERE plant = 'PLANT01'"
    assert database.execute(between, (times.to_datetime(START), times.to_datetime(START + times.HOUR))).fetchone() == (7,)
    assert database.execute("SELECT plant, area, unit_name, tag FROM plant.telemetry WHERE tag = 'STATE'").fetchall() == [
        ("PLANT01", "", "", "STATE")
    ]
    alarm = database.execute(f"SELECT {columns}, severity FROM plant.alarms").fetchall()
    assert alarm == [("PLANT01", "AREA02", "UNIT_05", "TEMPERATURE", 381.0, "°C", "GOOD", 42, "CRITICAL")]
    event = database.execute("SELECT event_type, before::text, after::text, area FROM plant.events").fetchall()
    assert event == [("MODE_CHANGE", '"AUTO"', '"MANUAL"', "AREA02")]


def test_the_view_of_everything(database: psycopg.Connection[tuple[object, ...]]) -> None:
    found = database.execute("SELECT tag, count(*), min(gateway), min(source) FROM reading GROUP BY 1 ORDER BY 1").fetchall()
    assert found == [(COUNT, 3, "node-042", "plc"), (FLOW, 6, "node-042", "plc"), (STATE, 1, "node-042", "plc")]
