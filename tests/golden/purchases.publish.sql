
-- @statement: update the head
-- @update: "_plane"."head__features__purchases__ed35778c"
UPDATE "_plane"."head__features__purchases__ed35778c" SET
  version = greatest(version + 1, epoch_us(now())),
  run_id = '{{ plane.run_id }}';
-- @statement: mark the newest rows that this replaces
-- @update: "features"."purchases__latest__ed35778c" AS r
UPDATE "features"."purchases__latest__ed35778c" AS r SET
  is_deleted = TRUE,
  version = (SELECT version FROM "_plane"."head__features__purchases__ed35778c")
WHERE r.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
  AND r.valid_from <= TIMESTAMP '{{ plane.end }}' + to_microseconds(176400000000) + to_microseconds(1800000000)
  AND EXISTS (
  SELECT 1 FROM (
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}'
    UNION
    SELECT "k" FROM "_plane"."{{ plane.stage }}" WHERE "k" IS NOT NULL AND event_time IS NOT NULL
  ) AS touched WHERE touched."k" = r."k" 
);
-- @statement: keep the history that this replaces
-- @insert: "features"."purchases__history_replaced__ed35778c"
INSERT INTO "features"."purchases__history_replaced__ed35778c"
-- @query
SELECT r."k", r.valid_from, r.expires_at, r."count_1h", r."count_1d", r."cost_sum_1d", r."price_mean_1d_offset_1d", r."last_word",
  r.recorded_from, make_timestamp(head.version)
FROM "features"."purchases__history__ed35778c" AS r CROSS JOIN "_plane"."head__features__purchases__ed35778c" AS head
WHERE r.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
  AND r.valid_from <= TIMESTAMP '{{ plane.end }}' + to_microseconds(176400000000) + to_microseconds(1800000000)
  AND EXISTS (
  SELECT 1 FROM (
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}'
    UNION
    SELECT "k" FROM "_plane"."{{ plane.stage }}" WHERE "k" IS NOT NULL AND event_time IS NOT NULL
  ) AS touched WHERE touched."k" = r."k" 
);
-- @statement: remove the history that this replaces
-- @delete: "features"."purchases__history__ed35778c" AS r
DELETE FROM "features"."purchases__history__ed35778c" AS r
-- @condition
WHERE r.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
  AND r.valid_from <= TIMESTAMP '{{ plane.end }}' + to_microseconds(176400000000) + to_microseconds(1800000000)
  AND EXISTS (
  SELECT 1 FROM (
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}'
    UNION
    SELECT "k" FROM "_plane"."{{ plane.stage }}" WHERE "k" IS NOT NULL AND event_time IS NOT NULL
  ) AS touched WHERE touched."k" = r."k" 
);
-- @statement: remove the interval's tiles
-- @delete: "features"."purchases__tiles__ed35778c"
DELETE FROM "features"."purchases__tiles__ed35778c"
-- @condition
WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' AND tile_start < TIMESTAMP '{{ plane.end }}';
-- @statement: insert the interval's tiles
-- @insert: "features"."purchases__tiles__ed35778c"
INSERT INTO "features"."purchases__tiles__ed35778c"
-- @query
SELECT * FROM (
WITH good AS (
  SELECT *, time_bucket(to_microseconds(1800000000), event_time, TIMESTAMP '1970-01-01 00:00:00.000000') AS tile_start FROM "_plane"."{{ plane.stage }}" WHERE "k" IS NOT NULL AND event_time IS NOT NULL
),
last_rows AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (
      PARTITION BY "k", tile_start
      ORDER BY event_time DESC, "tie__0" DESC NULLS LAST, "last_word" DESC NULLS LAST
    ) AS place FROM good
  ) AS ranked WHERE place = 1
),
states AS (
  SELECT "k", tile_start,
    CAST(count("row__input") AS BIGINT) AS "row__count",
    CAST(sum("cost__input") AS DECIMAL(38,2)) AS "cost__sum",
    CAST(sum("price__input") AS DOUBLE) AS "price__sum",
    CAST(count("price__input") AS BIGINT) AS "price__count"
  FROM good GROUP BY "k", tile_start
)
SELECT s."k", s.tile_start, l."last_word", s."row__count", s."cost__sum", s."price__sum", s."price__count"
FROM states AS s
JOIN last_rows AS l ON s."k" = l."k"  AND s.tile_start = l.tile_start

) AS made ORDER BY tile_start;
-- @statement: record the interval in the ledger
-- @insert: "_plane"."ledger"
INSERT INTO "_plane"."ledger"
-- @query
SELECT
  'features.purchases', 'ed35778c', TIMESTAMP '{{ plane.start }}', TIMESTAMP '{{ plane.end }}',
  head.run_id, head.version, make_timestamp(epoch_us(now())), counted.row_count, counted.dropped_count
