import random
import re

import numpy as np
import psycopg
import pytest
from tests.historian.support import PLACE, START, Edge, flush_of, ramp, reading

from trunkline.historian.catalogue import SeriesInfo
from trunkline.historian.chart import WIDTHS, bucket_width
from trunkline.historian.compactor import Compactor
from trunkline.historian.reader import Reader, UnknownTag
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Kind, Reading


def irregular(seed: int, count: int, span: int) -> list[Reading]:
    rng = random.Random(seed)
    moments = sorted(rng.randrange(span) for _ in range(count))
    qualities = [Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]
    return [reading("A", START + moment, rng.choice([rng.gauss(0, 1), None]), rng.choice(qualities)) for moment in moments]


def expected(readings: list[Reading], from_time: int, to_time: int, width: int) -> dict[int, tuple[int, int, float, float, float]]:
    """Buckets as anyone would count them by hand."""
    buckets: dict[int, list[Reading]] = {}
    for one in readings:
        assert one.source_time is not None
        if from_time <= one.source_time < to_time:
            buckets.setdefault(one.source_time // width * width, []).append(one)
    result = {}
    for start, inside in buckets.items():
        values = [float(one.value) for one in inside if isinstance(one.value, int | float) and one.quality < Quality.BAD]
        figures = (min(values), max(values), sum(values) / len(values)) if values else (np.nan, np.nan, np.nan)
        result[start] = (len(inside), sum(one.quality != Quality.GOOD for one in inside), *figures)
    return result


@pytest.mark.parametrize("compacted", [False, True])
def test_charts_are_exact_at_every_width(conninfo: str, compacted: bool) -> None:
    """Issue 3, item 8: headers where they suffice, readings elsewhere, the same figures always."""
    readings = irregular(5, 3000, 30 * times.HOUR)
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        for begin in range(0, 3000, 500):
            writer.write(flush_of([edge.block(readings[begin : begin + 500])]))
        if compacted:
            with Compactor(conninfo, quiet_seconds=0) as compactor:
                compactor.run_once()
        for from_time, to_time, points in [
            (START, START + 30 * times.HOUR, 2000),
            (START, START + 30 * times.HOUR, 31),
            (START + 12_345_678, START + 29 * times.HOUR + 7, 10),
            (START - times.DAY, START + 3 * times.DAY, 4),
            (START + times.HOUR, START + 2 * times.HOUR, 60),
        ]:
            chart = reader.chart("A", from_time, to_time, points)
            assert -(-(to_time - from_time) // chart.width) <= points
            wanted = expected(readings, from_time, to_time, chart.width)
            assert chart.time.tolist() == sorted(wanted)
            found = np.array([chart.n, chart.bad, chart.min, chart.max, chart.avg]).T
            np.testing.assert_allclose(found, np.array([wanted[start] for start in sorted(wanted)]), rtol=1e-9, atol=1e-12)


def test_widths_are_pleasant_and_nest_in_hours() -> None:
    for width in WIDTHS:
        assert times.HOUR % width == 0 or width % times.HOUR == 0 or width % times.MINUTE == 0 or times.SECOND % width == 0
    assert bucket_width(365 * times.DAY, 2000) == 6 * times.HOUR
    assert bucket_width(times.HOUR, 500) == 10 * times.SECOND
    assert bucket_width(10**18, 1) >= 10**18
    assert list(WIDTHS) == sorted(WIDTHS)


def test_value_at_a_time(conninfo: str) -> None:
    """Issue 3, item 8: at-time with interpolation or hold."""
    kinds = {"I": Kind.INTEGER, "T": Kind.TEXT}
    edge = Edge(kinds=kinds)
    late = START + 5 * times.HOUR
    record = edge.block(
        [
            reading("A", START, 1.0),
            reading("A", START + 10, 3.0),
            reading("A", START + 20, 9.0, Quality.BAD),
            reading("A", late, 4.0),
            reading("I", START, 10),
            reading("I", late, 20),
            reading("T", START, "on"),
        ]
    )
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        writer.write(flush_of([record]))

        def value(tag: str, time: int, linear: bool = False) -> tuple[object, int] | None:
            found = reader.at(tag, time, "linear" if linear else "hold")
            return None if found is None else (found.value, found.from_time)

        assert value("A", START - 1) is None
        assert value("A", START + 5) == (1.0, START)
        assert value("A", START + 5, linear=True) == (2.0, START)
        assert value("A", START + 15, linear=True) == (3.0, START + 10)  # the next one is BAD: held
        assert value("A", late - 1) == (9.0, START + 20)
        assert value("A", late + times.DAY, linear=True) == (4.0, late)
        assert value("I", START + 5, linear=True) == (10, START)
        assert value("T", late) == ("on", START)
        with pytest.raises(UnknownTag):
            reader.at("NONE", START)


def test_raw_is_bounded_and_merges_overlaps(conninfo: str) -> None:
    edge = Edge()
    with Writer(conninfo) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        for offset in (0, 1, 2):  # three interleaved runs over three hours
            writer.write(flush_of([edge.block(ramp("A", 1000, start=START + offset * 1000, step=10 * times.SECOND))]))
        raw = reader.raw("A", START, START + times.DAY, limit=100)
        assert (len(raw), raw.truncated) == (100, True)
        everything = reader.raw("A", START, START + times.DAY)
        assert (len(everything), everything.truncated) == (3000, False)
        assert everything.time.tolist() == sorted(everything.time.tolist())
        assert raw.time.tolist() == everything.time.tolist()[:100]
        assert reader.raw("A", START, START + times.DAY, limit=3000).truncated is False


def test_tags_are_searched_and_walked(conninfo: str) -> None:
    """P-83, P-88: tags by words, by branch, page by page; the tree level by level."""
    registry = {
        f"PLANT0{plant}.AREA01.UNIT_0{unit}.{name}": SeriesInfo(Kind.DOUBLE, unit="u", description=f"{name.lower()} of unit {unit}")
        for plant in (1, 2)
        for unit in (1, 2, 3)
        for name in ("FLOW_RATE", "PRESSURE")
    }
    with Writer(conninfo, registry) as writer, Reader(conninfo) as reader:
        writer.take_over([PLACE])
        assert reader.tags().total == 12
        assert reader.tags(search="flow unit_02").total == 2
        assert reader.tags(search="%").total == 0
        assert reader.tags(under="PLANT01.AREA01.UNIT_0").total == 0
        assert reader.tags(under="PLANT01.AREA01.UNIT_01").total == 2
        pages, cursor = [], ""
        while True:
            page = reader.tags(limit=5, cursor=cursor)
            pages += [tag.tag for tag in page.tags]
            if page.next is None:
                break
            cursor = page.next
        assert pages == sorted(registry)
        assert [(node.name, node.branch, node.tags) for node in reader.tree()] == [("PLANT01", True, 6), ("PLANT02", True, 6)]
        leaves = reader.tree("PLANT01.AREA01.UNIT_02")
        assert [(node.path, node.branch) for node in leaves] == [
            ("PLANT01.AREA01.UNIT_02.FLOW_RATE", False),
            ("PLANT01.AREA01.UNIT_02.PRESSURE", False),
        ]


def test_a_years_query_of_one_tag_touches_only_its_own_segments(conninfo: str) -> None:
    """Design, section 5: partitions pruned, the index used, no table read through; by function and by reader alike."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET search_path = historian, public")
        connection.execute("INSERT INTO origin (origin) VALUES ('o')")
        connection.execute("INSERT INTO feed (origin_id, source) VALUES (1, 's')")
        connection.execute("INSERT INTO series (tag, kind) SELECT 'T' || k, 0 FROM generate_series(1, 300) k")
        connection.execute("SELECT ensure_partition(d::date) FROM generate_series('2025-01-01'::date, '2026-12-01', '1 month') d")
        connection.execute("""
            INSERT INTO segment (series_id, feed_id, hour, n, valued, uncertain, bad, scale, t0, t1, v_min, v_max, v_sum, d)
            SELECT k, 1, extract(epoch FROM t) / 3600, 2, 2, 0, 0, 0, t, t + interval '1 s', 1, 2, 3, '{1,2}'
            FROM generate_series(1, 300) k, generate_series('2025-01-01Z'::timestamptz, '2026-12-31Z', '1 day') t""")
        # as the writer does; what is marked is not taken from rollups
        connection.execute(
            "INSERT INTO rollup_due (tier, start, stop, series) SELECT 3, '2025-01-01Z', '2027-01-01Z', array_agg(id) FROM series"
        )
        connection.execute("ANALYZE segment")
        for query in (
            "SELECT count(*) FROM readings('T7', '2026-01-01Z', '2027-01-01Z')",
            "SELECT n, v_min FROM segment WHERE series_id = 7 AND t0 >= '2026-01-01Z' AND t0 < '2027-01-01Z'",
        ):
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {query}").fetchall())
            assert "Seq Scan on segment" not in plan, plan
            assert "segment_2025" not in plan, plan
            scans = re.findall(r"(?:Index|Bitmap Heap) Scan .*?on segment_2026\d\d.*?rows=(\d+)", plan, re.DOTALL)
            assert len(scans) == 12, plan
            removed = [int(rows) for rows in re.findall(r"Rows Removed by (?:Filter|Index Recheck): (\d+)", plan)]
            assert sum(removed) <= 1000, plan
        with Reader(conninfo) as reader:
            assert reader.chart("T7", START, START + 30 * times.DAY, 100).readings == 60
