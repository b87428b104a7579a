SELECT
  "k",
  valid_from, expires_at, is_deleted, version,
  (SELECT version FROM "_plane"."head__features__purchases__ed35778c") AS write_version,
  "count_1h",
  "count_1d",
  "cost_sum_1d",
  "price_mean_1d_offset_1d",
  "last_word"
FROM "features"."purchases__latest__ed35778c"
