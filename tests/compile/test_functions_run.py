"""DuckDB's functions of the row, run over all rows and over each interval: together these are the
same rows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import duckdb
import pytest

from controlplane.compile.builtins import KNOWN
from tests.compile.row_by_row import ROW_BY_ROW, ROW_BY_ROW_ON
from tests.compile.verdicts import verdict

ROWS = """
CREATE TABLE all_events AS
SELECT ['a', 'b', 'c'][1 + i % 3] AS k, TIMESTAMP '2024-01-01' + INTERVAL (i * 13) MINUTE AS ts, i % 7 AS b,
    [NULL, '1', 'a-1', '{"a": 2}'][1 + i % 4] AS s, {'x': i, 'y': 'z'} AS payload, [i, i + 1, i % 3] AS items
FROM range(14) AS t(i);
CREATE TABLE all_other AS SELECT k, ts + INTERVAL 5 MINUTE AS ts, b AS v FROM all_events;
CREATE TABLE dims AS
SELECT ['a', 'b', 'c', 'd'][1 + i] AS k, TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR AS ts, 'n' || i AS name, i AS v
FROM range(4) AS t(i)
"""
ARGUMENTS = (
    *(
        "b",
        "b, b",
        "b, b, b",
        "s",
        "s, s",
        "s, b",
        "s, b, s",
        "s, s, s",
        "items",
        "items, b",
        "items, items",
    ),
    *("ts", "ts, ts", "'day', ts", "'day', ts, ts", "ts, '%Y'", "s, '%Y'", "payload"),
)
HOURS = [(f"2024-01-01 0{hour}:00", f"2024-01-01 0{hour + 1}:00") for hour in range(3)]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    found = duckdb.connect(config={"threads": 1})
    found.execute(f"SET TimeZone = 'UTC'; {ROWS}")
    yield found
    found.close()


def rows(connection: duckdb.DuckDBPyConnection, sql: str, start: str, end: str) -> list[str]:
    """What a range sees and keeps, as text: NaN is equal to itself."""
    within = f"WHERE ts >= '{start}' AND ts < '{end}'"
    sources = ", ".join(
        f"{name} AS (SELECT * FROM all_{name} {within})" for name in ("events", "other")
    )
    query = f"WITH {sources}, plane_rows AS (\n{sql}\n) SELECT * FROM plane_rows {within}"
    return sorted(map(repr, connection.execute(query).fetchall()))


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Compare one run with three; False where DuckDB refuses the SQL."""
    try:
        whole = rows(connection, sql, HOURS[0][0], HOURS[-1][1])
        parts = [rows(connection, sql, *hour) for hour in HOURS]
    except duckdb.Error:
        return False
    assert whole == sorted(row for part in parts for row in part), sql
    return True


def test_functions_of_the_row_are_the_same_over_any_range(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = connection.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    called = 0
    for name in sorted(KNOWN["duckdb"] & {name for (name,) in found if re.fullmatch(r"\w+", name)}):
        for arguments in ARGUMENTS:
            sql = f"SELECT k, ts, {name}({arguments}) AS x FROM events"
            try:
                connection.execute(f"EXPLAIN {sql.replace('events', 'all_events')}")
            except duckdb.Error:
                continue
            if verdict(sql, "duckdb") == "row":
                called += check(connection, sql)
    assert called > 300


def test_views_that_are_row_by_row_are_the_same_over_any_range(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    assert sum(check(connection, sql) for sql in (*ROW_BY_ROW, *ROW_BY_ROW_ON["duckdb"])) > 35