FROM "_plane"."head__features__purchases__ed35778c" AS head CROSS JOIN (
  SELECT count(*) AS row_count, count(*) FILTER (WHERE NOT ("k" IS NOT NULL AND event_time IS NOT NULL)) AS dropped_count
  FROM "_plane"."{{ plane.stage }}"
) AS counted;
-- @statement: move the watermark
-- @update: "_plane"."head__features__purchases__ed35778c"
UPDATE "_plane"."head__features__purchases__ed35778c" SET
  earlier_frontier = frontier,
  frontier = (
    SELECT coalesce(
      min(reached) FILTER (WHERE interval_start > reached), max(greatest(interval_end, reached))
    )
    FROM (
      SELECT interval_start, interval_end, coalesce(max(interval_end) OVER (
        ORDER BY interval_start, interval_end ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ), TIMESTAMP '2024-01-01 00:00:00.000000') AS reached
      FROM "_plane"."ledger"
      WHERE feature_view = 'features.purchases' AND fingerprint = 'ed35778c'
    ) AS covered
  );
-- @statement: remove the rollups that this changes
-- @delete: "features"."purchases__rollups__ed35778c"
DELETE FROM "features"."purchases__rollups__ed35778c"
-- @condition
WHERE tile_start >= TIMESTAMP '{{ plane.read_start }}' - to_microseconds(28800000000) AND tile_end > TIMESTAMP '{{ plane.read_start }}'
  AND tile_start < (SELECT CASE WHEN frontier > earlier_frontier THEN frontier ELSE least(time_bucket(to_microseconds(28800000000), (TIMESTAMP '{{ plane.end }}') + to_microseconds(28799999999), TIMESTAMP '1970-01-01 00:00:00.000000'), frontier) END FROM "_plane"."head__features__purchases__ed35778c");
