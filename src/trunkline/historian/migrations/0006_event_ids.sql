-- Readings of third parties keep the UUID that they came with (P-9, PD-24): stored, shown and searchable. Readings of our own gateways
-- have none on the wire; theirs cost nothing here.

ALTER TABLE segment ADD COLUMN ids uuid[];
-- random bytes: packing them would cost time and save next to nothing
ALTER TABLE segment ALTER COLUMN ids SET STORAGE EXTERNAL;
COMMENT ON COLUMN segment.ids IS 'event ids, in the order of the readings; zeros for a reading without one; NULL when none of them has one';
-- few segments have ids: a search looks into these only
CREATE INDEX segment_ids_t0 ON segment (t0) WHERE ids IS NOT NULL;

ALTER TABLE text_reading ADD COLUMN event_id uuid;
CREATE INDEX text_reading_event_id ON text_reading (event_id) WHERE event_id IS NOT NULL;

CREATE OR REPLACE VIEW unpacked AS
SELECT g.series_id, g.feed_id, g.t0,
       g.t0 + CASE WHEN e.off IS NULL THEN (e.k - 1) * (extract(epoch FROM g.t1 - g.t0) * 1000000)::bigint / greatest(g.n - 1, 1)
                   ELSE e.off::bigint & 4294967295 END * interval '1 microsecond' AS t,
       CASE WHEN e.d = -2147483648 OR e.v = 'NaN' THEN NULL
            WHEN e.d IS NOT NULL THEN e.d / ('{1,10,100,1000,10000,100000,1000000}'::float8[])[g.scale + 1]
            WHEN e.v IS NOT NULL THEN e.v
            ELSE e.i::float8 END AS number,
       CASE WHEN e.d <> -2147483648 AND g.scale = 0 THEN e.d::bigint ELSE e.i END AS whole,
       coalesce(e.q, 0) & 65535 AS q,
       nullif(e.id, '00000000-0000-0000-0000-000000000000') AS event_id
FROM segment g
CROSS JOIN LATERAL unnest(g.t_off, g.d, g.v, g.i, g.q, g.ids) WITH ORDINALITY AS e(off, d, v, i, q, id, k);

CREATE OR REPLACE VIEW public.reading AS
SELECT s.tag, u.t AS "time", u.t0 AS segment_start, u.number AS value, CASE WHEN s.kind IN (1, 2) THEN u.whole END AS integer_value,
       NULL::text AS text_value, u.q AS quality, public.quality_code(u.q) AS code, s.unit, f.source, o.gateway, o.origin, u.event_id
FROM unpacked u JOIN series s ON s.id = u.series_id JOIN feed f ON f.id = u.feed_id JOIN origin o ON o.id = f.origin_id
UNION ALL
SELECT s.tag, x.t, x.t, NULL, NULL, x.s, x.q & 65535, public.quality_code(x.q & 65535), s.unit, f.source, o.gateway, o.origin, x.event_id
FROM text_reading x JOIN series s ON s.id = x.series_id JOIN feed f ON f.id = x.feed_id JOIN origin o ON o.id = f.origin_id;

-- Node that a record came from: the number at the end of its gateway's name; of a third party's, whose origin is its topic, the one that
-- its envelope names, which is in the name of its source (P-15).
CREATE FUNCTION plant.node_of(origin text, gateway text, source text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN plant.node_id(CASE WHEN starts_with(origin, 'log:') THEN source ELSE gateway END);

-- event_id is the one that a reading came with, else one made of what it is
CREATE OR REPLACE VIEW plant.telemetry AS
SELECT coalesce(r.event_id,
                md5(r.origin || '|' || r.tag || '|' || (extract(epoch FROM r."time") * 1000000)::bigint || '|'
                    || coalesce(r.value::text, r.text_value, '') || '|' || r.quality)::uuid) AS event_id,
       r."time" AS "timestamp", r.segment_start,
       plant.level(a.asset, 1) AS plant, plant.level(a.asset, 2) AS area, plant.level(a.asset, 3) AS unit_name,
       split_part(r.tag, '.', -1)::varchar(128) AS tag, r.tag AS path,
       r.value, r.unit::varchar(32) AS unit_of_measure, r.code::varchar(16) AS quality,
       plant.node_of(r.origin, r.gateway, r.source) AS node_id,
       NULL::timestamptz AS created_at
FROM public.reading r CROSS JOIN LATERAL (SELECT CASE WHEN strpos(r.tag, '.') = 0 THEN '' ELSE regexp_replace(r.tag, '\.[^.]*$', '') END AS asset) a;

CREATE OR REPLACE VIEW plant.events AS
SELECT e.id AS event_id, e.t AS "timestamp", plant.level(e.asset, 1) AS plant, plant.level(e.asset, 2) AS area,
       plant.level(e.asset, 3) AS unit_name, e.tag::varchar(128) AS tag,
       CASE WHEN json_typeof(e.after) = 'number' THEN e.after::text::float8 END AS value, e.unit::varchar(32) AS unit_of_measure,
       public.quality_code(e.quality)::varchar(16) AS quality, plant.node_of(o.origin, o.gateway, f.source) AS node_id, e.created_at,
       e.type AS event_type, e.before, e.after, e.text, e.actor, e.attributes
FROM event e JOIN feed f ON f.id = e.feed_id JOIN origin o ON o.id = f.origin_id
WHERE e.category = 1;

CREATE OR REPLACE VIEW plant.alarms AS
SELECT e.id AS event_id, e.t AS "timestamp", plant.level(e.asset, 1) AS plant, plant.level(e.asset, 2) AS area,
       plant.level(e.asset, 3) AS unit_name, e.tag::varchar(128) AS tag,
       CASE WHEN json_typeof(e.value) = 'number' THEN e.value::text::float8 END AS value, e.unit::varchar(32) AS unit_of_measure,
       public.quality_code(e.quality)::varchar(16) AS quality, plant.node_of(o.origin, o.gateway, f.source) AS node_id, e.created_at,
       (ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'])[e.severity]::varchar(16) AS severity,
       e.type AS event_type, e.active, e.threshold, e.text, e.actor, e.attributes
FROM event e JOIN feed f ON f.id = e.feed_id JOIN origin o ON o.id = f.origin_id
WHERE e.category = 2;

-- Readings that came with this id. A UUIDv7 tells when it was made (RFC 9562, section 5.7): a day around that is looked through first,
-- then, as for any other id, every segment that has ids.
CREATE FUNCTION plant.telemetry_of(event_id uuid) RETURNS SETOF plant.telemetry
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = historian, pg_temp AS $$
DECLARE
    digits text := replace(event_id::text, '-', '');
    born timestamptz := CASE WHEN substr(digits, 13, 1) = '7'
                             THEN to_timestamp(('x' || substr(digits, 1, 12))::bit(48)::bigint / 1000.0) END;
    low timestamptz := coalesce(born - interval '1 day', '-infinity');
    high timestamptz := coalesce(born + interval '1 day', 'infinity');
    start timestamptz;
BEGIN
    LOOP
        FOR start IN SELECT DISTINCT g.t0 FROM segment g WHERE g.ids IS NOT NULL AND g.t0 >= low AND g.t0 < high AND event_id = ANY (g.ids)
                     UNION SELECT x.t FROM text_reading x WHERE x.event_id = telemetry_of.event_id LOOP
            RETURN QUERY SELECT * FROM plant.telemetry t WHERE t.segment_start = start AND t.event_id = telemetry_of.event_id;
        END LOOP;
        EXIT WHEN FOUND OR low = '-infinity';
        low := '-infinity';
        high := 'infinity';
    END LOOP;
END $$;
