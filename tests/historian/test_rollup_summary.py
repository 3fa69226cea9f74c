"""The summariser against statistics as anyone would count them by hand, reading by reading."""

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from trunkline.historian.rollup.merge import merge
from trunkline.historian.rollup.rows import NEVER, Rows, from_copy, to_copy
from trunkline.historian.rollup.sketch import ERROR, merged, sketches
from trunkline.historian.rollup.summary import Held, Points, Ways, held_at_end, present, summarise
from trunkline.historian.rollup.tiers import Tier, day_after, day_of, starts
from trunkline.model import times
from trunkline.model.quality import Quality

WIDTH, BUCKETS, HOLD = 100, 4, 130
EDGES = np.arange(0, WIDTH * BUCKETS + 1, WIDTH)

values = st.one_of(st.just(math.nan), st.just(math.inf), st.integers(-5, 5).map(float), st.floats(-1e6, 1e6))
qualities = st.sampled_from([int(Quality.GOOD), int(Quality.UNCERTAIN), int(Quality.BAD), 0xC000])


@dataclass(frozen=True)
class Given:
    """A reading; readings sort by time, quality, value, with no value last."""

    time: int
    quality: int
    value: float

    @property
    def order(self) -> tuple[int, int, bool, float]:
        return self.time, self.quality, math.isnan(self.value), 0.0 if math.isnan(self.value) else self.value

    @property
    def usable(self) -> bool:
        return math.isfinite(self.value) and self.quality < 0x8000


readings = st.lists(st.builds(Given, st.integers(-200, WIDTH * BUCKETS - 1), qualities, values), max_size=25)


def by_hand(series: list[Given], begin: int, end: int, rollover: float | None) -> dict[str, float | int | None]:
    """Return the statistics of one bucket of one series, from all its readings."""
    ordered = sorted(series, key=lambda one: one.order)
    inside = [one for one in ordered if begin <= one.time < end]
    usable = [one for one in inside if one.usable]
    numbers = sorted(one.value for one in usable)
    found: dict[str, float | int | None] = {
        "n": len(inside),
        "uncertain": sum(one.quality >> 14 == 1 for one in inside),
        "bad": sum(one.quality >> 14 > 1 for one in inside),
        "valued": len(usable),
        "good_us": 0, "uncertain_us": 0, "bad_us": 0, "valued_us": 0,
    }  # fmt: skip
    integral = 0.0
    for place, one in enumerate(ordered):
        until = min(ordered[place + 1].time if place + 1 < len(ordered) else end, one.time + HOLD, end)
        lasting = max(0, until - max(one.time, begin))
        name = ("good_us", "uncertain_us", "bad_us", "bad_us")[one.quality >> 14]
        found[name] = int(found[name] or 0) + lasting
        if one.usable:
            found["valued_us"] = int(found["valued_us"] or 0) + lasting
            integral += one.value * lasting
    found["tw_avg"] = integral / found["valued_us"] if found["valued_us"] else None
    found["avg"] = statistics.fmean(numbers) if numbers else None
    found["stddev"] = statistics.stdev(numbers) if len(numbers) > 1 else None
    found["min"], found["max"] = (numbers[0], numbers[-1]) if numbers else (None, None)
    found["min_t"] = min((one.time for one in usable if one.value == numbers[0]), default=None)
    found["max_t"] = min((one.time for one in usable if one.value == numbers[-1]), default=None)
    found["first"], found["first_t"] = (usable[0].value, usable[0].time) if usable else (None, None)
    found["last"], found["last_t"] = (usable[-1].value, usable[-1].time) if usable else (None, None)
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        found[name] = float(np.percentile(numbers, share * 100)) if numbers else None
    found["total"] = None
    if rollover is not None:
        total = 0.0
        chain = [one for one in ordered if one.usable]
        for before, after in pairwise(chain):
            if begin <= after.time < end:
                step = after.value - before.value
                total += step if step >= 0 else (after.value if rollover == math.inf else step + rollover)
        found["total"] = total
    return found


def as_found(row: Rows) -> dict[str, float | int | None]:
    """Return a row with None where it has no figure."""
    found: dict[str, float | int | None] = {}
    for name in ("n", "uncertain", "bad", "valued", "good_us", "uncertain_us", "bad_us", "valued_us"):
        found[name] = int(row[name])
    for name in ("tw_avg", "avg", "min", "max", "first", "last", "p50", "p95", "p99", "total"):
        found[name] = None if math.isnan(row[name]) else float(row[name])
    for name in ("min_t", "max_t", "first_t", "last_t"):
        found[name] = None if row[name] == NEVER else int(row[name])
    found["stddev"] = math.sqrt(row["m2"] / (row["valued"] - 1)) if row["valued"] > 1 else None
    return found


def assert_alike(found: dict[str, float | int | None], expected: dict[str, float | int | None]) -> None:
    for name, wanted in expected.items():
        if isinstance(wanted, float):
            assert found[name] == pytest.approx(wanted, rel=1e-9, abs=1e-6), name
        else:
            assert found[name] == wanted, name


def points_of(series: list[list[Given]]) -> Points:
    """Return the readings that are in the buckets, shuffled by their value: the order they come in must not matter."""
    flat = [(place, one) for place, mine in enumerate(series) for one in mine if one.time >= 0]
    flat.sort(key=lambda pair: -pair[1].time % 7)
    columns = [(place, one.time, one.quality) for place, one in flat]
    place, time, quality = (np.array(column, np.int64) for column in (zip(*columns, strict=True) if columns else ([], [], [])))
    return Points.of(place, time, quality, np.array([one.value for _, one in flat], np.float64))


