-- Taking history away on purpose: always with an audit row, and counted in the ledger. These functions run with their owner's rights, so
-- that services need no right to drop tables.

-- Drops the partitions of one month. Waits at most two seconds for running queries, then gives up with an error (55P03): try again later.
CREATE FUNCTION drop_month(month date, actor text, reason text) RETURNS bigint
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
    RETURN dropped;
END $$;

-- First days of the months that have partitions.
CREATE FUNCTION stored_months() RETURNS SETOF date
LANGUAGE sql STABLE SET search_path = historian, pg_temp AS $$
    SELECT to_date(right(c.relname, 6), 'YYYYMM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'historian.segment'::regclass ORDER BY 1
$$;

CREATE FUNCTION drop_events(before_t timestamptz, actor text, reason text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = historian, pg_temp AS $$
DECLARE
    oldest timestamptz;
    dropped bigint;
BEGIN
    SELECT min(t) INTO oldest FROM event WHERE t < before_t;
    IF oldest IS NULL THEN
        RETURN 0;
    END IF;
    WITH gone AS (DELETE FROM event WHERE t < before_t RETURNING feed_id, category, hour),
         cells AS (SELECT feed_id, category, hour, count(*) AS records FROM gone GROUP BY 1, 2, 3),
         counted AS (UPDATE ledger l SET removed = removed + c.records FROM cells c
                     WHERE l.feed_id = c.feed_id AND l.category = c.category AND l.hour = c.hour)
    SELECT coalesce(sum(records), 0) INTO dropped FROM cells;
    INSERT INTO removal (kind, actor, reason, from_t, to_t, records) VALUES ('retention', actor, reason, oldest, before_t, dropped);
    RETURN dropped;
END $$;
