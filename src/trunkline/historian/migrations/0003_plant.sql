-- Views with the table and column names of the plant's seed (P-78 to P-83).

CREATE SCHEMA plant;

-- Level of an asset path: plant (1), area (2), unit (3); empty where the tree is shallower.
CREATE FUNCTION plant.level(asset text, place int) RETURNS varchar(64)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN split_part(asset, '.', place);

-- Number at the end of a gateway's name: 42 of 'node-042'; NULL where there is none.
CREATE FUNCTION plant.node_id(gateway text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN substring(gateway FROM '(\d{1,9})$')::int;

CREATE VIEW plant.telemetry AS
SELECT md5(r.origin || '|' || r.tag || '|' || (extract(epoch FROM r."time") * 1000000)::bigint || '|' || coalesce(r.value::text, r.text_value, '')
           || '|' || r.quality)::uuid AS event_id,
       r."time" AS "timestamp", r.segment_start,
       plant.level(a.asset, 1) AS plant, plant.level(a.asset, 2) AS area, plant.level(a.asset, 3) AS unit_name,
       split_part(r.tag, '.', -1)::varchar(128) AS tag, r.tag AS path,
       r.value, r.unit::varchar(32) AS unit_of_measure, r.code::varchar(16) AS quality, plant.node_id(r.gateway) AS node_id,
       NULL::timestamptz AS created_at
FROM public.reading r CROSS JOIN LATERAL (SELECT CASE WHEN strpos(r.tag, '.') = 0 THEN '' ELSE regexp_replace(r.tag, '\.[^.]*$', '') END AS asset) a;

CREATE VIEW plant.events AS
SELECT e.id AS event_id, e.t AS "timestamp", plant.level(e.asset, 1) AS plant, plant.level(e.asset, 2) AS area,
       plant.level(e.asset, 3) AS unit_name, e.tag::varchar(128) AS tag,
       CASE WHEN json_typeof(e.after) = 'number' THEN e.after::text::float8 END AS value, e.unit::varchar(32) AS unit_of_measure,
       public.quality_code(e.quality)::varchar(16) AS quality, plant.node_id(o.gateway) AS node_id, e.created_at,
       e.type AS event_type, e.before, e.after, e.text, e.actor, e.attributes
FROM event e JOIN feed f ON f.id = e.feed_id JOIN origin o ON o.id = f.origin_id
WHERE e.category = 1;

CREATE VIEW plant.alarms AS
SELECT e.id AS event_id, e.t AS "timestamp", plant.level(e.asset, 1) AS plant, plant.level(e.asset, 2) AS area,
       plant.level(e.asset, 3) AS unit_name, e.tag::varchar(128) AS tag,
       CASE WHEN json_typeof(e.value) = 'number' THEN e.value::text::float8 END AS value, e.unit::varchar(32) AS unit_of_measure,
       public.quality_code(e.quality)::varchar(16) AS quality, plant.node_id(o.gateway) AS node_id, e.created_at,
       (ARRAY['LOW', 'MEDIUM', 'HIGH', 'CRITICAL'])[e.severity]::varchar(16) AS severity,
       e.type AS event_type, e.active, e.threshold, e.text, e.actor, e.attributes
FROM event e JOIN feed f ON f.id = e.feed_id JOIN origin o ON o.id = f.origin_id
WHERE e.category = 2;

-- The two quick questions on telemetry: they touch only the segments of the time asked for.
CREATE FUNCTION plant.telemetry_between(from_time timestamptz, to_time timestamptz) RETURNS SETOF plant.telemetry
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT * FROM plant.telemetry t
    WHERE t.segment_start >= date_bin('1 hour', $1, '1970-01-01T00:00:00Z') AND t.segment_start < $2
      AND t."timestamp" >= $1 AND t."timestamp" < $2
$$;
