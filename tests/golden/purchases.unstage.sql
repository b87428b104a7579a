-- @statement: drop the stage
DROP TABLE IF EXISTS "_plane"."{{ plane.stage }}";
