-- @statement: count the rows
-- @select:
-- @query
SELECT
  count(*) AS row_count,
  count(CASE WHEN "k" IS NULL THEN 1 END) AS null_keys,
  count(CASE WHEN event_time IS NULL THEN 1 END) AS null_times,
  count(CASE WHEN FALSE THEN 1 END) AS out_of_bounds,
  (SELECT count(*) FROM raw.events WHERE "ts" IS NULL) AS untimed_rows,
  (SELECT count(*) FROM raw.events WHERE isinf("ts")) AS endless_rows,
  CASE WHEN count(1) FILTER (WHERE (event_time < TIMESTAMP '0001-01-01 00:00:00.000000' OR event_time > TIMESTAMP '9999-12-31 23:59:59.999999')) > 0 THEN 'event time ''ts'' (timestamp) in ' || CAST(count(1) FILTER (WHERE (event_time < TIMESTAMP '0001-01-01 00:00:00.000000' OR event_time > TIMESTAMP '9999-12-31 23:59:59.999999')) AS VARCHAR) || ' rows, such as ' || min(coalesce(CAST(event_time AS VARCHAR), 'null') || ' for ' || 'k = ' || coalesce(CAST("k" AS VARCHAR), 'null')) FILTER (WHERE (event_time < TIMESTAMP '0001-01-01 00:00:00.000000' OR event_time > TIMESTAMP '9999-12-31 23:59:59.999999')) || '; ' ELSE '' END AS out_of_range,
  count(CASE WHEN NOT ("k" IS NOT NULL AND event_time IS NOT NULL) THEN 1 END) AS dropped_count,
  (
    SELECT count(*) FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}'
  ) AS replaced_tiles
FROM "_plane"."{{ plane.stage }}";
-- @statement: remove earlier results of this run
-- @delete: "_plane"."metrics"
DELETE FROM "_plane"."metrics"
-- @condition
WHERE feature_view = 'features.purchases' AND fingerprint = 'ed35778c' AND run_id = '{{ plane.run_id }}' AND interval_start = TIMESTAMP '{{ plane.start }}' AND interval_end = TIMESTAMP '{{ plane.end }}';
-- @statement: check the expectations
-- @insert: "_plane"."metrics"
INSERT INTO "_plane"."metrics"
-- @query
WITH source__0 AS (
  SELECT CASE WHEN NOT (CAST("word" AS VARCHAR) IN (CAST('yes' AS VARCHAR), CAST('no' AS VARCHAR))) THEN CAST(CAST("word" AS VARCHAR) AS VARCHAR) END AS "plane__expectation__1", CASE WHEN typeof("ts") = 'TIMESTAMP_NS' AND isfinite("ts") THEN make_timestamp(epoch_ns("ts") // 1000 - CAST(epoch_ns("ts") % 1000 < 0 AS BIGINT)) ELSE CAST("ts" AS TIMESTAMP) END AS event_time FROM (SELECT * FROM raw.events WHERE "ts" >= TIMESTAMP '{{ plane.read_start }}' AND "ts" < TIMESTAMP '{{ plane.end }}') AS rows_read
)
SELECT
  'features.purchases', 'ed35778c', TIMESTAMP '{{ plane.start }}', TIMESTAMP '{{ plane.end }}',
  '{{ plane.run_id }}', source, name, severity,
  CAST(row_count AS BIGINT), CAST(failed_count AS BIGINT),
  failed_count <= may_fail * row_count,
  observed, make_timestamp(epoch_us(now()))
FROM (
SELECT CAST(NULL AS VARCHAR) AS source, 'not_null(k)' AS name, 'error' AS severity, 0.0 AS may_fail, count(*) AS row_count, count("plane__expectation__0") AS failed_count, nullif(min("plane__expectation__0"), '') AS observed
FROM "_plane"."{{ plane.stage }}"
UNION ALL
SELECT CAST(NULL AS VARCHAR) AS source, 'between(price, 0, 1000)' AS name, 'error' AS severity, 0.0 AS may_fail, count(*) AS row_count, count("plane__expectation__1") AS failed_count, nullif(min("plane__expectation__1"), '') AS observed
FROM "_plane"."{{ plane.stage }}"
UNION ALL
SELECT CAST(NULL AS VARCHAR) AS source, 'unique(k, ts)' AS name, 'warning' AS severity, 0.0 AS may_fail, coalesce(sum(n), 0) AS row_count, coalesce(sum(n - 1), 0) AS failed_count, min(CASE WHEN n > 1 THEN example END) AS observed
FROM (SELECT count(*) AS n, CAST("plane__expectation__2__0" AS VARCHAR) || ', ' || CAST("plane__expectation__2__1" AS VARCHAR) AS example FROM "_plane"."{{ plane.stage }}" WHERE "plane__expectation__2__0" IS NOT NULL AND "plane__expectation__2__1" IS NOT NULL GROUP BY "plane__expectation__2__0", "plane__expectation__2__1") AS counted
UNION ALL
SELECT CAST(NULL AS VARCHAR) AS source, 'no purchase is huge' AS name, 'error' AS severity, 0.0 AS may_fail, count(*) AS row_count, count("plane__expectation__3") AS failed_count, nullif(min("plane__expectation__3"), '') AS observed
FROM "_plane"."{{ plane.stage }}"
UNION ALL
SELECT CAST('events' AS VARCHAR) AS source, 'rows(at_least=1)' AS name, 'warning' AS severity, 0.0 AS may_fail, {{ plane.intervals }} AS row_count, count(CASE WHEN NOT (n >= 1) THEN 1 END) + {{ plane.intervals }} - count(*) AS failed_count, CAST(CASE WHEN count(*) < {{ plane.intervals }} THEN 0 ELSE min(n) END AS VARCHAR) || ' to ' || CAST(coalesce(max(n), 0) AS VARCHAR) AS observed
FROM (SELECT count(*) AS n FROM source__0 WHERE event_time >= TIMESTAMP '{{ plane.start }}' AND event_time < TIMESTAMP '{{ plane.end }}' GROUP BY time_bucket(to_microseconds(3600000000), event_time, TIMESTAMP '1970-01-01 00:00:00.000000')) AS counted
UNION ALL
SELECT CAST('events' AS VARCHAR) AS source, 'one_of(word)' AS name, 'error' AS severity, 0.01 AS may_fail, count(*) AS row_count, count("plane__expectation__1") AS failed_count, nullif(min("plane__expectation__1"), '') AS observed
FROM source__0
) AS results;
-- @statement: read the results
-- @select:
-- @query
SELECT source, name, severity, row_count, failed_count, passed, observed
FROM "_plane"."metrics"
WHERE feature_view = 'features.purchases' AND fingerprint = 'ed35778c' AND run_id = '{{ plane.run_id }}' AND interval_start = TIMESTAMP '{{ plane.start }}' AND interval_end = TIMESTAMP '{{ plane.end }}'
ORDER BY severity, source, name;
