"""SQL of rollups, by name. Every statement sees the schema `historian` through the connection's search path."""

from typing import Final

from trunkline.historian.rollup.rows import COLUMNS

#: One roller and one publisher at a time; the lock ends with the connection.
ALONE: Final = "SELECT pg_try_advisory_lock(7211, 6)"
SERIES: Final = "SELECT id, tag FROM series WHERE tenant = 'default' AND kind <> 3 AND id > %s ORDER BY id"
STATE: Final = "SELECT raw_dropped_before, zone FROM rollup_state"
#: In another zone days begin at other times: those whose hours are there are made anew.
FORGET_DAYS: Final = """
    DELETE FROM rollup WHERE tier = 5 AND start >= (SELECT dropped_before FROM rollup_tier WHERE tier = 4)
"""
HOURS: Final = "SELECT start, array_agg(series_id) FROM rollup WHERE tier = 4 GROUP BY start ORDER BY start"
#: Series whose rollups were made otherwise than the site file says now.
CHANGED: Final = """
    SELECT n.id, greatest(n.hold, w.hold_us) FROM unnest(%(series)s::int[], %(ways)s::text[], %(holds)s::int8[]) AS n (id, ways, hold)
    JOIN rollup_ways w ON w.series_id = n.id AND w.ways <> n.ways
"""
MARK_HISTORY: Final = "SELECT mark_rollups(%s::int[], %s::int)"
TELL_WAYS: Final = """
    INSERT INTO rollup_ways (series_id, ways, hold_us) SELECT * FROM unnest(%(series)s::int[], %(ways)s::text[], %(holds)s::int8[])
    ON CONFLICT (series_id) DO UPDATE SET ways = excluded.ways, hold_us = excluded.hold_us WHERE rollup_ways.ways <> excluded.ways
"""
TELL_ZONE: Final = "UPDATE rollup_state SET zone = %s"
TIERS_DROPPED: Final = "SELECT tier, dropped_before FROM rollup_tier"

#: What follows from results: marks without patience, for what they follow from was waited for already.
MARK_AT_ONCE: Final = "INSERT INTO rollup_due (tier, start, stop, series, at) VALUES (%s, %s, %s, %s, '-infinity')"
MARK: Final = "INSERT INTO rollup_due (tier, start, stop, series) VALUES (%s, %s, %s, %s)"
#: Earliest bucket that is over and has waited long enough for more to come.
FIRST_DUE: Final = """
    SELECT start FROM rollup_due
    WHERE tier = %(tier)s AND start <= %(latest)s AND at <= clock_timestamp() - %(patience)s * interval '1 second'
    ORDER BY start LIMIT 1
"""
DUE: Final = """
    SELECT id, start, stop, series FROM rollup_due WHERE tier = %(tier)s AND start >= %(from)s AND start < %(to)s AND start <= %(latest)s
"""
UNMARK: Final = "DELETE FROM rollup_due WHERE id = ANY(%s)"
WAITING: Final = "SELECT count(*), min(start) FROM rollup_due WHERE tier = ANY(%s)"

#: No segment crosses an hour.
READINGS: Final = """
    SELECT series_id, array_agg(t), array_agg(coalesce(number, 'NaN')), array_agg(q) FROM unpacked
    WHERE series_id = ANY(%(series)s) AND t0 >= date_bin('1 hour', %(from)s, '1970-01-01T00:00:00Z')
      AND t0 < %(to)s AND t1 >= %(from)s AND t >= %(from)s AND t < %(to)s
    GROUP BY 1
"""
ROWS: Final = f"""
    SELECT {COLUMNS} FROM rollup
    WHERE tier = %(tier)s AND series_id = ANY(%(series)s) AND start >= %(from)s AND start < %(to)s
    ORDER BY series_id, start
"""  # noqa: S608 - made of constants
SKETCHES: Final = """
    SELECT series_id, start, sketch FROM rollup
    WHERE tier = %(tier)s AND series_id = ANY(%(series)s) AND start >= %(from)s AND start < %(to)s ORDER BY series_id, start
"""
DELETE: Final = """
    DELETE FROM rollup r USING unnest(%(series)s::int[], %(starts)s::timestamptz[]) AS old (series_id, start)
    WHERE r.tier = %(tier)s AND r.series_id = old.series_id AND r.start = old.start AND r.start >= %(from)s AND r.start <= %(to)s
"""
ENSURE: Final = "SELECT ensure_rollup(%s::smallint, %s)"
DROP: Final = "SELECT drop_rollups(%s::smallint, %s)"
#: Counters carry their value over any silence.
LAST_COUNTED: Final = """
    SELECT s.id, r.counted FROM unnest(%(series)s::int[]) AS s (id)
    CROSS JOIN LATERAL (SELECT counted FROM rollup WHERE tier = %(tier)s AND series_id = s.id AND start < %(before)s
                        ORDER BY start DESC LIMIT 1) AS r
"""
NEXT_ROWS: Final = """
    SELECT s.id, r.start FROM unnest(%(series)s::int[]) AS s (id)
    CROSS JOIN LATERAL (SELECT start FROM rollup WHERE tier = %(tier)s AND series_id = s.id AND start >= %(from)s
                        ORDER BY start LIMIT 1) AS r
"""
PUT_OUT: Final = "INSERT INTO rollup_outbox (tier, rows) VALUES (%s, %s)"
