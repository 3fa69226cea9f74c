"""Narrow rows beside the segments: the same readings, in the same transaction (for TimescaleDB and other tools of SQL)."""

import math

import psycopg
from tests.historian.support import PLACE, ROWS_ONLY_ON_ONE_SIDE, START, Edge, flush_of, ramp, reading

from trunkline.historian.retention import drop_old, remove_readings
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind

KINDS = {"A": Kind.DOUBLE, "I": Kind.INTEGER, "B": Kind.BOOLEAN, "T": Kind.TEXT}
EVERYTHING = "SELECT tag, extract(epoch FROM time) - %s, value, quality, code FROM public.narrow ORDER BY 1, 2, 3"


def test_rows_are_the_readings(conninfo: str) -> None:
    edge = Edge(kinds=KINDS)
    second = times.SECOND
    readings = [
        reading("A", START, 1.25),
        reading("A", START, 2.5),  # the same time twice
        reading("A", START + second, None, Quality.BAD),
        reading("A", START + 2 * second, math.nan, Quality.BAD),
        reading("A", START + 3 * second, -math.inf, Quality.UNCERTAIN),
        reading("I", START, -(2**40)),
        reading("I", START + second, None, Quality.BAD_COMMS_LOST),
        reading("B", START, True),
        reading("T", START, "text has its own rows"),
    ]
    with Writer(conninfo, narrow=True) as writer, psycopg.connect(conninfo, autocommit=True) as connection:
        writer.take_over([PLACE])
        flush = flush_of([edge.block(readings)])
        writer.write(flush)
        assert connection.execute(EVERYTHING, (START // second,)).fetchall() == [
            ("A", 0, 1.25, 0, "GOOD"),
            ("A", 0, 2.5, 0, "GOOD"),
            ("A", 1, None, Quality.BAD, "BAD"),
            ("A", 2, None, Quality.BAD, "BAD"),
            ("A", 3, -math.inf, Quality.UNCERTAIN, "UNCERTAIN"),
            ("B", 0, 1.0, 0, "GOOD"),
            ("I", 0, -(2.0**40), 0, "GOOD"),
            ("I", 1, None, Quality.BAD_COMMS_LOST, "BAD"),
        ]
        assert connection.execute(ROWS_ONLY_ON_ONE_SIDE).fetchall() == []
        assert writer.write(flush_of(edge.records)).repeats == len(readings)
        assert connection.execute(ROWS_ONLY_ON_ONE_SIDE).fetchall() == [], "a replay adds nothing"


def test_rows_leave_with_the_readings(conninfo: str) -> None:
    """Corrections and retention take both."""
    edge = Edge()
    later = START + 45 * times.DAY
    with Writer(conninfo, narrow=True) as writer, psycopg.connect(conninfo, autocommit=True) as connection:
        writer.take_over([PLACE])
        writer.write(flush_of([edge.block([*ramp("A", 10), *ramp("C", 10), *ramp("A", 4, start=later)])]))
        remove_readings(conninfo, "A", START, START + 3 * times.SECOND, actor="test", reason="wrong")
        assert connection.execute(ROWS_ONLY_ON_ONE_SIDE).fetchall() == []
        assert connection.execute("SELECT count(*) FROM public.narrow").fetchone() == (21,)
        drop_old(conninfo, 10, now=later)
        assert connection.execute(ROWS_ONLY_ON_ONE_SIDE).fetchall() == []
        assert connection.execute("SELECT count(*) FROM public.narrow").fetchone() == (4,)


def test_without_the_setting_there_are_no_rows(conninfo: str) -> None:
    with Writer(conninfo) as writer, psycopg.connect(conninfo) as connection:
        writer.take_over([PLACE])
        writer.write(flush_of([Edge().block(ramp("A", 5))]))
        assert connection.execute("SELECT count(*) FROM historian.reading_row").fetchone() == (0,)
