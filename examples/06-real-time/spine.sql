-- One row for each flight: its key, the instant of the prediction,
-- the request fields, and the label.
SELECT
  flight_id, origin,
  scheduled_at - INTERVAL 2 HOUR AS asked_at,
  CAST(distance AS BIGINT) AS distance, scheduled_at AS leaves_at, carrier,
  arr_delay
FROM raw.flights
WHERE scheduled_at >= TIMESTAMP '2013-03-05 05:00:00'
