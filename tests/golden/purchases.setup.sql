-- @statement: create the schemas
-- @create_schema: "features"
CREATE SCHEMA IF NOT EXISTS "features";
-- @statement: create the control schema
-- @create_schema: "_plane"
CREATE SCHEMA IF NOT EXISTS "_plane";
-- @statement: create the ledger
-- @create_table: "_plane"."ledger"
CREATE TABLE IF NOT EXISTS "_plane"."ledger" (
  feature_view VARCHAR NOT NULL,
  fingerprint VARCHAR NOT NULL,
  interval_start TIMESTAMP NOT NULL,
  interval_end TIMESTAMP NOT NULL,
  run_id VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  published_at TIMESTAMP NOT NULL,
  row_count BIGINT NOT NULL,
  dropped_count BIGINT NOT NULL
);
-- @statement: create the metrics
-- @create_table: "_plane"."metrics"
CREATE TABLE IF NOT EXISTS "_plane"."metrics" (
  feature_view VARCHAR NOT NULL,
  fingerprint VARCHAR NOT NULL,
  interval_start TIMESTAMP NOT NULL,
  interval_end TIMESTAMP NOT NULL,
  run_id VARCHAR NOT NULL,
  source VARCHAR,
  name VARCHAR NOT NULL,
  severity VARCHAR NOT NULL,
  row_count BIGINT NOT NULL,
  failed_count BIGINT NOT NULL,
  passed BOOLEAN NOT NULL,
  observed VARCHAR,
  checked_at TIMESTAMP NOT NULL
);
-- @statement: create the tiles
-- @create_table: "features"."purchases__tiles__ed35778c"
CREATE TABLE IF NOT EXISTS "features"."purchases__tiles__ed35778c" (
  "k" VARCHAR NOT NULL,
  tile_start TIMESTAMP NOT NULL,
  "last_word" VARCHAR,
  "row__count" BIGINT,
  "cost__sum" DECIMAL(38,2),
  "price__sum" DOUBLE,
  "price__count" BIGINT
);
-- @statement: create the rollups
-- @create_table: "features"."purchases__rollups__ed35778c"
CREATE TABLE IF NOT EXISTS "features"."purchases__rollups__ed35778c" (
  "k" VARCHAR NOT NULL,
  tile_start TIMESTAMP NOT NULL,
  tile_end TIMESTAMP NOT NULL,
  "row__count" BIGINT,
  "cost__sum" DECIMAL(38,2),
  "price__sum" DOUBLE,
  "price__count" BIGINT
);
-- @statement: create the history
-- @create_table: "features"."purchases__history__ed35778c"
CREATE TABLE IF NOT EXISTS "features"."purchases__history__ed35778c" (
  "k" VARCHAR NOT NULL,
  valid_from TIMESTAMP NOT NULL,
  expires_at TIMESTAMP,
  "count_1h" BIGINT,
  "count_1d" BIGINT,
  "cost_sum_1d" DECIMAL(38,2),
  "price_mean_1d_offset_1d" DOUBLE,
  "last_word" VARCHAR,
  version BIGINT NOT NULL,
  recorded_from TIMESTAMP NOT NULL
);
-- @statement: create the history that was replaced
-- @create_table: "features"."purchases__history_replaced__ed35778c"
CREATE TABLE IF NOT EXISTS "features"."purchases__history_replaced__ed35778c" (
  "k" VARCHAR NOT NULL,
  valid_from TIMESTAMP NOT NULL,
  expires_at TIMESTAMP,
  "count_1h" BIGINT,
  "count_1d" BIGINT,
  "cost_sum_1d" DECIMAL(38,2),
  "price_mean_1d_offset_1d" DOUBLE,
  "last_word" VARCHAR,
  recorded_from TIMESTAMP NOT NULL,
  recorded_to TIMESTAMP NOT NULL
);
-- @statement: create the newest rows
-- @create_table: "features"."purchases__latest__ed35778c"
CREATE TABLE IF NOT EXISTS "features"."purchases__latest__ed35778c" (
  "k" VARCHAR NOT NULL,
  valid_from TIMESTAMP NOT NULL,
  expires_at TIMESTAMP,
  "count_1h" BIGINT,
  "count_1d" BIGINT,
  "cost_sum_1d" DECIMAL(38,2),
  "price_mean_1d_offset_1d" DOUBLE,
  "last_word" VARCHAR,
  version BIGINT NOT NULL,
  is_deleted BOOLEAN NOT NULL
);
-- @statement: create the head
-- @create_table: "_plane"."head__features__purchases__ed35778c"
CREATE TABLE IF NOT EXISTS "_plane"."head__features__purchases__ed35778c" (
  version BIGINT NOT NULL,
  frontier TIMESTAMP NOT NULL,
  earlier_frontier TIMESTAMP NOT NULL,
  run_id VARCHAR NOT NULL
);
-- @statement: insert the head's row
-- @insert: "_plane"."head__features__purchases__ed35778c"
INSERT INTO "_plane"."head__features__purchases__ed35778c"
-- @query
SELECT 0, TIMESTAMP '2024-01-01 00:00:00.000000', TIMESTAMP '2024-01-01 00:00:00.000000', '' FROM (SELECT 1 AS one) AS single
WHERE NOT EXISTS (SELECT 1 FROM "_plane"."head__features__purchases__ed35778c");
-- @statement: create the table of public views
-- @create_table: "_plane"."doors"
CREATE TABLE IF NOT EXISTS "_plane"."doors" (
  feature_view VARCHAR NOT NULL,
  fingerprint VARCHAR NOT NULL
);
