-- What other tools may use: functions that touch only the segments of the tag and the time asked for.

CREATE FUNCTION public.quality_code(quality int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- P-13, PD-26: 0x803C and 0x4094 say that the value is out of range
RETURN CASE WHEN quality IN (32828, 16532) THEN 'OOR'
            WHEN quality >> 14 = 0 THEN 'GOOD'
            WHEN quality >> 14 = 1 THEN 'UNCERTAIN'
            ELSE 'BAD' END;

-- Segments as readings. Filter on series_id and t0 to touch few: time is computed, so the planner cannot prune by it.
CREATE VIEW unpacked AS
SELECT g.series_id, g.feed_id, g.t0,
       g.t0 + CASE WHEN e.off IS NULL THEN (e.k - 1) * (extract(epoch FROM g.t1 - g.t0) * 1000000)::bigint / greatest(g.n - 1, 1)
                   ELSE e.off::bigint & 4294967295 END * interval '1 microsecond' AS t,
       CASE WHEN e.d = -2147483648 OR e.v = 'NaN' THEN NULL
            WHEN e.d IS NOT NULL THEN e.d / ('{1,10,100,1000,10000,100000,1000000}'::float8[])[g.scale + 1]
            WHEN e.v IS NOT NULL THEN e.v
            ELSE e.i::float8 END AS number,
       CASE WHEN e.d <> -2147483648 AND g.scale = 0 THEN e.d::bigint ELSE e.i END AS whole,
       coalesce(e.q, 0) & 65535 AS q
FROM segment g
CROSS JOIN LATERAL unnest(g.t_off, g.d, g.v, g.i, g.q) WITH ORDINALITY AS e(off, d, v, i, q, k);

-- Readings of one tag with from_time <= time < to_time, in no promised order. value is a number (booleans are 0 and 1), integer_value
-- the same without loss for integer and boolean tags, text_value the words of text tags; all NULL when the reading has no value.
CREATE FUNCTION public.readings(tag text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE ("time" timestamptz, value float8, integer_value bigint, text_value text, quality int, code text)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT u.t, u.number, CASE WHEN s.kind IN (1, 2) THEN u.whole END, NULL::text, u.q, public.quality_code(u.q)
    FROM historian.series s JOIN historian.unpacked u ON u.series_id = s.id
    WHERE s.tenant = 'default' AND s.tag = $1 AND s.kind <> 3
      -- no segment crosses an hour
      AND u.t0 >= date_bin('1 hour', $2, '1970-01-01T00:00:00Z') AND u.t0 < $3
      AND u.t >= $2 AND u.t < $3
    UNION ALL
    SELECT x.t, NULL, NULL, x.s, x.q & 65535, public.quality_code(x.q & 65535)
    FROM historian.series s JOIN historian.text_reading x ON x.series_id = s.id
    WHERE s.tenant = 'default' AND s.tag = $1 AND s.kind = 3 AND x.t >= $2 AND x.t < $3
$$;

-- Every reading. Filter on tag, and on segment_start beside time, or the whole history is read.
CREATE VIEW public.reading AS
SELECT s.tag, u.t AS "time", u.t0 AS segment_start, u.number AS value, CASE WHEN s.kind IN (1, 2) THEN u.whole END AS integer_value,
       NULL::text AS text_value, u.q AS quality, public.quality_code(u.q) AS code, s.unit, f.source, o.gateway, o.origin
FROM unpacked u JOIN series s ON s.id = u.series_id JOIN feed f ON f.id = u.feed_id JOIN origin o ON o.id = f.origin_id
UNION ALL
SELECT s.tag, x.t, x.t, NULL, NULL, x.s, x.q & 65535, public.quality_code(x.q & 65535), s.unit, f.source, o.gateway, o.origin
FROM text_reading x JOIN series s ON s.id = x.series_id JOIN feed f ON f.id = x.feed_id JOIN origin o ON o.id = f.origin_id;
