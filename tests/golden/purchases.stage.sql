-- @statement: stage the interval's rows
-- @create_table_as: "_plane"."{{ plane.stage }}"
CREATE OR REPLACE TABLE "_plane"."{{ plane.stage }}" AS
-- @query
WITH events AS (
  SELECT * FROM raw.events WHERE "ts" >= TIMESTAMP '{{ plane.read_start }}' AND "ts" < TIMESTAMP '{{ plane.end }}'
),
plane_rows AS (
SELECT * FROM events -- all of them
)
SELECT
  CAST("k" AS VARCHAR) AS "k",
  CASE WHEN typeof("ts") = 'TIMESTAMP_NS' AND isfinite("ts") THEN make_timestamp(epoch_ns("ts") // 1000 - CAST(epoch_ns("ts") % 1000 < 0 AS BIGINT)) ELSE CAST("ts" AS TIMESTAMP) END AS event_time,
  "amt" AS "tie__0",
  CAST("word" AS VARCHAR) AS "last_word",
  1 AS "row__input",
  CASE WHEN (amt > 0
) THEN "cost" END AS "cost__input",
  "price" AS "price__input",
  CASE WHEN "k" IS NULL THEN '' END AS "plane__expectation__0",
  CASE WHEN NOT (CAST("price" AS DOUBLE) >= CAST(0.0 AS DOUBLE) AND CAST("price" AS DOUBLE) <= CAST(1000.0 AS DOUBLE)) THEN CAST(CAST("price" AS DOUBLE) AS VARCHAR) END AS "plane__expectation__1",
  CAST("k" AS VARCHAR) AS "plane__expectation__2__0",
  CASE WHEN typeof("ts") = 'TIMESTAMP_NS' AND isfinite("ts") THEN make_timestamp(epoch_ns("ts") // 1000 - CAST(epoch_ns("ts") % 1000 < 0 AS BIGINT)) ELSE CAST("ts" AS TIMESTAMP) END AS "plane__expectation__2__1",
  CASE WHEN NOT (amt * price < 1e9
) THEN '' END AS "plane__expectation__3"

FROM plane_rows
WHERE ("ts" >= TIMESTAMP '{{ plane.read_start }}' AND "ts" < TIMESTAMP '{{ plane.end }}') OR "ts" IS NULL OR isinf("ts")

;
