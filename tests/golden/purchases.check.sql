SELECT
  count(*) AS row_count,
  count(*) FILTER (WHERE "k" IS NULL) AS null_keys,
  count(*) FILTER (WHERE event_time IS NULL) AS null_times,
  count(*) FILTER (WHERE NOT ("k" IS NOT NULL AND event_time IS NOT NULL)) AS dropped_count
FROM "_plane"."{{ plane.stage }}"
