"""SQL of the writer, by name. Every statement sees the schema `historian` through the connection's search path."""

from typing import Final

from trunkline.historian.segments import COPY_COLUMNS

#: A position in another log, or in a topic that was made anew, means nothing here: reading begins at the start, and coverage drops repeats.
TAKE_OVER: Final = """
    INSERT INTO position AS p (topic, partition, log) SELECT * FROM unnest(%s::text[], %s::int[], %s::text[])
    ON CONFLICT (topic, partition) DO UPDATE SET
        epoch = p.epoch + 1,
        next_offset = CASE WHEN p.log IS NULL OR excluded.log IS NULL OR p.log = excluded.log THEN p.next_offset ELSE 0 END,
        log = coalesce(excluded.log, p.log)
    RETURNING topic, partition, next_offset, epoch
"""
READ_POSITION: Final = "SELECT next_offset, epoch FROM position WHERE topic = %s AND partition = %s"
#: First statement of every flush: its row locks keep a taker-over waiting until this flush is decided. Both lock in order: no dead-lock.
ADVANCE: Final = """
    WITH n AS (
        SELECT * FROM unnest(%s::text[], %s::int[], %s::int8[], %s::int8[]) AS n (topic, partition, next_offset, epoch)
    ), mine AS MATERIALIZED (
        SELECT topic, partition, n.next_offset FROM position p JOIN n USING (topic, partition)
        WHERE p.epoch = n.epoch ORDER BY topic, partition FOR UPDATE OF p
    )
    UPDATE position p SET next_offset = mine.next_offset FROM mine WHERE p.topic = mine.topic AND p.partition = mine.partition
"""

READ_COVERAGE: Final = """
    SELECT o.origin, c.topic, c.partition, lower(r), upper(r)
    FROM unnest(%s::text[], %s::int[]) AS n (topic, partition) JOIN coverage c USING (topic, partition)
    JOIN origin o ON o.id = c.origin_id, unnest(c.ranges) AS r
    ORDER BY 1, 2, 3, 4
"""
WRITE_COVERAGE: Final = """
    INSERT INTO coverage (origin_id, topic, partition, ranges) VALUES (%s, %s, %s, %s::int8multirange)
    ON CONFLICT (origin_id, topic, partition) DO UPDATE SET ranges = excluded.ranges
"""

GIVE_UP: Final = """
    INSERT INTO coverage (origin_id, topic, partition, given_up) VALUES (%s, %s, %s, int8multirange(int8range(%s, %s)))
    ON CONFLICT (origin_id, topic, partition) DO UPDATE SET given_up = coverage.given_up + excluded.given_up
"""

ADD_ORIGIN: Final = "INSERT INTO origin (origin) VALUES (%s) ON CONFLICT (origin) DO NOTHING"
READ_ORIGIN: Final = "SELECT id FROM origin WHERE origin = %s"
NAME_ORIGIN: Final = """
    INSERT INTO origin (origin, gateway) VALUES (%s, %s)
    ON CONFLICT (origin) DO UPDATE SET gateway = excluded.gateway WHERE origin.gateway <> excluded.gateway
"""
ADD_FEED: Final = "INSERT INTO feed (origin_id, source) VALUES (%s, %s) ON CONFLICT (origin_id, source) DO NOTHING"
READ_FEED: Final = "SELECT id FROM feed WHERE origin_id = %s AND source = %s"

ADD_SERIES: Final = """
    INSERT INTO series (tag, kind, unit, description, gateway, source, range_min, range_max)
    VALUES (%(tag)s, %(kind)s, %(unit)s, %(description)s, %(gateway)s, %(source)s, %(min)s, %(max)s)
    ON CONFLICT (tenant, tag) DO NOTHING
"""
DESCRIBE_SERIES: Final = """
    UPDATE series SET unit = %(unit)s, description = %(description)s, gateway = %(gateway)s, source = %(source)s,
                      range_min = %(min)s, range_max = %(max)s
    WHERE tenant = 'default' AND tag = %(tag)s
      AND (unit, description, gateway, source, range_min, range_max)
          IS DISTINCT FROM (%(unit)s, %(description)s, %(gateway)s, %(source)s, %(min)s::float8, %(max)s::float8)
"""
READ_SERIES: Final = "SELECT tag, id, kind FROM series WHERE tenant = 'default' AND tag = ANY(%s)"

