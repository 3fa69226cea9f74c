-- Where history is kept. Only the historian's writer, reader and compactor know these tables; everyone else uses the functions and
-- views of 0002 and 0003.

CREATE TABLE origin (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin text NOT NULL UNIQUE,
    gateway text NOT NULL DEFAULT ''
);
COMMENT ON TABLE origin IS 'Edge journals; a gateway with a new journal is a new origin. The gateway is known once it has reported.';

CREATE TABLE feed (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin_id int NOT NULL REFERENCES origin,
    source text NOT NULL,
    UNIQUE (origin_id, source)
);
COMMENT ON TABLE feed IS 'One source as one edge journal saw it: what the ledger counts by.';

CREATE TABLE series (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text NOT NULL DEFAULT 'default',
    tag text NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 0 AND 3),
    unit text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    gateway text NOT NULL DEFAULT '',
    source text NOT NULL DEFAULT '',
    range_min float8,
    range_max float8,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, tag)
);
CREATE INDEX series_tag_prefix ON series (tag text_pattern_ops);
COMMENT ON COLUMN series.kind IS '0 double, 1 integer, 2 boolean, 3 text; a tag keeps it for life';

-- One row is one run of readings of one series from one feed within one UTC hour.
CREATE TABLE segment (
    series_id int NOT NULL,
    feed_id int NOT NULL,
    hour int NOT NULL,
    n int NOT NULL,
    valued int NOT NULL,
    uncertain int NOT NULL,
    bad int NOT NULL,
    scale int NOT NULL,
    t0 timestamptz NOT NULL,
    t1 timestamptz NOT NULL,
    v_min float8 NOT NULL,
    v_max float8 NOT NULL,
    v_sum float8 NOT NULL,
    t_off int[],
    d int[],
    v float8[],
    i int8[],
    q smallint[]
) PARTITION BY RANGE (t0);
CREATE INDEX segment_series_t0 ON segment (series_id, t0);
COMMENT ON COLUMN segment.hour IS 'ledger hour (hours since 1970); 0 when the times were impossible as seen by the gateway';
COMMENT ON COLUMN segment.valued IS 'readings that v_min, v_max and v_sum speak of: with a finite value and not BAD; they are NaN when there are none';
COMMENT ON COLUMN segment.scale IS 'decimal places of d (value = d / 10^scale); -1 when the values are in v or i';
COMMENT ON COLUMN segment.t_off IS 'µs after t0, 32 bits unsigned; NULL when regular: reading k of 0..n-1 is at t0 + k * (t1 - t0) / (n - 1), rounded down';
COMMENT ON COLUMN segment.d IS 'values as scaled whole numbers; -2147483648 stands for no value';
COMMENT ON COLUMN segment.v IS 'double values that are no short decimals; NaN stands for no value';
COMMENT ON COLUMN segment.i IS 'integer values beyond 32 bits; NULL stands for no value';
COMMENT ON COLUMN segment.q IS 'qualities, 16 bits unsigned; NULL when every reading is GOOD';

CREATE TABLE text_reading (
    series_id int NOT NULL,
    feed_id int NOT NULL,
    hour int NOT NULL,
    t timestamptz NOT NULL,
    q smallint NOT NULL,
    s text
) PARTITION BY RANGE (t);
CREATE INDEX text_reading_series_t ON text_reading (series_id, t);