def held_of(series: list[list[Given]]) -> Held:
    held = Held.nothing(len(series))
    for place, mine in enumerate(series):
        before = sorted((one for one in mine if one.time < 0), key=lambda one: one.order)
        if before:
            held.time[place], held.quality[place], held.value[place] = before[-1].time, before[-1].quality, before[-1].value
        for one in before:
            held.counted[place] = one.value if one.usable else held.counted[place]
    return held


ROLLOVERS = [None, math.inf, 2e6]


def ways_of(size: int) -> Ways:
    rollovers = [ROLLOVERS[place % 3] for place in range(size)]
    return Ways(np.full(size, HOLD), np.array([math.nan if one is None else one for one in rollovers]))


@given(st.lists(readings, min_size=1, max_size=4))
def test_every_statistic_is_what_anyone_would_count(series: list[list[Given]]) -> None:
    """W-131, W-132, D-18, E-74, T-111: counts, times by quality, averages, extremes with times, percentiles, totals with roll-over."""
    rows, _ = summarise(points_of(series), held_of(series), ways_of(len(series)), EDGES)
    for place, mine in enumerate(series):
        for bucket in range(BUCKETS):
            row = rows[place * BUCKETS + bucket]
            expected = by_hand(mine, bucket * WIDTH, (bucket + 1) * WIDTH, ROLLOVERS[place % 3])
            assert_alike(as_found(row), expected)


@given(st.lists(readings, min_size=1, max_size=3))
def test_bucket_after_bucket_gives_what_all_at_once_gives(series: list[list[Given]]) -> None:
    """What a row says of its end is all that the next bucket needs."""
    points, ways = points_of(series), ways_of(len(series))
    rows, _ = summarise(points, held_of(series), ways, EDGES)
    held = held_of(series)
    for bucket in range(BUCKETS):
        inside = (points.time >= EDGES[bucket]) & (points.time < EDGES[bucket + 1])
        part = Points(points.series[inside], points.time[inside], points.quality[inside], points.value[inside])
        alone, _ = summarise(part, held, ways, EDGES[bucket : bucket + 2])
        for place in range(len(series)):
            assert alone[place].tobytes() == rows[place * BUCKETS + bucket].tobytes()
        held = held_at_end(alone)


@given(st.lists(readings, min_size=1, max_size=3))
def test_merged_buckets_say_what_the_readings_say(series: list[list[Given]]) -> None:
    """D-18: days from hours; percentiles from sketches, within their stated error of the value of that rank."""
    points, ways = points_of(series), ways_of(len(series))
    rows, parts = summarise(points, held_of(series), ways, EDGES, sketched=True)
    assert parts is not None
    here = np.flatnonzero(present(rows))
    if not len(here):
        return
    owners, group = np.unique(here // BUCKETS, return_inverse=True)
    whole = merge(rows[here], [parts[place] for place in here.tolist()], group)
    for place, row in zip(owners.tolist(), whole, strict=True):
        expected = by_hand(series[place], 0, WIDTH * BUCKETS, ROLLOVERS[place % 3])
        numbers = sorted(one.value for one in series[place] if one.usable and one.time >= 0)
        found = as_found(row)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            expected.pop(name)
            if numbers:
                wanted = numbers[math.floor(share * (len(numbers) - 1))]
                assert abs((found[name] or 0.0) - wanted) <= ERROR * abs(wanted) + 1e-12
        assert_alike(found, expected)


@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.floats(-1e300, 1e300)), min_size=1, max_size=50))
def test_sketches_are_those_of_the_library(numbers: list[float]) -> None:
    ours = merged(sketches(np.zeros(len(numbers), np.int64), np.array(numbers), 1))
    theirs = DDSketch(ERROR)
    for number in numbers:
        theirs.add(number)
    assert ours.count == theirs.count == len(numbers)
    for share in (0.0, 0.5, 0.95, 0.99, 1.0):
        assert ours.get_quantile_value(share) == pytest.approx(theirs.get_quantile_value(share), rel=2.1 * ERROR, abs=1e-300)


def test_rows_survive_the_way_through_binary_copy() -> None:
    rows, _ = summarise(points_of([[Given(5, 0, 1.5)], []]), Held.nothing(2), ways_of(2), EDGES)
    content = to_copy(rows, None)
    again = from_copy(content[:19] + b"".join(_without_sketch(content, len(rows))) + content[-2:])
    assert again.tobytes() == rows.tobytes()


def _without_sketch(content: bytes, rows: int) -> list[bytes]:
    size = (len(content) - 21) // rows
    return [content[19 + at * size : 19 + at * size + size - 4] for at in range(rows)]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-06-01T12:00:00Z", 24),
        ("Asia/Kolkata", "2026-06-01T12:00:00Z", 24),
        ("Europe/Oslo", "2026-03-29T12:00:00Z", 23),
        ("Europe/Oslo", "2026-10-25T12:00:00Z", 25),
        ("Australia/Lord_Howe", "2026-04-05T02:00:00Z", 24.5),
        ("America/Havana", "2026-03-08T12:00:00Z", 23),  # the clock leaps over midnight
    ],
)
def test_days_are_those_of_the_zone(zone: str, day: str, hours: float) -> None:
    """Build 3: days in the site's time zone, also where they have 23, 24.5 or 25 hours and where zones are off by half an hour."""
    where = ZoneInfo(zone)
    begin = day_of(where, times.from_iso(day))
    end = day_after(where, begin)
    assert end - begin == hours * times.HOUR
    assert day_of(where, begin) == day_of(where, end - 1) == begin
    assert day_of(where, begin - 1) < begin
    assert day_of(where, end) == end
    assert starts(Tier.DAY, where, begin, end).tolist() == [begin, end]
