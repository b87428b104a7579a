-- @statement: point the view to this version
-- @create_view: "features"."purchases"
CREATE OR REPLACE VIEW "features"."purchases" AS
-- @query
SELECT
  "k",
  valid_from,
  least(expires_at, lead(valid_from) OVER (PARTITION BY "k" ORDER BY valid_from)) AS valid_to,
  "count_1h",
  "count_1d",
  "cost_sum_1d",
  "price_mean_1d_offset_1d",
  "last_word"
FROM "features"."purchases__history__ed35778c";
-- @statement: point the history to this version
-- @create_view: "features"."purchases__history"
CREATE OR REPLACE VIEW "features"."purchases__history" AS SELECT * FROM "features"."purchases__history__ed35778c";
-- @statement: point the replaced history to this version
-- @create_view: "features"."purchases__history_replaced"
CREATE OR REPLACE VIEW "features"."purchases__history_replaced" AS
SELECT * FROM "features"."purchases__history_replaced__ed35778c";
-- @statement: point the newest rows to this version
-- @create_view: "features"."purchases__latest"
CREATE OR REPLACE VIEW "features"."purchases__latest" AS
-- @query
SELECT
  "k",
  valid_from, expires_at, "count_1h", "count_1d", "cost_sum_1d", "price_mean_1d_offset_1d", "last_word"
FROM "features"."purchases__latest__ed35778c" WHERE NOT is_deleted;
-- @statement: point the tiles to this version
-- @create_view: "features"."purchases__tiles"
CREATE OR REPLACE VIEW "features"."purchases__tiles" AS SELECT * FROM "features"."purchases__tiles__ed35778c";
-- @statement: comment 1
-- @comment: "features"."purchases"
COMMENT ON VIEW "features"."purchases" IS 'What a customer bought lately. | owner: shop@example.com | tags: domain=shop | defined at shop.py:15';
-- @statement: comment 1.1
-- @comment: "features"."purchases"
COMMENT ON COLUMN "features"."purchases"."last_word" IS 'What was said last.';
-- @statement: comment 2
-- @comment: "features"."purchases__latest"
COMMENT ON VIEW "features"."purchases__latest" IS 'What a customer bought lately. | owner: shop@example.com | tags: domain=shop | defined at shop.py:15';
-- @statement: comment 2.1
-- @comment: "features"."purchases__latest"
COMMENT ON COLUMN "features"."purchases__latest"."last_word" IS 'What was said last.';
-- @statement: remove the record of the earlier version
-- @delete: "_plane"."doors"
DELETE FROM "_plane"."doors"
-- @condition
WHERE feature_view = 'features.purchases';
-- @statement: record the version that is shown
-- @insert: "_plane"."doors"
INSERT INTO "_plane"."doors" VALUES ('features.purchases', 'ed35778c');
