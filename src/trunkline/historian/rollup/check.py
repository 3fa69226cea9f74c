"""The check: every bucket recomputed by SQL over the readings, and compared with what the roller stored.

It shares nothing with the roller but the tables: statistics are PostgreSQL's own aggregates and window functions over `unpacked`.
Buckets that are marked as due, and those that what is marked may still reach, are left out: they are known to be behind.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from zoneinfo import ZoneInfo

from trunkline.config.rollups import RollupsConfig, Said
from trunkline.historian.db import Connection, connect, translated
from trunkline.historian.pgbinary import Time, register
from trunkline.historian.rollup.sketch import ERROR
from trunkline.historian.rollup.tiers import Tier, day_after, starts
from trunkline.model import times
from trunkline.model.errors import Misconfigured

#: Looked at in one query.
_SPAN: Final = {
    Tier.SECOND: 5 * times.MINUTE,
    Tier.TEN_SECONDS: times.HOUR,
    Tier.MINUTE: 6 * times.HOUR,
    Tier.HOUR: times.DAY,
    Tier.DAY: times.DAY,
}
_EXACT: Final = (
    "n", "uncertain", "bad", "valued", "good_us", "uncertain_us", "bad_us", "valued_us",
    "min", "min_t", "max", "max_t", "first", "first_t", "last", "last_t",
)  # fmt: skip
_CLOSE: Final = ("avg", "tw_avg", "stddev", "total")
_PERCENTILES: Final = ("p50", "p95", "p99")
#: Sums of double precision in another order.
_ROUNDING: Final = 1e-9

_TAGS: Final = "SELECT id, tag FROM series WHERE tenant = 'default' AND kind <> 3 AND (%(tag)s = '' OR tag = %(tag)s) ORDER BY tag"
_MARKS: Final = "SELECT tier, start, stop FROM rollup_due WHERE %s = ANY(series)"
_ACTIVE: Final = """
    SELECT date_bin('1 hour', t0, '1970-01-01T00:00:00Z') FROM segment WHERE series_id = %(series)s
    UNION SELECT date_bin('1 hour', start, '1970-01-01T00:00:00Z') FROM rollup WHERE series_id = %(series)s ORDER BY 1
"""
_RAW_DROPPED: Final = "SELECT raw_dropped_before FROM rollup_state"
_DROPPED: Final = "SELECT tier, dropped_before FROM rollup_tier"
_STORED: Final = """
    SELECT start, n, uncertain, bad, valued, good_us, uncertain_us, bad_us, valued_us,
           nullif(min, 'NaN') AS min, nullif(min_t, '-infinity') AS min_t, nullif(max, 'NaN') AS max, nullif(max_t, '-infinity') AS max_t,
           nullif(first, 'NaN') AS first, nullif(first_t, '-infinity') AS first_t, nullif(last, 'NaN') AS last,
           nullif(last_t, '-infinity') AS last_t, nullif(avg, 'NaN') AS avg, nullif(tw_avg, 'NaN') AS tw_avg,
           CASE WHEN valued > 1 THEN sqrt(m2 / (valued - 1)) END AS stddev, nullif(total, 'NaN') AS total,
           nullif(p50, 'NaN') AS p50, nullif(p95, 'NaN') AS p95, nullif(p99, 'NaN') AS p99
    FROM rollup WHERE tier = %(tier)s AND series_id = %(series)s AND start >= %(from)s AND start < %(to)s
"""
_BASE: Final = """
    SELECT number FROM unpacked
    WHERE series_id = %(series)s AND t0 < %(from)s AND t < %(from)s AND q < 32768 AND abs(number) < 'Infinity'
    ORDER BY t DESC, q DESC, number DESC LIMIT 1