CREATE TABLE event (
    id uuid PRIMARY KEY,
    category smallint NOT NULL CHECK (category IN (1, 2)),
    feed_id int NOT NULL REFERENCES feed,
    hour int NOT NULL,
    t timestamptz NOT NULL,
    gateway_t timestamptz NOT NULL,
    type text NOT NULL,
    asset text NOT NULL,
    tag text NOT NULL,
    text text NOT NULL,
    before json,
    after json,
    actor text NOT NULL,
    quality int NOT NULL,
    attributes json NOT NULL,
    correlation_id text NOT NULL,
    trace_id text NOT NULL,
    severity smallint,
    active boolean,
    value json,
    threshold float8,
    unit text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_category_t ON event (category, t, id);
CREATE INDEX event_asset_t ON event (asset text_pattern_ops, t);
CREATE INDEX event_severity_t ON event (severity, t) WHERE severity IS NOT NULL;
COMMENT ON COLUMN event.category IS '1 event, 2 alarm';
COMMENT ON COLUMN event.hour IS 'ledger hour; -1 for events of the platform itself, which no gateway read and the ledger does not count';

CREATE TABLE latest (
    series_id int PRIMARY KEY,
    t timestamptz NOT NULL,
    gateway_t timestamptz NOT NULL,
    q smallint NOT NULL,
    v float8,
    i int8,
    s text
) WITH (fillfactor = 50);

CREATE TABLE position (
    topic text NOT NULL,
    partition int NOT NULL,
    next_offset bigint NOT NULL DEFAULT 0,
    epoch bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE position IS 'Log positions of the data stored, changed in the same transaction; the epoch fences writers that were replaced.';

CREATE TABLE coverage (
    origin_id int NOT NULL REFERENCES origin,
    topic text NOT NULL,
    partition int NOT NULL,
    ranges int8multirange NOT NULL DEFAULT '{}',
    given_up int8multirange NOT NULL DEFAULT '{}',
    PRIMARY KEY (origin_id, topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE coverage IS 'Journal positions of an origin that were seen on a partition, and those that its gateway gave up on record; a hole that stays is a loss.';

CREATE TABLE ledger (
    feed_id int NOT NULL REFERENCES feed,
    category smallint NOT NULL,
    hour int NOT NULL,
    read bigint NOT NULL DEFAULT 0,
    forwarded bigint NOT NULL DEFAULT 0,
    dropped bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    deduplicated bigint NOT NULL DEFAULT 0,
    repeats bigint NOT NULL DEFAULT 0,
    removed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (feed_id, category, hour)
) WITH (fillfactor = 50);
COMMENT ON COLUMN ledger.removed IS 'stored records that retention or a correction took away on purpose';

CREATE TABLE gateway_status (
    gateway text PRIMARY KEY,
    at timestamptz NOT NULL,
    status jsonb NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE removal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL CHECK (kind IN ('retention', 'correction')),
    actor text NOT NULL,
    reason text NOT NULL,
    tag text NOT NULL DEFAULT '',
    from_t timestamptz NOT NULL,
    to_t timestamptz NOT NULL,
    records bigint NOT NULL
);
COMMENT ON TABLE removal IS 'Audit of everything that was taken out of history on purpose.';

CREATE TABLE dirty_hour (
    hour int PRIMARY KEY,
    writes bigint NOT NULL DEFAULT 1,
    last_write timestamptz NOT NULL DEFAULT clock_timestamp(),
    compacted_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE dirty_hour IS 'Hours (since 1970) with segments that the compactor has not merged to the end.';

-- Makes the monthly partition of both tables of readings. Runs with its owner's rights, so that writers need no right to change tables.
-- Attaching a finished table, unlike CREATE ... PARTITION OF, does not wait for readers.
CREATE FUNCTION ensure_partition(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = historian, pg_temp AS $$
DECLARE
    parent text;
    child text;
    low date := date_trunc('month', month)::date;
    high date := (date_trunc('month', month) + interval '1 month')::date;
BEGIN
    PERFORM pg_advisory_xact_lock(7211, 2);
    FOREACH parent IN ARRAY ARRAY['segment', 'text_reading'] LOOP
        child := format('%s_%s', parent, to_char(low, 'YYYYMM'));
        IF to_regclass('historian.' || child) IS NULL THEN
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (autovacuum_vacuum_insert_scale_factor = 0.2)', child, parent);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,
                           low::timestamp AT TIME ZONE 'UTC', high::timestamp AT TIME ZONE 'UTC');
        END IF;
    END LOOP;
END $$;

DO $$
BEGIN
    -- lz4 packs as well as pglz and unpacks several times faster; not every server was built with it
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE segment ALTER t_off SET COMPRESSION lz4, ALTER d SET COMPRESSION lz4, ALTER v SET COMPRESSION lz4,
                            ALTER i SET COMPRESSION lz4, ALTER q SET COMPRESSION lz4;
        ALTER TABLE text_reading ALTER s SET COMPRESSION lz4;
    END IF;
END $$;
