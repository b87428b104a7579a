"""What happens later changes nothing that was visible before: the example again, with another
future."""

from __future__ import annotations

import duckdb
import pytest

from controlplane import ControlPlane
from tests.e2e.conftest import Flights
from tests.e2e.oracle import ENTITY
from tests.e2e.projects import copied, load_example, sql

PAST = "2013-07-01 12:34:56"  # inside an hour: its interval holds rows of both sides
ANOTHER_FUTURE = (
    "DELETE FROM raw.departures WHERE departed_at >= TIMESTAMP '{t}' AND flight_id % 5 = 0",
    (
        "UPDATE raw.departures SET dep_delay = 99999, distance = 77777, dest = 'ZZZ' WHERE"
        " departed_at >= TIMESTAMP '{t}'"
    ),
    (
        "UPDATE raw.departures SET origin = 'JFK', carrier = 'B6', tailnum = 'N593JB' "
        "WHERE departed_at >= TIMESTAMP '{t}' AND flight_id % 5 = 1"
    ),
    (
        "INSERT INTO raw.departures SELECT * REPLACE (TIMESTAMP '{t}' AS departed_at, -flight_id AS"
        " flight_id) FROM raw.departures WHERE flight_id % 100 = 2"
    ),
    "UPDATE raw.weather SET temp = -999, visib = NULL WHERE observed_at >= TIMESTAMP '{t}'",
    "DELETE FROM raw.weather WHERE observed_at >= TIMESTAMP '{t}' AND hour(observed_at) % 4 = 0",
)


@pytest.fixture(scope="module")
def both(
    flights: Flights, training_set: str, tmp_path_factory: pytest.TempPathFactory
) -> duckdb.DuckDBPyConnection:
    """The warehouse of the example as `original`, and that of another future as `other`, to be
    compared."""
    folder = copied(tmp_path_factory.mktemp("future") / "01-flights")
    load_example(folder)
    sql(folder, *(statement.format(t=PAST) for statement in ANOTHER_FUTURE))
    settings = (folder / "plane.toml").read_text()
    (folder / "plane.toml").write_text(
        settings.replace('online = { kind = "redis", embedded = true }\n', "")
    )
    with ControlPlane(folder) as project:
        project.deploy()
        project.run()
        spine = (folder / "spine.sql").read_text()
        project.create_dataset("late_2013", service="late_arrival", spine=spine, time="predict_at")
    connection = duckdb.connect()
    for name, where in (("original", flights.folder), ("other", folder)):
        connection.execute(
            f"ATTACH '{where / '.plane' / 'warehouse.duckdb'}' AS {name} (READ_ONLY)"
        )
    return connection


def counted(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    [(count,)] = connection.execute(f"SELECT count(*) FROM ({query})").fetchall()
    return int(count)


def different(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """How many rows of a query only one of the warehouses has; `{w}` is the warehouse."""
    original, other = query.format(w="original"), query.format(w="other")
    return sum(
        counted(connection, f"({a}) EXCEPT ALL ({b})")
        for a, b in ((original, other), (other, original))
    )


def test_no_row_of_the_training_set_changes_before_the_future_does(
    both: duckdb.DuckDBPyConnection,
) -> None:
    rows = "SELECT * FROM {w}.datasets.late_2013__v1 WHERE predict_at"
    before, after = (
        f"{rows} <= TIMESTAMP '{PAST}'",
        f"{rows} > TIMESTAMP '{PAST}' + INTERVAL 2 HOUR",
    )
    assert (
        counted(both, before.format(w="original"))
        == counted(both, before.format(w="other"))
        > 165_000
    )
    assert different(both, before) == 0
    assert different(both, after) > 300_000


@pytest.mark.parametrize("view", [view for view in ENTITY if view != "aircraft_registry"])
def test_no_value_that_was_visible_changes(both: duckdb.DuckDBPyConnection, view: str) -> None:
    ended = f"least(valid_to, TIMESTAMP '{PAST}') AS valid_to"
    seen = f"SELECT * REPLACE ({ended}) FROM {{w}}.features.{view} WHERE valid_from"
    before, after = f"{seen} <= TIMESTAMP '{PAST}'", f"{seen} > TIMESTAMP '{PAST}'"
    assert counted(both, before.format(w="original")) > 10_000
    assert different(both, before) == 0
    assert different(both, after) > 10_000
