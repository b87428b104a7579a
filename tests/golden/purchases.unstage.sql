-- @statement: drop the stage
-- @drop_table: "_plane"."{{ plane.stage }}"
DROP TABLE IF EXISTS "_plane"."{{ plane.stage }}";
