"""SQL of the reader, by name."""

from typing import Final

from trunkline.historian.statements import EVENT_COLUMNS, EVENT_TABLES

SERIES: Final = "SELECT id, kind, unit FROM series WHERE tenant = 'default' AND tag = %s"

_TAG_FILTER: Final = """
    FROM series s
    WHERE s.tenant = 'default'
      AND (%(under)s = '' OR s.tag = %(under)s OR s.tag LIKE %(below)s)
      AND NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) AS w WHERE s.tag || ' ' || s.description NOT ILIKE w)
"""
COUNT_TAGS: Final = f"SELECT count(*) {_TAG_FILTER}"
TAGS: Final = f"""
    SELECT s.tag, s.kind, s.unit, s.description, s.range_min, s.range_max, s.gateway, s.source {_TAG_FILTER}
      AND s.tag COLLATE "C" > %(cursor)s
    ORDER BY s.tag COLLATE "C" LIMIT %(limit)s
"""

TREE: Final = """
    SELECT split_part(rest, '.', 1) COLLATE "C" AS name, bool_or(strpos(rest, '.') > 0), count(*)
    FROM (SELECT substr(tag, %(skip)s) AS rest FROM series
          WHERE tenant = 'default' AND (%(under)s = '' OR tag LIKE %(below)s)) AS below
    GROUP BY 1 ORDER BY 1 LIMIT %(limit)s
"""

LATEST: Final = """
    SELECT s.tag, s.kind, l.t, l.gateway_t, l.q, l.v, l.i, l.s
    FROM latest l JOIN series s ON s.id = l.series_id
    WHERE s.tenant = 'default'
      AND (s.tag = ANY(%(tags)s) OR %(all)s OR (%(under)s <> '' AND (s.tag = %(under)s OR s.tag LIKE %(below)s)))
    ORDER BY s.tag COLLATE "C" LIMIT %(limit)s
"""

PACKED: Final = "series_id, feed_id, hour, n, scale, t0, t1, t_off, d, v, i, q"
#: No segment crosses an hour: one that reaches into the time asked for starts in the hour of its beginning or later.
_OVERLAPPING: Final = """
    FROM segment
    WHERE series_id = %(series)s AND t0 >= date_bin('1 hour', %(from)s, '1970-01-01T00:00:00Z') AND t0 < %(to)s AND t1 >= %(from)s
    ORDER BY t0
"""
SEGMENTS: Final = f"SELECT {PACKED} {_OVERLAPPING}"
SEGMENTS_WITH_IDS: Final = f"SELECT {PACKED}, ids {_OVERLAPPING}"
TEXTS: Final = "SELECT t, q, s, event_id FROM text_reading WHERE series_id = %s AND t >= %s AND t < %s ORDER BY t LIMIT %s"

_INSIDE: Final = """
    t0 >= %(from)s AND t1 < %(to)s
    AND date_bin(%(width)s, t0, '1970-01-01T00:00:00Z') = date_bin(%(width)s, t1, '1970-01-01T00:00:00Z')
"""
#: Segments wholly inside one bucket: their headers say everything.
BUCKETS: Final = f"""
    SELECT date_bin(%(width)s, t0, '1970-01-01T00:00:00Z') AS bucket, sum(n)::int8, sum(valued)::int8, sum(uncertain + bad)::int8,
           min(v_min) FILTER (WHERE valued > 0), max(v_max) FILTER (WHERE valued > 0), sum(v_sum) FILTER (WHERE valued > 0)
    FROM segment
    WHERE series_id = %(series)s AND t0 >= %(from)s AND t0 < %(to)s AND {_INSIDE}
    GROUP BY 1
"""  # noqa: S608 - made of constants
#: The others have to be unpacked.
SPLIT: Final = f"""
    SELECT {PACKED} FROM segment
    WHERE series_id = %(series)s AND t0 >= date_bin('1 hour', %(from)s, '1970-01-01T00:00:00Z') AND t0 < %(to)s AND t1 >= %(from)s
      AND NOT ({_INSIDE})
"""  # noqa: S608 - made of constants
TEXT_BUCKETS: Final = """
    SELECT date_bin(%(width)s, t, '1970-01-01T00:00:00Z'), count(*), 0::int8, count(*) FILTER (WHERE (q & 49152) <> 0),
           NULL::float8, NULL::float8, NULL::float8
    FROM text_reading WHERE series_id = %(series)s AND t >= %(from)s AND t < %(to)s
    GROUP BY 1
"""