-- @statement: insert the rollups
-- @insert: "features"."purchases__rollups__ed35778c"
INSERT INTO "features"."purchases__rollups__ed35778c"
-- @query
WITH head AS (
  SELECT *, CASE WHEN frontier > earlier_frontier THEN frontier ELSE least(time_bucket(to_microseconds(28800000000), (TIMESTAMP '{{ plane.end }}') + to_microseconds(28799999999), TIMESTAMP '1970-01-01 00:00:00.000000'), frontier) END AS until FROM "_plane"."head__features__purchases__ed35778c"
),
tiles AS (
  SELECT t."k", t.tile_start, t.tile_start + to_microseconds(1800000000) AS tile_end,
    t."row__count", t."cost__sum", t."price__sum", t."price__count"
  FROM "features"."purchases__tiles__ed35778c" AS t
),
rollups_0 AS (
  SELECT t.* FROM tiles AS t CROSS JOIN head
  WHERE t.tile_start >= TIMESTAMP '{{ plane.read_start }}' AND t.tile_start < head.until
),
rollups_1 AS (
  SELECT "k", begins AS tile_start,
    begins + INTERVAL 3600000000 MICROSECONDS AS tile_end,
    CAST(m0 AS BIGINT) AS "row__count",
    CAST(m1 AS DECIMAL(38,2)) AS "cost__sum",
    CAST(m2 AS DOUBLE) AS "price__sum",
    CAST(m3 AS BIGINT) AS "price__count"
  FROM (
    SELECT "k", begins,
      sum("row__count") AS m0,
      sum("cost__sum") AS m1,
      sum("price__sum") AS m2,
      sum("price__count") AS m3
    FROM (
      SELECT *, tile_start AS moment, time_bucket(to_microseconds(3600000000), tile_start, TIMESTAMP '1970-01-01 00:00:00.000000') AS begins FROM (
        SELECT * FROM rollups_0
        UNION ALL
        SELECT t.* FROM tiles AS t
        JOIN (
          SELECT INTERVAL 1800000000 MICROSECONDS AS half FROM head WHERE time_bucket(to_microseconds(3600000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') + to_microseconds(3600000000) <= frontier
        ) AS whole
          ON t.tile_end - t.tile_start = whole.half
        WHERE t.tile_start >= time_bucket(to_microseconds(3600000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') AND t.tile_start < TIMESTAMP '{{ plane.read_start }}'
      ) AS halves
    ) AS parts CROSS JOIN head
    WHERE begins + INTERVAL 3600000000 MICROSECONDS <= head.frontier
    GROUP BY "k", begins
  ) AS several
),
rollups_2 AS (
  SELECT "k", begins AS tile_start,
    begins + INTERVAL 7200000000 MICROSECONDS AS tile_end,
    CAST(m0 AS BIGINT) AS "row__count",
    CAST(m1 AS DECIMAL(38,2)) AS "cost__sum",
    CAST(m2 AS DOUBLE) AS "price__sum",
    CAST(m3 AS BIGINT) AS "price__count"
  FROM (
    SELECT "k", begins,
      sum("row__count") AS m0,
      sum("cost__sum") AS m1,
      sum("price__sum") AS m2,
      sum("price__count") AS m3
    FROM (
      SELECT *, tile_start AS moment, time_bucket(to_microseconds(7200000000), tile_start, TIMESTAMP '1970-01-01 00:00:00.000000') AS begins FROM (
        SELECT * FROM rollups_1
        UNION ALL
        SELECT t.* FROM "features"."purchases__rollups__ed35778c" AS t
        JOIN (
          SELECT INTERVAL 3600000000 MICROSECONDS AS half FROM head WHERE time_bucket(to_microseconds(7200000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') + to_microseconds(7200000000) <= frontier
        ) AS whole
          ON t.tile_end - t.tile_start = whole.half
        WHERE t.tile_start >= time_bucket(to_microseconds(7200000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') AND t.tile_start < TIMESTAMP '{{ plane.read_start }}'
      ) AS halves
    ) AS parts CROSS JOIN head
    WHERE begins + INTERVAL 7200000000 MICROSECONDS <= head.frontier
    GROUP BY "k", begins
  ) AS several
),
rollups_3 AS (
  SELECT "k", begins AS tile_start,
    begins + INTERVAL 14400000000 MICROSECONDS AS tile_end,
    CAST(m0 AS BIGINT) AS "row__count",
    CAST(m1 AS DECIMAL(38,2)) AS "cost__sum",
    CAST(m2 AS DOUBLE) AS "price__sum",
    CAST(m3 AS BIGINT) AS "price__count"
  FROM (
    SELECT "k", begins,
      sum("row__count") AS m0,
      sum("cost__sum") AS m1,
      sum("price__sum") AS m2,
      sum("price__count") AS m3
    FROM (
      SELECT *, tile_start AS moment, time_bucket(to_microseconds(14400000000), tile_start, TIMESTAMP '1970-01-01 00:00:00.000000') AS begins FROM (
        SELECT * FROM rollups_2
        UNION ALL
        SELECT t.* FROM "features"."purchases__rollups__ed35778c" AS t
        JOIN (
          SELECT INTERVAL 7200000000 MICROSECONDS AS half FROM head WHERE time_bucket(to_microseconds(14400000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') + to_microseconds(14400000000) <= frontier
        ) AS whole
          ON t.tile_end - t.tile_start = whole.half
        WHERE t.tile_start >= time_bucket(to_microseconds(14400000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') AND t.tile_start < TIMESTAMP '{{ plane.read_start }}'
      ) AS halves
    ) AS parts CROSS JOIN head
    WHERE begins + INTERVAL 14400000000 MICROSECONDS <= head.frontier
    GROUP BY "k", begins
  ) AS several
),
rollups_4 AS (
  SELECT "k", begins AS tile_start,
    begins + INTERVAL 28800000000 MICROSECONDS AS tile_end,
    CAST(m0 AS BIGINT) AS "row__count",
    CAST(m1 AS DECIMAL(38,2)) AS "cost__sum",
    CAST(m2 AS DOUBLE) AS "price__sum",
    CAST(m3 AS BIGINT) AS "price__count"
  FROM (
    SELECT "k", begins,
      sum("row__count") AS m0,
      sum("cost__sum") AS m1,
      sum("price__sum") AS m2,
      sum("price__count") AS m3
    FROM (
      SELECT *, tile_start AS moment, time_bucket(to_microseconds(28800000000), tile_start, TIMESTAMP '1970-01-01 00:00:00.000000') AS begins FROM (
        SELECT * FROM rollups_3
        UNION ALL
        SELECT t.* FROM "features"."purchases__rollups__ed35778c" AS t
        JOIN (
          SELECT INTERVAL 14400000000 MICROSECONDS AS half FROM head WHERE time_bucket(to_microseconds(28800000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') + to_microseconds(28800000000) <= frontier
        ) AS whole
          ON t.tile_end - t.tile_start = whole.half
        WHERE t.tile_start >= time_bucket(to_microseconds(28800000000), TIMESTAMP '{{ plane.read_start }}', TIMESTAMP '1970-01-01 00:00:00.000000') AND t.tile_start < TIMESTAMP '{{ plane.read_start }}'
      ) AS halves
    ) AS parts CROSS JOIN head
    WHERE begins + INTERVAL 28800000000 MICROSECONDS <= head.frontier
    GROUP BY "k", begins
  ) AS several
)
SELECT * FROM (
  SELECT * FROM rollups_1
  UNION ALL
  SELECT * FROM rollups_2
  UNION ALL
  SELECT * FROM rollups_3
  UNION ALL
  SELECT * FROM rollups_4
) AS made ORDER BY tile_start
;
-- @statement: insert the changed history
-- @insert: "features"."purchases__history__ed35778c"
INSERT INTO "features"."purchases__history__ed35778c"
-- @query
SELECT * FROM (
WITH head AS (
  SELECT * FROM "_plane"."head__features__purchases__ed35778c" WHERE earlier_frontier = TIMESTAMP '{{ plane.start }}' AND frontier = TIMESTAMP '{{ plane.end }}' AND TIMESTAMP '{{ plane.start }}' + to_microseconds(3600000000) = TIMESTAMP '{{ plane.end }}' AND TIMESTAMP '{{ plane.start }}' > TIMESTAMP '2024-01-01 00:00:00.000000'
),
points AS (
  SELECT DISTINCT p."k", TIMESTAMP '{{ plane.end }}' AS moment FROM (
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start > TIMESTAMP '{{ plane.end }}' - to_microseconds(1800000000) - to_microseconds(3600000000) AND tile_start <= TIMESTAMP '{{ plane.end }}' - to_microseconds(1800000000)
    UNION ALL
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start > TIMESTAMP '{{ plane.end }}' - to_microseconds(5400000000) - to_microseconds(3600000000) AND tile_start <= TIMESTAMP '{{ plane.end }}' - to_microseconds(5400000000)
    UNION ALL
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start > TIMESTAMP '{{ plane.end }}' - to_microseconds(88200000000) - to_microseconds(3600000000) AND tile_start <= TIMESTAMP '{{ plane.end }}' - to_microseconds(88200000000)
    UNION ALL
    SELECT "k" FROM "features"."purchases__tiles__ed35778c"
    WHERE tile_start > TIMESTAMP '{{ plane.end }}' - to_microseconds(174600000000) - to_microseconds(3600000000) AND tile_start <= TIMESTAMP '{{ plane.end }}' - to_microseconds(174600000000)
  ) AS p CROSS JOIN head
),
cover AS (
  SELECT * FROM (VALUES
{% for place, start, end in plane.cover %}
    ({{ place }}, TIMESTAMP '{{ start }}', TIMESTAMP '{{ end }}'){{ "" if loop.last else "," }}
{% endfor %}
  ) AS parts(place, tile_start, tile_end)
),
covered AS (
  SELECT t."k", c.place, t.tile_start AS moment,
    t."row__count", t."cost__sum", t."price__sum", t."price__count"
  FROM "features"."purchases__tiles__ed35778c" AS t
  JOIN cover AS c ON c.tile_start = t.tile_start AND c.tile_end = t.tile_start + to_microseconds(1800000000)
  WHERE t.tile_start IN ({% for instant, _ in plane.cover_tiles %}TIMESTAMP '{{ instant }}'{{ "" if loop.last else ", " }}{% endfor %})
  UNION ALL
  SELECT t."k", c.place, t.tile_start, t."row__count", t."cost__sum", t."price__sum", t."price__count"
  FROM "features"."purchases__rollups__ed35778c" AS t JOIN cover AS c ON c.tile_start = t.tile_start AND c.tile_end = t.tile_end
  WHERE t.tile_start IN ({% for instant, _ in plane.cover_rollups %}TIMESTAMP '{{ instant }}'{{ "" if loop.last else ", " }}{% endfor %})
    AND t.tile_end IN ({% for _, instant in plane.cover_rollups %}TIMESTAMP '{{ instant }}'{{ "" if loop.last else ", " }}{% endfor %})
),
merged AS (
  SELECT "k",
    sum("row__count") FILTER (WHERE place = 0) AS m0,
    sum("row__count") FILTER (WHERE place = 1) AS m1,
    sum("cost__sum") FILTER (WHERE place = 1) AS m2,
    sum("price__sum") FILTER (WHERE place = 2) AS m3,
    sum("price__count") FILTER (WHERE place = 2) AS m4
  FROM (
    SELECT p."k", c.place, c.moment, c."row__count", c."cost__sum", c."price__sum", c."price__count"
    FROM points AS p LEFT JOIN covered AS c ON c."k" = p."k" 
  ) AS found
  GROUP BY "k"
),
windows AS (
  SELECT "k", TIMESTAMP '{{ plane.end }}' AS moment,
    CAST(coalesce(m0, 0) AS BIGINT) AS "count_1h",
    CAST(coalesce(m1, 0) AS BIGINT) AS "count_1d",
    CAST(m2 AS DECIMAL(38,2)) AS "cost_sum_1d",
    CAST(CASE WHEN m4 > 0 THEN CAST(m3 AS DOUBLE) / CAST(m4 AS DOUBLE) END AS DOUBLE) AS "price_mean_1d_offset_1d"
  FROM merged
)
SELECT p."k", p.moment + to_microseconds(1800000000) AS valid_from, CAST(NULL AS TIMESTAMP) AS expires_at,
  w."count_1h" AS "count_1h",
  w."count_1d" AS "count_1d",
  w."cost_sum_1d" AS "cost_sum_1d",
  w."price_mean_1d_offset_1d" AS "price_mean_1d_offset_1d",
  a."last_word" AS "last_word",
  head.version, make_timestamp(head.version) AS recorded_from
FROM points AS p CROSS JOIN head
JOIN windows AS w ON w."k" = p."k"  AND w.moment = p.moment
ASOF LEFT JOIN (
  SELECT * FROM (
  SELECT "k", tile_start, "last_word" FROM "features"."purchases__tiles__ed35778c"
  WHERE tile_start >= TIMESTAMP '{{ plane.start }}'
  UNION ALL
  SELECT "k", TIMESTAMP '{{ plane.start }}' - to_microseconds(1800000000), "last_word"
  FROM "features"."purchases__latest__ed35778c" WHERE NOT is_deleted
) WHERE tile_start >= greatest(TIMESTAMP '{{ plane.start }}' - to_microseconds(178200000000), TIMESTAMP '2024-01-01 00:00:00.000000')
) AS a ON a."k" = p."k"  AND p.moment >= a.tile_start + to_microseconds(1800000000)

) AS next_interval
UNION ALL
SELECT * FROM (
WITH head AS (
  SELECT * FROM "_plane"."head__features__purchases__ed35778c" WHERE NOT (earlier_frontier = TIMESTAMP '{{ plane.start }}' AND frontier = TIMESTAMP '{{ plane.end }}' AND TIMESTAMP '{{ plane.start }}' + to_microseconds(3600000000) = TIMESTAMP '{{ plane.end }}' AND TIMESTAMP '{{ plane.start }}' > TIMESTAMP '2024-01-01 00:00:00.000000')
),
points AS (
  SELECT DISTINCT p."k", p.moment FROM (
    SELECT t."k", CASE WHEN t.tile_start < TIMESTAMP '2024-01-01 00:00:00.000000' THEN greatest(time_bucket(to_microseconds(3600000000), (t.tile_start + to_microseconds(shifts.micros)) + to_microseconds(3599999999), TIMESTAMP '1970-01-01 00:00:00.000000'), TIMESTAMP '2024-01-01 01:00:00.000000') ELSE time_bucket(to_microseconds(3600000000), (t.tile_start + to_microseconds(shifts.micros)) + to_microseconds(3599999999), TIMESTAMP '1970-01-01 00:00:00.000000') END AS moment
    FROM "features"."purchases__tiles__ed35778c" AS t CROSS JOIN (VALUES (1800000000), (5400000000), (88200000000), (174600000000)) AS shifts(micros)
    WHERE t.tile_start > CASE WHEN TIMESTAMP '{{ plane.start }}' > TIMESTAMP '2024-01-01 00:00:00.000000' THEN TIMESTAMP '{{ plane.start }}' - to_microseconds(178200000000) ELSE TIMESTAMP '2023-12-30 00:30:00.000000' END

  ) AS p CROSS JOIN head
  WHERE p.moment > TIMESTAMP '{{ plane.start }}' AND p.moment <= head.frontier
    AND (p.moment <= TIMESTAMP '{{ plane.end }}' + to_microseconds(176400000000) OR p.moment > head.earlier_frontier)
),
missing AS (
  SELECT p.* FROM points AS p
  WHERE NOT EXISTS (SELECT 1 FROM "features"."purchases__history__ed35778c" AS h
    WHERE h."k" = p."k"  AND h.valid_from = p.moment + to_microseconds(1800000000)
    AND h.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000))
),
spread AS (
  SELECT t."k", t.tile_start AS moment, FALSE AS is_point,
    t."row__count", t."cost__sum", t."price__sum", t."price__count"
  FROM "features"."purchases__tiles__ed35778c" AS t
  WHERE t.tile_start >= TIMESTAMP '{{ plane.start }}' - to_microseconds(172800000000) AND EXISTS (SELECT 1 FROM missing AS p WHERE p."k" = t."k" )
  UNION ALL
  SELECT "k", moment, TRUE, NULL, NULL, NULL, NULL
  FROM missing
),
merged AS (
  SELECT "k", moment, is_point,
    sum("row__count") OVER (PARTITION BY "k" ORDER BY moment RANGE BETWEEN INTERVAL 3600000000 MICROSECONDS PRECEDING AND INTERVAL 1800000000 MICROSECONDS PRECEDING) AS m0,
    sum("row__count") OVER (PARTITION BY "k" ORDER BY moment RANGE BETWEEN INTERVAL 86400000000 MICROSECONDS PRECEDING AND INTERVAL 1800000000 MICROSECONDS PRECEDING) AS m1,
    sum("cost__sum") OVER (PARTITION BY "k" ORDER BY moment RANGE BETWEEN INTERVAL 86400000000 MICROSECONDS PRECEDING AND INTERVAL 1800000000 MICROSECONDS PRECEDING) AS m2,
    sum("price__sum") OVER (PARTITION BY "k" ORDER BY moment RANGE BETWEEN INTERVAL 172800000000 MICROSECONDS PRECEDING AND INTERVAL 88200000000 MICROSECONDS PRECEDING) AS m3,
    sum("price__count") OVER (PARTITION BY "k" ORDER BY moment RANGE BETWEEN INTERVAL 172800000000 MICROSECONDS PRECEDING AND INTERVAL 88200000000 MICROSECONDS PRECEDING) AS m4
  FROM spread
),
windows AS (
  SELECT "k", moment,
    CAST(coalesce(m0, 0) AS BIGINT) AS "count_1h",
    CAST(coalesce(m1, 0) AS BIGINT) AS "count_1d",
    CAST(m2 AS DECIMAL(38,2)) AS "cost_sum_1d",
    CAST(CASE WHEN m4 > 0 THEN CAST(m3 AS DOUBLE) / CAST(m4 AS DOUBLE) END AS DOUBLE) AS "price_mean_1d_offset_1d"
  FROM merged WHERE is_point
)

SELECT p."k", p.moment + to_microseconds(1800000000) AS valid_from, CAST(NULL AS TIMESTAMP) AS expires_at,
  w."count_1h" AS "count_1h",
  w."count_1d" AS "count_1d",
  w."cost_sum_1d" AS "cost_sum_1d",
  w."price_mean_1d_offset_1d" AS "price_mean_1d_offset_1d",
  a."last_word" AS "last_word",
  head.version, make_timestamp(head.version) AS recorded_from
FROM missing AS p CROSS JOIN head
JOIN windows AS w ON w."k" = p."k"  AND w.moment = p.moment
ASOF LEFT JOIN (
  SELECT * FROM "features"."purchases__tiles__ed35778c" WHERE tile_start >= greatest(TIMESTAMP '{{ plane.start }}' - to_microseconds(178200000000), TIMESTAMP '2024-01-01 00:00:00.000000')
) AS a ON a."k" = p."k"  AND p.moment >= a.tile_start + to_microseconds(1800000000)

) AS changed
ORDER BY valid_from;
-- @statement: restore the recording time of unchanged rows
-- @update: "features"."purchases__history__ed35778c" AS h
UPDATE "features"."purchases__history__ed35778c" AS h SET recorded_from = r.recorded_from
FROM (
  SELECT r.* FROM "features"."purchases__history_replaced__ed35778c" AS r
  JOIN "_plane"."head__features__purchases__ed35778c" AS head ON r.recorded_to = make_timestamp(head.version)
) AS r
WHERE h.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
  AND h.version = (SELECT version FROM "_plane"."head__features__purchases__ed35778c")
  AND h."k" = r."k"  AND h.valid_from = r.valid_from
  AND h.expires_at IS NOT DISTINCT FROM r.expires_at
  AND h."count_1h" IS NOT DISTINCT FROM r."count_1h"
  AND h."count_1d" IS NOT DISTINCT FROM r."count_1d"
  AND h."cost_sum_1d" IS NOT DISTINCT FROM r."cost_sum_1d"
  AND h."price_mean_1d_offset_1d" IS NOT DISTINCT FROM r."price_mean_1d_offset_1d"
  AND h."last_word" IS NOT DISTINCT FROM r."last_word"
;
-- @statement: remove unchanged rows from the replaced history
-- @delete: "features"."purchases__history_replaced__ed35778c" AS r
DELETE FROM "features"."purchases__history_replaced__ed35778c" AS r
-- @condition
WHERE r.recorded_to = (SELECT make_timestamp(head.version) FROM "_plane"."head__features__purchases__ed35778c" AS head) AND EXISTS (
  SELECT 1 FROM "features"."purchases__history__ed35778c" AS h
  WHERE h."k" = r."k"  AND h.valid_from = r.valid_from
    AND h.recorded_from = r.recorded_from
    AND h.version = (SELECT version FROM "_plane"."head__features__purchases__ed35778c") AND h.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
);
-- @statement: insert the newest rows
-- @insert: "features"."purchases__latest__ed35778c"
INSERT INTO "features"."purchases__latest__ed35778c"
-- @query
WITH head AS (
  SELECT * FROM "_plane"."head__features__purchases__ed35778c"
),
candidates AS (
  SELECT h.* FROM "features"."purchases__history__ed35778c" AS h CROSS JOIN head
  WHERE h.version = head.version AND h.valid_from > TIMESTAMP '{{ plane.start }}' + to_microseconds(1800000000)
  UNION
  SELECT h.* FROM "features"."purchases__history__ed35778c" AS h
  JOIN (
    SELECT r.* FROM "features"."purchases__latest__ed35778c" AS r CROSS JOIN head
    WHERE r.is_deleted AND r.version = head.version
  ) AS gone ON gone."k" = h."k" 
),
newest AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (
      PARTITION BY "k" ORDER BY valid_from DESC
    ) AS place FROM candidates
  ) AS ranked WHERE place = 1
)
SELECT n."k", n.valid_from, n.expires_at, n."count_1h", n."count_1d", n."cost_sum_1d", n."price_mean_1d_offset_1d", n."last_word",
  head.version, FALSE
FROM newest AS n CROSS JOIN head
WHERE NOT EXISTS (
  SELECT 1 FROM "features"."purchases__latest__ed35778c" AS r
  WHERE r."k" = n."k"  AND NOT r.is_deleted AND r.valid_from > n.valid_from
);
-- @statement: remove the earlier newest rows
-- @delete: "features"."purchases__latest__ed35778c" AS r
DELETE FROM "features"."purchases__latest__ed35778c" AS r
-- @condition
WHERE (r.is_deleted OR r.version < (SELECT version FROM "_plane"."head__features__purchases__ed35778c")) AND EXISTS (
  SELECT 1 FROM "features"."purchases__latest__ed35778c" AS n CROSS JOIN "_plane"."head__features__purchases__ed35778c" AS head
  WHERE n.version = head.version AND NOT n.is_deleted AND n."k" = r."k" 
);
