-- One row for each flight: its keys, the instant of the prediction, and the label.
SELECT
  flight_id, origin, carrier, tailnum, dest, scheduled_at,
  scheduled_at - INTERVAL 2 HOUR AS predict_at,
  arr_delay > 15 AS arrived_late
FROM raw.flights
