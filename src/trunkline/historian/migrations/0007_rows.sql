-- Readings as narrow rows, for TimescaleDB and for tools that want one row a reading. They are written beside the segments, in the same
-- transaction, where the site file says `historian: {rows: true}`, and leave with them.

CREATE TABLE reading_row (
    series_id int NOT NULL,
    t timestamptz NOT NULL,
    q smallint NOT NULL,
    v float8
);
COMMENT ON TABLE reading_row IS 'Readings of numeric and boolean series, a row each; v is NULL where there is no value. Text is in text_reading.';
-- not unique: a series may have two readings of one time
CREATE INDEX reading_row_series_t ON reading_row (series_id, t);

CREATE VIEW public.narrow AS
SELECT s.tag, r.t AS "time", r.v AS value, r.q & 65535 AS quality, public.quality_code(r.q & 65535) AS code
FROM reading_row r JOIN series s ON s.id = r.series_id;

CREATE OR REPLACE FUNCTION drop_month(month date, actor text, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = historian, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    low date := date_trunc('month', month)::date;
    high date := (date_trunc('month', month) + interval '1 month')::date;
    segments text := 'segment_' || to_char(low, 'YYYYMM');
    texts text := 'text_reading_' || to_char(low, 'YYYYMM');
    dropped bigint;
BEGIN
    IF to_regclass('historian.' || segments) IS NULL THEN
        RETURN 0;
    END IF;
    -- parents before children, as writers lock them: no dead-lock
    LOCK TABLE ONLY segment, ONLY text_reading IN ACCESS EXCLUSIVE MODE;
    CREATE TEMP TABLE gone (feed_id int, hour int, records bigint) ON COMMIT DROP;
    EXECUTE format('INSERT INTO gone SELECT feed_id, hour, sum(n) FROM %I GROUP BY 1, 2 UNION ALL SELECT feed_id, hour, count(*) FROM %I GROUP BY 1, 2',
                   segments, texts);
    UPDATE ledger l SET removed = removed + g.records
    FROM (SELECT feed_id, hour, sum(records) AS records FROM gone GROUP BY 1, 2) AS g
    WHERE l.feed_id = g.feed_id AND l.hour = g.hour AND l.category = 0;
    SELECT coalesce(sum(records), 0) INTO dropped FROM gone;
    DROP TABLE gone;
    INSERT INTO removal (kind, actor, reason, from_t, to_t, records)
    VALUES ('retention', actor, reason, low::timestamp AT TIME ZONE 'UTC', high::timestamp AT TIME ZONE 'UTC', dropped);
    EXECUTE format('DROP TABLE %I, %I', segments, texts);
    DELETE FROM reading_row WHERE t >= low::timestamp AT TIME ZONE 'UTC' AND t < high::timestamp AT TIME ZONE 'UTC';
    RETURN dropped;
END $$;
