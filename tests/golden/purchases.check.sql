SELECT
  count(*) AS row_count,
  count(*) FILTER (WHERE "k" IS NULL) AS null_keys,
  count(*) FILTER (WHERE event_time IS NULL) AS null_times,
  count(*) FILTER (WHERE NOT ("k" IS NOT NULL AND event_time IS NOT NULL)) AS dropped_count,
  (
    SELECT count(*) FROM "features"."purchases__tiles__49e6a41a" WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}'
  ) AS replaced_tiles
FROM "_plane"."{{ plane.stage }}"