LAST_HOUR: Final = """
    SELECT date_bin('1 hour', t0, '1970-01-01T00:00:00Z') FROM segment WHERE series_id = %s AND t0 <= %s ORDER BY t0 DESC LIMIT 1
"""
NEXT_HOUR: Final = """
    SELECT date_bin('1 hour', t0, '1970-01-01T00:00:00Z') FROM segment
    WHERE series_id = %(series)s AND t0 >= date_bin('1 hour', %(t)s, '1970-01-01T00:00:00Z') AND t1 > %(t)s ORDER BY t0 LIMIT 1
"""
LAST_TEXT: Final = "SELECT t, q, s FROM text_reading WHERE series_id = %s AND t <= %s ORDER BY t DESC LIMIT 1"

EVENTS: Final = f"""
    SELECT {EVENT_COLUMNS}, o.gateway FROM {EVENT_TABLES}
    WHERE e.t >= %(from)s AND e.t < %(to)s AND e.category = ANY(%(categories)s)
      AND (%(under)s = '' OR e.asset = %(under)s OR e.asset LIKE %(below)s OR e.asset || '.' || e.tag = %(under)s)
      AND NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) AS w
                      WHERE concat_ws(' ', e.type, e.asset, e.tag, e.text, e.actor, f.source) NOT ILIKE w)
      AND (e.t, e.id) < (%(before_t)s, %(before_id)s::uuid)
    ORDER BY e.t DESC, e.id DESC LIMIT %(limit)s
"""  # noqa: S608 - made of constants

LEDGER: Final = """
    SELECT o.origin, o.gateway, f.source, l.category, l.hour, l.read, l.forwarded, l.dropped, l.stored, l.rejected, l.deduplicated,
           l.repeats, l.removed
    FROM ledger l JOIN feed f ON f.id = l.feed_id JOIN origin o ON o.id = f.origin_id
    WHERE l.hour = 0 OR l.hour BETWEEN %s AND %s
    ORDER BY l.hour DESC, 2, 1, 3, 4
"""
#: What the tables hold, counted anew.
RECOUNT: Final = """
    SELECT o.origin, o.gateway, f.source, c.category, c.hour, sum(c.records)::int8
    FROM (SELECT feed_id, 0 AS category, hour, sum(n) AS records FROM segment GROUP BY 1, 2, 3
          UNION ALL SELECT feed_id, 0, hour, count(*) FROM text_reading GROUP BY 1, 2, 3
          UNION ALL SELECT feed_id, category, hour, count(*) FROM event WHERE hour >= 0 GROUP BY 1, 2, 3) AS c
    JOIN feed f ON f.id = c.feed_id JOIN origin o ON o.id = f.origin_id
    GROUP BY 1, 2, 3, 4, 5
"""
HOLES: Final = """
    SELECT o.origin, o.gateway, c.topic, c.partition, lower(h), upper(h)
    FROM coverage c JOIN origin o ON o.id = c.origin_id,
         unnest(int8multirange(int8range(0, (SELECT max(upper(r)) FROM unnest(c.ranges) AS r))) - c.ranges - c.given_up) AS h
    WHERE NOT isempty(c.ranges) AND o.origin <> ALL (%s)
    ORDER BY 2, 1, 3, 4, 5
"""
POSITIONS: Final = "SELECT topic, partition, next_offset FROM position"
ORIGINS: Final = "SELECT origin, gateway FROM origin"
GATEWAY_STATUS: Final = "SELECT status::text FROM gateway_status ORDER BY gateway"
REMOVALS: Final = """
    SELECT id, at, kind, actor, reason, tag, from_t, to_t, records FROM removal ORDER BY id DESC LIMIT %s
"""
