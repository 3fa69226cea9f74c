"""Rollups on the real database: equal to SQL over the readings, whatever comes late, is taken out or is killed."""

import random
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import psycopg
import pytest
from tests.historian.support import PLACE, START, Edge, flush_of, reading

from trunkline.config.rollups import RollupsConfig
from trunkline.historian import rows
from trunkline.historian.compactor import Compactor
from trunkline.historian.migrate import migrations
from trunkline.historian.reader import Reader
from trunkline.historian.retention import drop_old, remove_readings
from trunkline.historian.rollup import service
from trunkline.historian.rollup.check import Report, check
from trunkline.historian.rollup.roller import Rolled, Roller
from trunkline.historian.rollup.settings import Settings
from trunkline.historian.writer import Writer
from trunkline.model import times
from trunkline.model.quality import Quality
from trunkline.model.reading import Reading

CONFIG = RollupsConfig.model_validate(
    {
        "grace_seconds": 0,
        "repair_seconds": 0,
        "tags": [
            {"tags": ["COUNT*"], "counter": {"rollover": 1000}},
            {"tags": ["A"], "hold_seconds": 90},
            {"tags": ["A", "FINE"], "tiers": ["1s", "10s"]},
        ],
    }
)
ZONE = ZoneInfo("Asia/Kolkata")
END = START + 3 * times.DAY
MINUTE, HOUR = times.MINUTE, times.HOUR


