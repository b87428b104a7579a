-- One row for each flight: its keys, the instant of the prediction, and the label.
-- The training set keeps all other columns.
SELECT
  flight_id, origin, tailnum, dest, scheduled_at,
  scheduled_at - INTERVAL 2 HOUR AS predict_at,
  arr_delay > 15 AS arrived_late
FROM raw.flights
WHERE scheduled_at >= TIMESTAMP '2013-03-05 05:00:00'