ENSURE_PARTITION: Final = "SELECT ensure_partition(%s)"
COPY_SEGMENTS: Final = f"COPY segment ({COPY_COLUMNS}) FROM STDIN (FORMAT BINARY)"
COPY_ROWS: Final = "COPY reading_row (series_id, t, q, v) FROM STDIN (FORMAT BINARY)"
COPY_TEXTS: Final = "COPY text_reading (series_id, feed_id, hour, t, q, s, event_id) FROM STDIN (FORMAT BINARY)"

WRITE_LATEST: Final = """
    INSERT INTO latest (series_id, t, gateway_t, q, v, i, s)
    SELECT * FROM unnest(%s::int[], %s::timestamptz[], %s::timestamptz[], %s::smallint[], %s::float8[], %s::int8[], %s::text[])
    ON CONFLICT (series_id) DO UPDATE
    SET t = excluded.t, gateway_t = excluded.gateway_t, q = excluded.q, v = excluded.v, i = excluded.i, s = excluded.s
    WHERE latest.t <= excluded.t
"""

#: One statement for what was done here and what gateways tell, so that all writers lock rows in one order. Gateways tell totals, so that
#: telling twice changes nothing; a late report never takes a newer one back.
WRITE_LEDGER: Final = """
    INSERT INTO ledger (feed_id, category, hour, read, forwarded, dropped, stored, rejected, deduplicated, repeats)
    SELECT * FROM unnest(%s::int[], %s::smallint[], %s::int[], %s::int8[], %s::int8[], %s::int8[],
                         %s::int8[], %s::int8[], %s::int8[], %s::int8[])
    ON CONFLICT (feed_id, category, hour) DO UPDATE
    SET read = GREATEST(ledger.read, excluded.read), forwarded = GREATEST(ledger.forwarded, excluded.forwarded),
        dropped = GREATEST(ledger.dropped, excluded.dropped),
        stored = ledger.stored + excluded.stored, rejected = ledger.rejected + excluded.rejected,
        deduplicated = ledger.deduplicated + excluded.deduplicated, repeats = ledger.repeats + excluded.repeats
"""
WRITE_STATUS: Final = """
    INSERT INTO gateway_status (gateway, at, status) VALUES (%s, %s, %s)
    ON CONFLICT (gateway) DO UPDATE SET at = excluded.at, status = excluded.status WHERE gateway_status.at <= excluded.at
"""

MARK_DIRTY: Final = """
    INSERT INTO dirty_hour (hour) SELECT unnest(%s::int[])
    ON CONFLICT (hour) DO UPDATE SET writes = dirty_hour.writes + 1, last_write = clock_timestamp()
"""

#: What rollups are made anew (`trunkline.historian.rollup`): 3 is the tier of minutes.
MARK_MINUTES: Final = """
    INSERT INTO rollup_due (tier, start, stop, series)
    SELECT 3, m, m + interval '1 minute', array_agg(s) FROM unnest(%s::timestamptz[], %s::int[]) AS u (m, s) GROUP BY m ORDER BY m
"""

WRITE_EVENT: Final = """
    INSERT INTO event (id, category, feed_id, hour, t, gateway_t, type, asset, tag, text, before, after, actor, quality, attributes,
                       correlation_id, trace_id, severity, active, value, threshold, unit)
    VALUES (%(id)s, %(category)s, %(feed_id)s, %(hour)s, %(t)s, %(gateway_t)s, %(type)s, %(asset)s, %(tag)s, %(text)s, %(before)s,
            %(after)s, %(actor)s, %(quality)s, %(attributes)s, %(correlation_id)s, %(trace_id)s, %(severity)s, %(active)s, %(value)s,
            %(threshold)s, %(unit)s)
    ON CONFLICT (id) DO NOTHING
    RETURNING true
"""
EVENT_COLUMNS: Final = """
    e.id, e.category, e.t, e.gateway_t, e.type, e.asset, e.tag, e.text, e.before::text, e.after::text, e.actor, e.quality,
    e.attributes::text, e.correlation_id, e.trace_id, e.severity, e.active, e.value::text, e.threshold, e.unit, o.origin, f.source
"""
EVENT_TABLES: Final = "event e JOIN feed f ON f.id = e.feed_id JOIN origin o ON o.id = f.origin_id"
READ_EVENT: Final = f"SELECT {EVENT_COLUMNS} FROM {EVENT_TABLES} WHERE e.id = %s"  # noqa: S608 - made of constants