class Site:
    """A writer, a roller and a check on one database."""

    def __init__(self, conninfo: str, zone: ZoneInfo = ZONE) -> None:
        self.conninfo = conninfo
        self.zone = zone
        self.config = CONFIG
        self.edge = Edge()

    def write(self, readings: Iterable[Reading]) -> None:
        with Writer(self.conninfo) as writer:
            writer.take_over([PLACE])
            writer.write(flush_of([self.edge.block(readings)]))

    def roll(self, now: int = END) -> Rolled:
        with Roller(self.conninfo, Settings(self.config), self.zone) as roller:
            return roller.run_once(now=now)

    def check(self, to_time: int = END) -> Report:
        return check(self.conninfo, self.config, self.zone, to_time=to_time)

    def table(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute("SET search_path = historian, public")
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def site(conninfo: str) -> Site:
    return Site(conninfo)


def mixed(seed: int, count: int, begin: int, span: int, tags: str = "A B COUNTER") -> list[Reading]:
    """Return readings at random times, of every quality, some without a value and some at one time."""
    rng = random.Random(seed)
    qualities = [Quality.GOOD, Quality.GOOD, Quality.UNCERTAIN, Quality.BAD]
    moments = [begin + rng.randrange(span) for _ in range(count)] + [begin + span // 3] * 3
    return [
        reading(tag, moment, rng.choice([rng.gauss(50, 10), rng.gauss(0, 1), None]), rng.choice(qualities))
        for tag in tags.split()
        for moment in moments
    ]


def differences(report: Report) -> list[str]:
    return [f"{one.tag} {one.tier} {one.start - START} {one.statistic}: {one.stored} {one.computed}" for one in report.differences]


def test_every_bucket_of_every_tier_is_what_sql_says(site: Site) -> None:
    """Issue 6, figures: rollup tables equal SQL over raw, out of order and late; W-130, W-131, W-132, D-18, E-74, T-111."""
    for part in (2, 0, 1, 3):
        site.write(mixed(part, 80, START + part * 6 * HOUR, 6 * HOUR))
        site.roll(now=START + (part + 1) * 6 * HOUR + 17)
    site.roll()
    report = site.check()
    assert differences(report) == []
    assert report.behind == 0
    assert site.table("SELECT count(DISTINCT tier) FROM rollup") == [(5,)]
    assert report.buckets == site.table("SELECT count(*) FROM rollup")[0][0]
    assert site.roll() == Rolled()


def test_late_readings_repair_every_bucket_that_they_change_and_no_other(site: Site) -> None:
    """Build 3: late data repairs every affected bucket, with a revision number; a bucket that stays the same keeps its own."""
    site.write([reading("B", START + place * MINUTE * 5, float(place)) for place in range(24)])
    assert site.roll().revised == 0
    # in minute 0, and it holds until the reading of minute 5: minutes 0 to 4, hour 0 and the day change
    site.write([reading("B", START + 30 * times.SECOND, 100.0)])
    done = site.roll()
    assert differences(site.check()) == []
    revised = "SELECT tier, extract(epoch FROM start - '2026-06-01Z')::int FROM rollup WHERE revision = 1 ORDER BY 1, 2"
    assert site.table(revised) == [(3, 0), (3, 60), (3, 120), (3, 180), (3, 240), (4, 0), (5, -19800)]
    assert (done.made, done.revised) == (0, 7)


def test_a_bucket_in_order_is_made_once(site: Site) -> None:
    """Build 3: buckets are made when they are over, so that ordinary data costs one computation."""
    for minute in range(8):
        site.write([reading("B", START + minute * MINUTE + second * times.SECOND, float(second)) for second in range(0, 60, 10)])
        done = site.roll(now=START + (minute + 1) * MINUTE)
        assert (done.made, done.revised, done.readings) == (1, 0, 6)
    # the last reading holds for ten minutes more
    done = site.roll()
    assert site.table("SELECT tier, count(*), max(revision) FROM rollup GROUP BY 1 ORDER BY 1") == [(3, 18, 0), (4, 1, 0), (5, 1, 0)]
    assert (done.made, done.revised) == (12, 0)
    assert differences(site.check()) == []


def test_a_correction_repairs_rollups_and_leaves_an_empty_row_behind(site: Site) -> None:
    """What `remove_readings` takes away is gone from the rollups as well."""
    site.write(mixed(1, 300, START, 3 * HOUR))
    site.roll()
    remove_readings(site.conninfo, "A", START + HOUR, START + 2 * HOUR, actor="me", reason="test")
    remove_readings(site.conninfo, "COUNTER", START + HOUR, START + 2 * HOUR, actor="me", reason="test")
    assert site.roll().revised > 0
    assert differences(site.check()) == []
    emptied = "tag = 'A' AND tier = 4 AND start = '2026-06-01 01:00Z'"
    assert site.table(f"SELECT n, revision FROM rollup JOIN series s ON s.id = series_id WHERE {emptied}") == [(0, 1)]


def test_compaction_and_retention_of_readings_change_no_rollup(site: Site) -> None:
    """Build 3: merging segments marks nothing; what was rolled up stays when its readings go, and a straggler does not spoil it."""
    for part in range(4):
        site.write(mixed(part, 100, START, HOUR))
    site.roll()
    before = site.table("SELECT r::text FROM rollup r ORDER BY tier, series_id, start")
    with Compactor(site.conninfo, quiet_seconds=0) as compactor:
        assert compactor.run_once().hours == 1
    assert site.table("SELECT count(*) FROM rollup_due") == [(0,)]
    assert drop_old(site.conninfo, 30, now=START + 200 * times.DAY) > 0
    site.write(mixed(9, 10, START, HOUR))
    assert site.roll() == Rolled()
    assert site.table("SELECT r::text FROM rollup r ORDER BY tier, series_id, start") == before
    assert site.check().buckets == 0


def test_each_tier_is_kept_as_long_as_it_says(site: Site) -> None:
    """W-71 to W-74: whole partitions go; late readings do not bring them back, and longer tiers are still repaired."""
    site.write(mixed(1, 100, START, HOUR))
    site.write(mixed(2, 100, START + 40 * times.DAY, HOUR))
    site.roll(now=START + 41 * times.DAY)
    counts = "SELECT tier, count(DISTINCT date_trunc('month', start)) FROM rollup GROUP BY 1 ORDER BY 1"
    assert site.table(counts) == [(1, 2), (2, 2), (3, 2), (4, 2), (5, 2)]
    assert service.drop_old(site.conninfo, CONFIG, now=START + 160 * times.DAY) > 0
    assert site.table(counts) == [(4, 2), (5, 2)]
    site.write([reading("B", START + 10 * MINUTE + 1, 1e6)])
    site.roll(now=START + 161 * times.DAY)
    assert site.table("SELECT tier, max(max) FROM rollup WHERE revision = 1 GROUP BY 1 ORDER BY 1") == [(4, 1e6), (5, 1e6)]
    assert differences(site.check(START + 161 * times.DAY)) == []


@pytest.mark.parametrize("zone", ["UTC", "Australia/Lord_Howe"])
def test_days_are_those_of_the_site(conninfo: str, zone: str) -> None:
    """Build 3: time zone aware, also when the site moves to another one."""
    site = Site(conninfo, ZoneInfo("America/New_York"))
    site.write(mixed(1, 60, START, 2 * times.DAY, "B COUNTER"))
    site.roll()
    assert differences(site.check()) == []
    site.zone = ZoneInfo(zone)
    site.roll()
    report = site.check()
    assert differences(report) == []
    query = f"SELECT count(*) FROM rollup WHERE tier = 5 AND (start AT TIME ZONE '{zone}')::time <> '00:00'"
    assert site.table(query) == [(0,)]


def test_what_the_site_file_says_otherwise_is_made_anew(site: Site) -> None:
    """A longer hold, a counter, finer tiers: the rollups of these tags follow, and those of the others stay."""
    site.write(mixed(1, 100, START, HOUR, "A B C"))
    site.roll()
    site.config = RollupsConfig.model_validate(
        {
            "grace_seconds": 0,
            "repair_seconds": 0,
            "tags": [{"tags": ["A"], "counter": {}, "hold_seconds": 200, "tiers": ["1s"]}, {"tags": ["B"], "tiers": ["10s"]}],
        }
    )
    assert differences(site.check()) != []
    site.roll()
    assert differences(site.check()) == []
    revised = "SELECT DISTINCT tag FROM rollup JOIN series s ON s.id = series_id WHERE revision > 0 AND tier > 2"
    assert site.table(revised) == [("A",)]


def test_counters_carry_over_silence_and_roll_over(site: Site) -> None:
    """Build 3: totals for counters with roll-over; what was counted while nothing was heard is not lost."""
    steps = [(0, 990.0), (30, 995.0), (70, 4.0), (5000, 50.0), (90_000, 60.0)]
    site.write([reading("COUNTER", START + second * times.SECOND, value) for second, value in steps])
    site.roll()
    assert site.table("SELECT total FROM rollup WHERE tier = 3 AND n > 0 ORDER BY start") == [(5.0,), (9.0,), (46.0,), (10.0,)]
    assert site.table("SELECT sum(total) FROM rollup WHERE tier = 5") == [(70.0,)]
    site.write([reading("COUNTER", START + 6000 * times.SECOND, 55.0)])
    site.roll()
    assert differences(site.check()) == []
    assert site.table("SELECT sum(total) FROM rollup WHERE tier = 4") == [(70.0,)]


def test_charts_take_rollups_and_say_the_same(site: Site) -> None:
    """W-90, Build 3: charts pick the resolution by themselves, mix in what is not rolled up yet, and are exact all the same."""
    site.write(mixed(1, 3000, START, 30 * HOUR, "A"))
    spans = [
        (START, START + 30 * HOUR, 120),
        (START + 12_345_678, START + 29 * HOUR + 7, 500),
        (START - times.DAY, START + 2 * times.DAY, 12),
        (START + HOUR, START + 2 * HOUR, 7),
    ]
    with Reader(site.conninfo) as reader:
        raw = [reader.chart("A", *span) for span in spans]
        assert [chart.resolution for chart in raw] == ["raw", "raw", "1h", "raw"]  # of the third most is before and after any reading
        site.roll(now=START + 25 * HOUR)
        mixed_ones = [reader.chart("A", *span) for span in spans]
        assert [chart.resolution for chart in mixed_ones] == ["1min", "1min", "1h", "1min"]
        site.roll()
        for found in (mixed_ones, [reader.chart("A", *span) for span in spans]):
            for one, other in zip(raw, found, strict=True):
                assert (one.time.tolist(), one.n.tolist(), one.bad.tolist()) == (other.time.tolist(), other.n.tolist(), other.bad.tolist())
                for name in ("min", "max", "avg"):
                    assert getattr(one, name).tolist() == pytest.approx(getattr(other, name).tolist(), nan_ok=True)
        # a reading that is stored and not rolled up yet is there at once
        site.write([reading("A", START + 3 * HOUR + 1, 12.5)])
        assert reader.chart("A", *spans[0]).readings == raw[0].readings + 1


def test_rollups_of_a_tag(site: Site) -> None:
    """W-90, E-74: the reader, and the SQL function for tools, with the share of good time."""
    qualities = [Quality.GOOD] * 3 + [Quality.BAD, Quality.UNCERTAIN, Quality.GOOD]
    site.write([reading("B", START + place * 10 * times.SECOND, float(place), one) for place, one in enumerate(qualities)])
    site.roll()
    with Reader(site.conninfo) as reader:
        found = reader.rollup("B", "1min", START, START + MINUTE)
        assert (found.percent_good.tolist(), found.rows["n"].tolist()) == ([pytest.approx(400 / 6)], [6])
        day = reader.rollup("B", "1day", START - times.DAY, START + times.DAY)
        assert (day.stop - day.start).tolist() == [times.DAY]
        with pytest.raises(ValueError, match="1min"):
            reader.rollup("B", "5min", START, START + MINUTE)  # type: ignore[arg-type]  # what a user may ask
    columns = "n, good, uncertain, bad, percent_good, avg, min, max, stddev, total"
    query = f"SELECT {columns} FROM rollup('B', '1min', '2026-06-01Z', '2026-06-01 00:01Z')"
    ((*counts, average, least, most, deviation, total),) = site.table(query)
    assert counts == [6, 4, 1, 1, pytest.approx(400 / 6)]
    assert (average, least, most, total) == (pytest.approx(12 / 5), 0.0, 5.0, None)
    assert deviation == pytest.approx(2.073644135)


def test_history_of_before_rollups_is_rolled_up(site: Site) -> None:
    """The migration marks what is there, hour by hour."""
    site.write(mixed(1, 100, START, 3 * HOUR))
    script = next(one.script for one in migrations() if one.name == "rollups")
    begin = script.index("SELECT mark_rollups")
    site.table("TRUNCATE rollup_due")
    site.table(script[begin : script.index(";", begin)])
    site.roll()
    assert differences(site.check()) == []
    assert site.table("SELECT count(*) FROM rollup WHERE tier = 4 AND n > 0") == [(9,)]


def test_the_check_sees_a_mark_left_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails on a writer that forgets to mark."""
    site.write(mixed(1, 100, START, HOUR))
    site.roll()
    assert site.check().differences == []
    monkeypatch.setattr(rows, "mark_rollups", lambda *_: None)
    site.write([reading("B", START + 5 * MINUTE, 3.0)])
    site.roll()
    found = {(one.tag, one.tier) for one in site.check().differences}
    assert {("B", "1min"), ("B", "1h"), ("B", "1day")} <= found
    assert {tag for tag, _ in found} == {"B"}


@pytest.mark.parametrize(
    ("change", "tier", "statistic"),
    [
        ("UPDATE rollup SET avg = avg * 1.000001 WHERE tier = 4", "1h", "avg"),
        ("UPDATE rollup SET n = n + 1 WHERE tier = 5", "1day", "n"),
        ("UPDATE rollup SET p95 = p95 * 1.021 WHERE tier = 5", "1day", "p95"),
        ("UPDATE rollup SET m2 = m2 * 1.0001 WHERE tier = 4", "1h", "stddev"),
        ("UPDATE rollup SET good_us = good_us + 1 WHERE tier = 2", "10s", "good_us"),
        ("UPDATE rollup SET max_t = max_t + interval '1 microsecond' WHERE tier = 3 AND valued > 0", "1min", "max_t"),
        ("UPDATE rollup SET total = total + 1 WHERE tier = 4 AND total > 0", "1h", "total"),
        ("DELETE FROM rollup WHERE tier = 1", "1s", "row"),
    ],
)
def test_the_check_sees_a_row_that_was_altered(site: Site, change: str, tier: str, statistic: str) -> None:
    site.write(mixed(1, 30, START, 10 * MINUTE, "A COUNTER"))
    site.roll()
    site.table(change)
    assert (tier, statistic) in {(one.tier, one.statistic) for one in site.check().differences}
