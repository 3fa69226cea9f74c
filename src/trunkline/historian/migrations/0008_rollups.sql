-- Rollups: statistics of each series over seconds, minutes, hours and days, made anew from the segments whenever these changed.

CREATE TABLE rollup (
    tier smallint NOT NULL,
    series_id int NOT NULL,
    start timestamptz NOT NULL,
    revision int NOT NULL,
    n int NOT NULL,
    uncertain int NOT NULL,
    bad int NOT NULL,
    valued int NOT NULL,
    good_us int8 NOT NULL,
    uncertain_us int8 NOT NULL,
    bad_us int8 NOT NULL,
    valued_us int8 NOT NULL,
    avg float8 NOT NULL,
    m2 float8 NOT NULL,
    tw_avg float8 NOT NULL,
    min float8 NOT NULL,
    min_t timestamptz NOT NULL,
    max float8 NOT NULL,
    max_t timestamptz NOT NULL,
    first float8 NOT NULL,
    first_t timestamptz NOT NULL,
    last float8 NOT NULL,
    last_t timestamptz NOT NULL,
    p50 float8 NOT NULL,
    p95 float8 NOT NULL,
    p99 float8 NOT NULL,
    total float8 NOT NULL,
    end_t timestamptz NOT NULL,
    end_q smallint NOT NULL,
    end_v float8 NOT NULL,
    counted float8 NOT NULL,
    sketch bytea,
    PRIMARY KEY (tier, series_id, start)
) PARTITION BY LIST (tier);
COMMENT ON TABLE rollup IS 'A bucket has a row once a reading lay in it or was held into it. NaN and -infinity stand for no value.';
COMMENT ON COLUMN rollup.tier IS '1 second, 2 ten seconds, 3 minute, 4 hour, 5 day';
COMMENT ON COLUMN rollup.revision IS '0 first, one more whenever late or corrected readings changed the row';
COMMENT ON COLUMN rollup.valued IS 'readings that the statistics speak of: with a finite value and not BAD';
COMMENT ON COLUMN rollup.valued_us IS 'µs in which such a reading held: the time that tw_avg speaks of';
COMMENT ON COLUMN rollup.m2 IS 'sum of squared distances from avg';
COMMENT ON COLUMN rollup.total IS 'increase of a counter over the bucket; NaN for other series';
COMMENT ON COLUMN rollup.end_t IS 'last reading of any quality up to the end of the bucket: what the next bucket begins with';
COMMENT ON COLUMN rollup.counted IS 'last usable value of a counter up to the end of the bucket';
COMMENT ON COLUMN rollup.sketch IS 'quantile sketch of hours, which days are merged from';

CREATE TABLE rollup_1s PARTITION OF rollup FOR VALUES IN (1) PARTITION BY RANGE (start);
CREATE TABLE rollup_10s PARTITION OF rollup FOR VALUES IN (2) PARTITION BY RANGE (start);
CREATE TABLE rollup_1min PARTITION OF rollup FOR VALUES IN (3) PARTITION BY RANGE (start);
CREATE TABLE rollup_1h PARTITION OF rollup FOR VALUES IN (4) PARTITION BY RANGE (start);
CREATE TABLE rollup_1day PARTITION OF rollup FOR VALUES IN (5) PARTITION BY RANGE (start);

CREATE TABLE rollup_tier (
    tier smallint PRIMARY KEY,
    name text NOT NULL UNIQUE,
    part interval NOT NULL,
    dropped_before timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO rollup_tier (tier, name, part) VALUES
    (1, '1s', '1 day'), (2, '10s', '1 day'), (3, '1min', '1 month'), (4, '1h', '1 month'), (5, '1day', '1 year');
COMMENT ON COLUMN rollup_tier.part IS 'span of one partition';
COMMENT ON COLUMN rollup_tier.dropped_before IS 'buckets before it were dropped by retention and are not made again';

CREATE TABLE rollup_due (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tier smallint NOT NULL,
    start timestamptz NOT NULL,
    stop timestamptz NOT NULL,
    series int[] NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX rollup_due_tier_start ON rollup_due (tier, start);
COMMENT ON TABLE rollup_due IS
    'What is to be made anew: buckets of a tier with start <= bucket < stop. Written with the readings, deleted with the results.';

CREATE TABLE rollup_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tier smallint NOT NULL,
    rows bytea NOT NULL
);
COMMENT ON TABLE rollup_outbox IS 'New and revised buckets that have not been published yet, written with them.';

CREATE TABLE rollup_ways (
    series_id int PRIMARY KEY,
    ways text NOT NULL,
    hold_us int8 NOT NULL
);
COMMENT ON TABLE rollup_ways IS 'How each series was last summarised: where the site file says otherwise now, its rollups are made anew.';

CREATE TABLE rollup_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    raw_dropped_before timestamptz NOT NULL DEFAULT '-infinity',
    zone text NOT NULL DEFAULT 'UTC'
);
INSERT INTO rollup_state DEFAULT VALUES;
COMMENT ON COLUMN rollup_state.raw_dropped_before IS 'readings before this time were dropped by retention: rollups of that time stay as they are';
COMMENT ON COLUMN rollup_state.zone IS 'where days begin, as the roller was last told';

-- As in 0006, with the last time of the segment: a filter on t1 leaves out what was over before.
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
       nullif(e.id, '00000000-0000-0000-0000-000000000000') AS event_id,
       g.t1
FROM segment g
CROSS JOIN LATERAL unnest(g.t_off, g.d, g.v, g.i, g.q, g.ids) WITH ORDINALITY AS e(off, d, v, i, q, id, k);

