SELECT tailnum, origin, CAST('2013-03-10 18:00:00' AS TIMESTAMP) AS predict_at
FROM raw.departures WHERE dep_delay > 120