"""
_COMPUTED: Final = """
    WITH r AS MATERIALIZED (
        SELECT t, q, number AS v, q < 32768 AND coalesce(abs(number) < 'Infinity', false) AS ok FROM unpacked
        WHERE series_id = %(series)s AND t0 >= date_bin('1 hour', %(from)s::timestamptz - %(hold)s, '1970-01-01T00:00:00Z')
          AND t0 < %(to)s AND t1 >= %(from)s::timestamptz - %(hold)s AND t >= %(from)s::timestamptz - %(hold)s AND t < %(to)s
    ), o AS (
        SELECT *, row_number() OVER later AS k, lead(t) OVER later AS next FROM r WINDOW later AS (ORDER BY t, q, v)
    ), counts AS (
        SELECT date_bin(%(width)s, t, %(from)s) AS start, count(*) AS n, count(*) FILTER (WHERE q >> 14 = 1) AS uncertain,
               count(*) FILTER (WHERE q >> 14 > 1) AS bad
        FROM o WHERE t >= %(from)s GROUP BY 1
    ), spells AS (
        SELECT b AS start, q, v, ok, extract(epoch FROM least(next, t + %(hold)s, b + %(width)s) - greatest(t, b)) * 1000000 AS us
        FROM o CROSS JOIN LATERAL generate_series(
            date_bin(%(width)s, greatest(t, %(from)s), %(from)s), least(next, t + %(hold)s, %(to)s) - interval '1 microsecond',
            %(width)s) AS b
    ), held AS (
        SELECT start, coalesce(sum(us) FILTER (WHERE q >> 14 = 0), 0) AS good_us,
               coalesce(sum(us) FILTER (WHERE q >> 14 = 1), 0) AS uncertain_us,
               coalesce(sum(us) FILTER (WHERE q >> 14 > 1), 0) AS bad_us, coalesce(sum(us) FILTER (WHERE ok), 0) AS valued_us,
               sum(us::float8 * v) FILTER (WHERE ok) / nullif(sum(us) FILTER (WHERE ok), 0)::float8 AS tw_avg
        FROM spells GROUP BY 1 HAVING sum(us) > 0
    ), usable AS (
        SELECT *, date_bin(%(width)s, t, %(from)s) AS start, v - lag(v, 1, %(base)s::float8) OVER (ORDER BY k) AS step
        FROM o WHERE ok AND t >= %(from)s
    ), figures AS (
        SELECT start, count(*) AS valued, min(v) AS min, max(v) AS max, avg(v) AS avg, stddev_samp(v) AS stddev,
               (array_agg(t ORDER BY v, k))[1] AS min_t, (array_agg(t ORDER BY v DESC, k))[1] AS max_t,
               (array_agg(v ORDER BY k))[1] AS first, (array_agg(t ORDER BY k))[1] AS first_t,
               (array_agg(v ORDER BY k DESC))[1] AS last, (array_agg(t ORDER BY k DESC))[1] AS last_t,
               percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY v) AS exact,
               (array_agg(v ORDER BY v)) AS ranked,
               sum(CASE WHEN step >= 0 THEN step WHEN step < 0 AND %(rollover)s::float8 = 0 THEN v
                        WHEN step < 0 THEN step + %(rollover)s::float8 ELSE 0 END) AS total
        FROM usable GROUP BY 1
    )
    SELECT coalesce(c.start, h.start) AS start, coalesce(n, 0) AS n, coalesce(uncertain, 0) AS uncertain, coalesce(bad, 0) AS bad,
           coalesce(valued, 0) AS valued, coalesce(good_us, 0)::int8 AS good_us, coalesce(uncertain_us, 0)::int8 AS uncertain_us,
           coalesce(bad_us, 0)::int8 AS bad_us, coalesce(valued_us, 0)::int8 AS valued_us,
           min, min_t, max, max_t, first, first_t, last, last_t,
           avg, tw_avg, stddev, CASE WHEN %(rollover)s::float8 IS NOT NULL THEN coalesce(total, 0) END AS total,
           exact[1] AS p50, exact[2] AS p95, exact[3] AS p99,
           ranked[1 + floor(0.5::float8 * (valued - 1))::int] AS rank50, ranked[1 + floor(0.95::float8 * (valued - 1))::int] AS rank95,
           ranked[1 + floor(0.99::float8 * (valued - 1))::int] AS rank99
    FROM counts c FULL JOIN held h ON h.start = c.start LEFT JOIN figures f ON f.start = c.start
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a bucket that is not what the readings say; `stored` or `computed` is None where there is nothing."""

    tag: str
    tier: str
    start: int
    statistic: str
    stored: float | None
    computed: float | None


@dataclass(slots=True)
class Report:
    """What a check found.

    Attributes:
        tags: looked at.
        buckets: compared.
        behind: left out because they are due.
        differences: figures that differ.
    """

    tags: int = 0
    buckets: int = 0
    behind: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Place:
    """One tag, and what is known of it."""

    id: int
    tag: str
    said: Said
    marks: list[tuple[int, int, int]]

    @property
    def hold(self) -> int:
        return round(self.said.hold_seconds * times.SECOND)

    @property
    def rollover(self) -> float | None:
        """What a counter counts to, 0 where it is reset; None for other tags."""
        return None if self.said.counter is None else self.said.counter.rollover or 0.0

    def is_behind(self, tier: Tier, begin: int, end: int) -> bool:
        """Return whether what is marked, in this tier or in one that it is made of, may still change a bucket.

        A counter carries its value over any silence.
        """
        reach = self.hold + 2 * times.MINUTE
        marks = [(start, stop) for made, start, stop in self.marks if made <= max(tier, Tier.MINUTE)]
        return any(begin < stop + reach or self.said.counter is not None for start, stop in marks if end > start)


def check(
    conninfo: str, config: RollupsConfig, zone: ZoneInfo, *, tag: str = "", from_time: int | None = None, to_time: int | None = None
) -> Report:
    """Recompute every bucket that is over and starts in from_time <= start < to_time (µs UTC; None for all).

    Raises:
        Misconfigured: there is no such tag.
        RetryLater: PostgreSQL is unable now.
    """
    report = Report()
    with translated(), connect(conninfo, name="trunkline rollups check") as connection:
        register(connection)
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute(_TAGS, {"tag": tag}).fetchall()
        if tag and not found:
            raise Misconfigured(f"there is no tag {tag!r} with numbers in the historian")
        for series, name in found:
            marks = connection.cursor(binary=True).execute(_MARKS, (series,)).fetchall()
            place = _Place(series, name, config.of(name), marks)
            _check_tag(connection, place, zone, (from_time, min(to_time or times.now(), times.now())), report)
            report.tags += 1
    return report


def _check_tag(connection: Connection, place: _Place, zone: ZoneInfo, asked: tuple[int | None, int], report: Report) -> None:
    cursor = connection.cursor(binary=True)
    hours = [row[0] for row in cursor.execute(_ACTIVE, {"series": place.id}).fetchall()]
    if not hours:
        return
    low = max(hours[0], asked[0] or hours[0])
    active = {hour + times.HOUR * step for hour in hours for step in range(2 + place.hold // times.HOUR)}
    (raw_dropped,) = cursor.execute(_RAW_DROPPED).fetchone() or (0,)
    dropped = {Tier(tier): before for tier, before in cursor.execute(_DROPPED).fetchall()}
    for tier in Tier:
        if tier.title in ("1s", "10s") and tier.title not in place.said.tiers:
            continue
        # what retention took cannot be recomputed, nor what was held from there
        since = max(low, raw_dropped + place.hold + tier.width, dropped[tier] + tier.width)
        base: float | None = None
        for begin, end in _windows(tier, zone, since, asked[1]):
            if active.isdisjoint(range(begin // times.HOUR * times.HOUR, end, times.HOUR)):
                continue
            if place.said.counter is not None:
                row = cursor.execute(_BASE, {"series": place.id, "from": Time(begin)}).fetchone()
                base = None if row is None else row[0]
            _check_window(connection, place, tier, (begin, end), base, report)


def _windows(tier: Tier, zone: ZoneInfo, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield spans of whole buckets that start at or after `low` and are over at `high`."""
    begin = int(starts(tier, zone, low, low + 1)[0])
    while begin < high:
        end = day_after(zone, begin) if tier is Tier.DAY else min(begin + _SPAN[tier], high // tier.width * tier.width)
        if end > high or end <= begin:
            return
        if begin >= low or tier is not Tier.DAY:
            yield begin, end
        begin = end


def _check_window(connection: Connection, place: _Place, tier: Tier, span: tuple[int, int], base: float | None, report: Report) -> None:
    begin, end = span
    width = end - begin if tier is Tier.DAY else tier.width
    asked = {
        "series": place.id, "tier": int(tier), "from": Time(begin), "to": Time(end), "base": base, "rollover": place.rollover,
        "width": _interval(width), "hold": _interval(place.hold),
    }  # fmt: skip
    stored = _by_start(connection, _STORED, asked)
    computed = _by_start(connection, _COMPUTED, asked)
    for start in sorted(stored.keys() | computed.keys()):
        if place.is_behind(tier, start, start + width):
            report.behind += 1
            continue
        report.buckets += 1
        for statistic, mine, theirs in _differences(tier, stored.get(start), computed.get(start)):
            report.differences.append(Difference(place.tag, tier.title, start, statistic, mine, theirs))


def _interval(us: int) -> Any:  # noqa: ANN401 - psycopg sends it as an interval
    return times.to_datetime(us) - times.EPOCH


def _by_start(connection: Connection, query: str, asked: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    cursor = connection.cursor(binary=True).execute(query, asked)
    names = [column.name for column in cursor.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def _differences(
    tier: Tier, stored: dict[str, Any] | None, computed: dict[str, Any] | None
) -> Iterator[tuple[str, float | None, float | None]]:
    """Yield what differs in one bucket."""
    if stored is None:
        yield "row", None, 1.0
        return
    if computed is None:
        # what was corrected away leaves an empty row behind, for its revision
        if any(stored[name] for name in ("n", "good_us", "uncertain_us", "bad_us")):
            yield "row", 1.0, None
        return
    for name in _EXACT:
        if stored[name] != computed[name]:
            yield name, stored[name], computed[name]
    size = max(abs(computed["min"] or 0.0), abs(computed["max"] or 0.0), abs(computed["tw_avg"] or 0.0), abs(computed["total"] or 0.0))
    for name in _CLOSE:
        if not _close(stored[name], computed[name], _ROUNDING * size):
            yield name, stored[name], computed[name]
    for name in _PERCENTILES:
        wanted = computed[f"rank{name[1:]}" if tier is Tier.DAY else name]
        error = ERROR * abs(wanted or 0.0) if tier is Tier.DAY else 0.0
        if not _close(stored[name], wanted, error + _ROUNDING * size):
            yield name, stored[name], wanted


def _close(one: float | None, other: float | None, error: float) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=_ROUNDING, abs_tol=error)