-- Makes the partition of a tier that holds `start`.
CREATE FUNCTION ensure_rollup(tier smallint, start timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = historian, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    t rollup_tier;
    low timestamptz;
    child text;
BEGIN
    SELECT * INTO STRICT t FROM rollup_tier r WHERE r.tier = ensure_rollup.tier;
    low := date_trunc(split_part(t.part::text, ' ', 2), start);
    child := format('rollup_%s_%s', t.name, to_char(low, 'YYYYMMDD'));
    PERFORM pg_advisory_xact_lock(7211, 2);
    IF to_regclass('historian.' || quote_ident(child)) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE rollup INCLUDING ALL)', child);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', 'rollup_' || t.name, child, low, low + t.part);
    END IF;
END $$;

-- Drops the partitions of a tier that end at or before `before_t`; returns how many. Waits at most two seconds for running queries.
CREATE FUNCTION drop_rollups(tier smallint, before_t timestamptz) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = historian, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    t rollup_tier;
    child regclass;
    high timestamptz;
    dropped int := 0;
BEGIN
    SELECT * INTO STRICT t FROM rollup_tier r WHERE r.tier = drop_rollups.tier;
    FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = ('rollup_' || t.name)::regclass LOOP
        high := to_timestamp(right(child::text, 8), 'YYYYMMDD') + t.part;
        IF high <= before_t THEN
            EXECUTE format('LOCK TABLE ONLY rollup, ONLY %I IN ACCESS EXCLUSIVE MODE', 'rollup_' || t.name);
            EXECUTE format('DROP TABLE %s', child);
            UPDATE rollup_tier r SET dropped_before = greatest(r.dropped_before, high) WHERE r.tier = t.tier;
            dropped := dropped + 1;
        END IF;
    END LOOP;
    RETURN dropped;
END $$;

-- As in 0007; from now on rollups of the month stay as they are.
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
    UPDATE rollup_state SET raw_dropped_before = greatest(raw_dropped_before, high::timestamp AT TIME ZONE 'UTC');
    RETURN dropped;
END $$;

-- Marks the whole history of these series, hour by hour, each with so many minutes behind it, into which its readings were or are held.
CREATE FUNCTION mark_rollups(series int[], held_minutes int) RETURNS void
LANGUAGE sql SET search_path = historian, pg_temp AS $$
    INSERT INTO rollup_due (tier, start, stop, series)
    SELECT 3, hour, hour + interval '1 hour' + held_minutes * interval '1 minute', array_agg(DISTINCT series_id)
    FROM (SELECT date_bin('1 hour', t0, '1970-01-01T00:00:00Z') AS hour, series_id FROM segment WHERE series_id = ANY (series)) AS g
    GROUP BY hour ORDER BY hour
$$;
-- what was there before rollups were
SELECT mark_rollups(array_agg(id), 0) FROM series WHERE kind <> 3;

-- What others may ask: one tag's buckets of one tier ('1s', '10s', '1min', '1h', '1day') with from_time <= start < to_time, in no promised
-- order. Figures are NULL where no reading has a usable value.
CREATE FUNCTION public.rollup(tag text, tier text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (start timestamptz, stop timestamptz, revision int, n int, good int, uncertain int, bad int, percent_good float8,
               good_seconds float8, uncertain_seconds float8, bad_seconds float8, avg float8, tw_avg float8, min float8, min_time timestamptz,
               max float8, max_time timestamptz, first float8, first_time timestamptz, last float8, last_time timestamptz, stddev float8,
               p50 float8, p95 float8, p99 float8, total float8)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.start, e.stop, r.revision, r.n, r.n - r.uncertain - r.bad, r.uncertain, r.bad,
           r.good_us / extract(epoch FROM e.stop - r.start)::float8 / 1e4, r.good_us / 1e6, r.uncertain_us / 1e6, r.bad_us / 1e6,
           nullif(r.avg, 'NaN'), nullif(r.tw_avg, 'NaN'), nullif(r.min, 'NaN'), nullif(r.min_t, '-infinity'),
           nullif(r.max, 'NaN'), nullif(r.max_t, '-infinity'), nullif(r.first, 'NaN'), nullif(r.first_t, '-infinity'),
           nullif(r.last, 'NaN'), nullif(r.last_t, '-infinity'), CASE WHEN r.valued > 1 THEN sqrt(r.m2 / (r.valued - 1)) END,
           nullif(r.p50, 'NaN'), nullif(r.p95, 'NaN'), nullif(r.p99, 'NaN'), nullif(r.total, 'NaN')
    FROM historian.series s JOIN historian.rollup r ON r.series_id = s.id CROSS JOIN historian.rollup_state z
    CROSS JOIN LATERAL (SELECT CASE r.tier WHEN 1 THEN r.start + interval '1 second' WHEN 2 THEN r.start + interval '10 seconds'
                                           WHEN 3 THEN r.start + interval '1 minute' WHEN 4 THEN r.start + interval '1 hour'
                                           ELSE (date_trunc('day', r.start AT TIME ZONE z.zone) + interval '1 day') AT TIME ZONE z.zone
                               END AS stop) AS e
    WHERE s.tenant = 'default' AND s.tag = $1 AND r.start >= $3 AND r.start < $4
      AND r.tier = CASE $2 WHEN '1s' THEN 1::smallint WHEN '10s' THEN 2::smallint WHEN '1min' THEN 3::smallint WHEN '1h' THEN 4::smallint
                           WHEN '1day' THEN 5::smallint END
$$;
