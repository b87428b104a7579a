"""Ordinary SQL that is a function of the row: on every dialect, and on one of them."""

from __future__ import annotations

ROW_BY_ROW = [
    "SELECT k, ts FROM events",
    (
        "SELECT k AS who, ts, b + 1 AS more, -b AS less, b % 3 AS rest FROM events WHERE b > 0 AND"
        " s LIKE 'a%'"
    ),
    (
        "SELECT k, ts, CASE WHEN b > 10 THEN 'big' WHEN b IS NULL THEN NULL ELSE 'small' END AS"
        " size FROM events"
    ),
    (
        "SELECT k, ts, CAST(b AS DOUBLE) AS x, CAST(s AS INT) AS y, CAST(b AS DECIMAL(10, 2)) AS z"
        " FROM events"
    ),
    (
        "SELECT k, ts, COALESCE(b, 0) AS b, NULLIF(s, '') AS s, GREATEST(b, 1) AS g, LEAST(b, 9) AS"
        " l FROM events"
    ),
    (
        "SELECT k, ts, upper(trim(s)) AS u, lower(s) AS l, length(s) AS n, substring(s, 1, 3) AS p"
        " FROM events"
    ),
    (
        "SELECT k, ts, concat(s, '-', k) AS c, s || k AS d, replace(s, 'a', 'b') AS r,"
        " split_part(s, '-', 1) FROM events"
    ),
    (
        "SELECT k, ts, date_trunc('hour', ts) AS h, extract(hour FROM ts) AS x, year(ts) AS y,"
        " month(ts) AS m FROM events"
    ),
    "SELECT k, ts, ts + INTERVAL '1' DAY AS later, datediff(day, ts, ts) AS days FROM events",
    (
        "SELECT k, ts, abs(b) AS a, round(b, 2) AS r, floor(b) AS f, ceil(b) AS c, ln(b) AS l,"
        " sqrt(b) AS q FROM events"
    ),
    "SELECT k, ts FROM events WHERE b BETWEEN 1 AND 5 AND s IN ('a', 'b') AND NOT k IS NULL",
    "SELECT k, ts, md5(s) AS m, regexp_replace(s, 'a+', 'b') AS r FROM events",
    "WITH good AS (SELECT k, ts, b FROM events WHERE b > 0) SELECT k, ts, b * 2 AS twice FROM good",
    "SELECT k, ts, twice FROM (SELECT k, ts, b * 2 AS twice FROM events) x WHERE twice > 2",
    "SELECT e.k, e.ts, d.name FROM events e JOIN dims d ON d.k = e.k",
    "SELECT e.k, e.ts, d.name FROM events e LEFT JOIN dims d ON d.k = e.k AND d.v > 1",
    "SELECT e.k, e.ts, d.name FROM dims d RIGHT JOIN events e ON d.k = e.k",
    "SELECT e.k, e.ts, d.name FROM events e, dims d WHERE d.k = e.k",
    "SELECT e.k, e.ts FROM (events e JOIN dims d ON d.k = e.k)",
    "SELECT e.k, e.ts FROM events e LEFT JOIN (dims d JOIN dims f ON f.k = d.k) ON d.k = e.k",
    "SELECT k, e.ts, d.name FROM events e LEFT JOIN dims d USING (k)",
    "SELECT e.k, e.ts FROM events e WHERE e.k IN (SELECT k FROM dims WHERE v > 1)",
    "SELECT e.k, e.ts, (SELECT max(v) FROM dims d WHERE d.k = e.k) AS most FROM events e",
    "SELECT e.k, e.ts FROM events e WHERE EXISTS (SELECT 1 FROM dims d WHERE d.k = e.k)",
    (
        "SELECT e.k, e.ts FROM events e WHERE b > 1 AND NOT EXISTS (SELECT v FROM dims d WHERE d.k"
        " = e.k AND d.v > e.b)"
    ),
    (
        "SELECT e.k, e.ts, d.n FROM events e JOIN (SELECT k, count(*) n FROM dims GROUP BY k) d ON"
        " d.k = e.k"
    ),
    "SELECT e.k, e.ts, x.y FROM events e JOIN (VALUES (1, 'a'), (2, 'b')) AS x(i, y) ON x.i = e.b",
    "SELECT k, ts FROM events UNION ALL SELECT k, ts FROM other",
    (
        "SELECT k, ts, b FROM events UNION ALL SELECT o.k, o.ts, d.v FROM other o JOIN dims d ON"
        " d.k = o.k"
    ),
    (
        "SELECT k, ts FROM (SELECT k, ts FROM events UNION ALL SELECT k, ts FROM other) x WHERE k"
        " IS NOT NULL"
    ),
    "SELECT k, CASE WHEN b > 0 THEN ts END AS ts FROM events",
    "SELECT k, ts FROM events -- LIMIT 5",
    "SELECT /*+ BROADCAST(dims) */ k, ts FROM events",
    "SELECT k, day + clock AS ts FROM local",
    "SELECT k, l.day + l.clock AS ts FROM local l WHERE day IS NOT NULL",
]
ROW_BY_ROW_ON = {
    "duckdb": [
        "FROM events SELECT k, ts",
        "SELECT * EXCLUDE (payload) FROM events",
        "SELECT * REPLACE (b + 1 AS b) FROM events",
        "SELECT k, ts, item FROM events, unnest(items) AS u(item)",
        "SELECT k, ts, unnest(items) AS item FROM events",
        (
            "SELECT k, ts, list_transform(items, lambda x: x + 1) AS more, items[1] AS first FROM"
            " events"
        ),
        (
            "SELECT k, ts, payload.x AS x, payload ->> 'y' AS y, json_extract_string(s, '$.a') AS z"
            " FROM events"
        ),
        (
            "SELECT k, ts, strftime(ts, '%Y') AS y, epoch_ms(ts) AS ms, date_diff('day', ts, ts) AS"
            " d FROM events"
        ),
        "SELECT k, ts FROM events UNION ALL BY NAME SELECT ts, k FROM other",
        "SELECT k, e.ts FROM events e SEMI JOIN dims d USING (k)",
        "SELECT e.k, e.ts, d.v FROM events e ASOF JOIN dims d ON e.k = d.k AND e.ts >= d.ts",
        (
            "SELECT * FROM events JOIN dims USING (k, ts) UNION ALL SELECT * FROM events JOIN dims"
            " USING (k, ts)"
        ),
    ],
    "snowflake": [
        (
            "SELECT k, ts, payload:a.b::string AS x, iff(b > 0, 1, 0) AS y, zeroifnull(b) AS z FROM"
            " events"
        ),
        (
            "SELECT k, ts, f.value::int AS item, f.index FROM events, LATERAL FLATTEN(input =>"
            " items) f"
        ),
        "SELECT k, ts, t.value FROM events, TABLE(SPLIT_TO_TABLE(s, ',')) t",
        (
            "SELECT k, ts, dateadd(day, 1, ts) AS d, to_varchar(ts, 'YYYY') AS y, try_to_number(s)"
            " AS n FROM events"
        ),
        (
            "SELECT k, ts, convert_timezone('UTC', 'Asia/Tokyo', ts) AS t, object_construct('a', b)"
            " AS o FROM events"
        ),
        "SELECT e.k, e.ts FROM events e, dims d WHERE e.k = d.k (+)",
        "SELECT k, ts FROM events WHERE s LIKE ANY ('a%', 'b%')",
        "SELECT * EXCLUDE (payload) FROM events",
        (
            "SELECT e.k, e.ts FROM events e ASOF JOIN dims d MATCH_CONDITION (e.ts >= d.ts) ON e.k"
            " = d.k"
        ),
    ],
    "databricks": [
        "SELECT k, ts, x FROM events LATERAL VIEW explode(items) t AS x",
        "SELECT k, ts, explode(items) AS x FROM events",
        (
            "SELECT k, ts, date_format(ts, 'yyyy') AS y, unix_timestamp(ts) AS u, from_unixtime(b)"
            " AS f FROM events"
        ),
        (
            "SELECT k, ts, payload:a.b AS x, if(b > 0, 1, 0) AS y, nvl(b, 0) AS z, date_add(ts, 1)"
            " AS d FROM events"
        ),
        "SELECT k, ts FROM events WHERE exists(items, x -> x > 1) AND s LIKE ANY ('a%', 'b%')",
        (
            "SELECT k, ts, transform(items, x -> x + 1) AS more, size(items) AS n, items[0] AS f"
            " FROM events"
        ),
        "SELECT k, ts, s LIKE 'today' AS t, 'now available' AS a, 'nowhere' AS w FROM events",
        "SELECT k, ts, s = '10:15' AS t, to_timestamp(s || '10:15') AS a FROM events",
        "SELECT k, ts, TIMESTAMP '2024-01-01 10:15' AS t, '10:15' AS a FROM events",
        "SELECT * EXCEPT (payload) FROM events",
        "SELECT e.k, e.ts FROM events e LEFT SEMI JOIN dims d ON d.k = e.k",
    ],
}
