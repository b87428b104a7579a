-- What a team's warehouse would hold already: raw tables with an event time.
CREATE SCHEMA IF NOT EXISTS raw;

CREATE OR REPLACE TABLE raw.flights AS
SELECT
  CAST(row_number() OVER (ORDER BY scheduled_at, carrier, flight, origin) AS BIGINT) AS flight_id, *
FROM (
  SELECT
    strptime(time_hour, '%Y-%m-%dT%H:%M:%SZ') + to_minutes(CAST(minute AS BIGINT)) AS scheduled_at,
    carrier, flight, tailnum, origin, dest, dep_delay, arr_delay, distance
  FROM read_parquet('data/flights.parquet')
) AS flights;

CREATE OR REPLACE TABLE raw.departures AS
SELECT
  flight_id, scheduled_at, scheduled_at + to_minutes(CAST(dep_delay AS BIGINT)) AS departed_at,
  carrier, tailnum, origin, dest, dep_delay, distance
FROM raw.flights
WHERE dep_delay IS NOT NULL
ORDER BY departed_at;

CREATE OR REPLACE TABLE raw.weather AS
SELECT
  origin, strptime(time_hour, '%Y-%m-%dT%H:%M:%SZ') AS observed_at, temp, wind_speed, precip, visib
FROM read_parquet('data/weather.parquet')
ORDER BY observed_at;

CREATE OR REPLACE TABLE raw.planes AS
SELECT tailnum, year, manufacturer, model, engines, seats FROM read_parquet('data/planes.parquet');
