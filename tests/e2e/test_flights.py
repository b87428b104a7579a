"""The first example on its real data: tables, Redis and training sets say what the raw rows say, by
brute force.

`PLANE_TEST_SEED` asks other questions; it is printed by the fixture that asks them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
import redis

from controlplane import ControlPlane, FeatureClient
from controlplane.base.ports import OnlineStore
from controlplane.serving import OnlineReader, Status
from tests.e2e import pairs as asked
from tests.e2e.conftest import Flights
from tests.e2e.oracle import ENTITY, HOUR, MINUTE, Oracle, Values, at, micros, naive
from tests.e2e.pairs import NOW, Pair
from tests.e2e.projects import insert, sql

SERVICE = {
    "airport_delays": (
        "count_1h", "count_3h", "count_24h", "dep_delay_mean_1h", "dep_delay_mean_3h", "dep_delay_mean_24h",
        "dep_delay_max_3h", "late_departures_3h",
    ),
    "carrier_delays": (
        "count_24h", "dep_delay_mean_6h", "dep_delay_mean_24h", "dep_delay_mean_7d", "dep_delay_min_24h",
        "distance_sum_24h",
    ),
    "airport_weather": ("temp", "wind_speed", "precip", "visib"),
    "aircraft_last_flight": ("origin", "dep_delay", "departed_at"),
    "aircraft_registry": ("built", "manufacturer", "seats"),
}  # fmt: skip
"""What the example's feature service reads: of the last flight, all but its destination."""


def plain(value: Any) -> Any:
    """A value as the oracle has it."""
    return micros(value) if isinstance(value, datetime) else value


def vector(oracle: Oracle, keys: Mapping[str, str | None], instant: int) -> Values:
    """All features of the service for one entity of each kind, by their full names."""
    values = {view: oracle.values(view, keys[ENTITY[view]], instant) for view in SERVICE}
    return {
        f"{view}__{name}": values[view][name] for view, names in SERVICE.items() for name in names
    }


def records(connection: duckdb.DuckDBPyConnection, query: str) -> list[Values]:
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]


def table_of(folder: Any, query: str) -> list[Values]:
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb"), read_only=True) as connection:
        return records(connection, query)


@pytest.fixture(scope="module")
def spine(flights: Flights) -> list[tuple[Any, ...]]:
    """The questions as a table `raw.pairs`, in no order, some of them twice."""
    rows = list(asked.spine(flights.pairs, random.Random(asked.SEED)))
    columns = (
        "number BIGINT, origin VARCHAR, carrier VARCHAR, tailnum VARCHAR, asked_at TIMESTAMP,"
        " remark VARCHAR"
    )
    sql(flights.folder, f"CREATE TABLE raw.pairs ({columns})")
    insert(flights.folder, "raw.pairs", [(*row[:4], naive(row[4]), row[5]) for row in rows])
    return rows


def test_there_are_enough_questions_and_they_are_hard(flights: Flights) -> None:
    events = {view: flights.oracle.keys(view) for view in ENTITY}
    near = [pair for pair in flights.pairs if asked.is_near_a_change(events, pair)]
    said = [flights.oracle.values(pair.view, pair.key, pair.instant) for pair in flights.pairs]
    assert len({(pair.view, pair.key, pair.instant) for pair in flights.pairs}) >= 950
    assert len(flights.pairs) == 1_000
    assert len(near) >= 500
    assert sum(map(asked.says_something, said)) >= 500
    assert {pair.view for pair in near} == set(ENTITY) == {pair.view for pair in flights.pairs}
    for view in ENTITY:
        own = [
            values for pair, values in zip(flights.pairs, said, strict=True) if pair.view == view
        ]
        assert len(own) == 200
        assert sum(map(asked.says_something, own)) >= 80, view
    assert sum(asked.differs_around(flights.oracle, pair) for pair in near) >= 350
    assert sum(pair.key is None for pair in flights.pairs) >= 2
    assert sum(pair.key == "N0TKNOWN" for pair in flights.pairs) >= 2


def test_users_tables_say_what_the_rows_say(flights: Flights, spine: list[tuple[Any, ...]]) -> None:
    compared = 0
    for view, key in ENTITY.items():
        query = (
            f"SELECT p.number, v.* FROM (SELECT DISTINCT number, {key}, asked_at FROM raw.pairs) AS"
            f" p JOIN features.{view} AS v ON v.{key} = p.{key} AND v.valid_from <= p.asked_at AND"
            " (p.asked_at < v.valid_to OR v.valid_to IS NULL)"
        )
        rows = table_of(flights.folder, query)
        found = {row["number"]: row for row in rows}
        assert len(found) == len(rows), f"{view}: two rows of one key at one instant"
        for pair in flights.pairs:
            if pair.view != view:
                continue
            expected = flights.oracle.values(view, pair.key, pair.instant)
            row = found.get(pair.number)
            actual = {name: row[name] for name in expected} if row else nothing(expected)
            assert actual == expected, describe(pair)
            compared += 1
    assert compared == 1_000


def nothing(expected: Values) -> Values:
    """What no row at all means: counts are 0."""
    return {name: 0 if name.startswith(("count", "late_departures")) else None for name in expected}


def describe(pair: Pair) -> str:
    return (
        f"seed {asked.SEED}, question {pair.number}: {pair.view} of {pair.key!r} at"
        f" {naive(pair.instant)}"
    )


def test_a_training_set_of_the_questions_says_the_same(
    flights: Flights, spine: list[tuple[Any, ...]]
) -> None:
    with ControlPlane(flights.folder) as project:
        created = project.create_dataset(
            "pairs", service="late_arrival", spine="raw.pairs", time="asked_at"
        )
    assert created.row_count == len(spine) == 1_060
    rows = table_of(flights.folder, f"SELECT * FROM {created.table} ORDER BY rowid")
    by_number = {pair.number: pair for pair in flights.pairs}
    for given, row in zip(spine, rows, strict=True):
        number, origin, carrier, tailnum, instant, remark = given
        pair = by_number[number]
        kept = {
            "origin": origin,
            "carrier": carrier,
            "tailnum": tailnum,
            "asked_at": instant,
            "remark": remark,
        }
        expected = {"number": number, **kept, **vector(flights.oracle, pair.keys, instant)}
        assert row == expected, describe(pair)
        assert list(row) == list(expected)


SHARES = {
    "airport_delays__dep_delay_mean_1h": (0.80, 0.95),
    "airport_delays__dep_delay_mean_24h": (0.99, 1.0),
    "carrier_delays__dep_delay_mean_6h": (0.80, 0.97),
    "carrier_delays__dep_delay_mean_7d": (0.99, 1.0),
    "airport_weather__temp": (0.98, 1.0),
    "aircraft_last_flight__origin": (0.95, 0.995),
    "aircraft_registry__manufacturer": (0.82, 0.86),
}


def test_a_training_set_of_all_flights(flights: Flights, training_set: str) -> None:
    created, *without_values = training_set.splitlines()
    assert created == 'created "datasets"."late_2013__v1" with 336,776 rows'
    assert [line.partition(" rows have a null key")[0] for line in without_values] == [
        "feature view 'aircraft_last_flight': 2,512",
        "feature view 'aircraft_registry': 2,512",
    ]
    rows = table_of(
        flights.folder,
        "SELECT flight_id, origin, carrier, tailnum, dest, scheduled_at, predict_at, arrived_late "
        "FROM datasets.late_2013__v1 ORDER BY rowid",
    )
    assert rows == [
        {
            "flight_id": flight.flight_id,
            "origin": flight.origin,
            "carrier": flight.carrier,
            "tailnum": flight.tailnum,
            "dest": flight.dest,
            "scheduled_at": flight.scheduled,
            "predict_at": flight.scheduled - 2 * HOUR,
            "arrived_late": None if flight.arr_delay is None else flight.arr_delay > 15,
        }
        for flight in flights.oracle.flights
    ]
    names = list(vector(flights.oracle, {"origin": None, "carrier": None, "tailnum": None}, NOW))
    shares = ", ".join(f"count({name}) / count(*) AS {name}" for name in names)
    [share] = table_of(flights.folder, f"SELECT {shares} FROM datasets.late_2013__v1")
    for name in names:
        low, high = SHARES.get(name, (0.7, 1.0))
        assert low <= share[name] <= high, f"{name}: {share[name]:.4f} of all rows are not null"
    dice = random.Random(asked.SEED)
    sample = {flight.flight_id: flight for flight in dice.sample(flights.oracle.flights, 500)}
    features = table_of(
        flights.folder,
        f"SELECT * FROM datasets.late_2013__v1 WHERE flight_id IN ({', '.join(map(str, sample))})",
    )
    assert len(features) == 500
    for row in features:
        flight = sample[row["flight_id"]]
        keys = {"origin": flight.origin, "carrier": flight.carrier, "tailnum": flight.tailnum}
        expected = vector(flights.oracle, keys, flight.scheduled - 2 * HOUR)
        assert {name: row[name] for name in expected} == expected, flight


def entities(oracle: Oracle) -> list[dict[str, str | None]]:
    """All airports, all carriers, 200 aircraft; among them unknown ones and null."""
    dice = random.Random(asked.SEED)
    registered = {plane.tailnum for plane in oracle.planes}
    flown = set(oracle.keys("aircraft_last_flight"))
    tails = [
        *dice.sample(sorted(registered & flown), 120),
        *dice.sample(sorted(flown - registered), 70),
    ]
    tailnums: list[str | None] = [*tails, *(f"N0T{number}" for number in range(8)), None, ""]
    origins: list[str | None] = [*sorted(oracle.keys("airport_delays")), "LAX", None]
    carriers: list[str | None] = [*sorted(oracle.keys("carrier_delays")), "ZZ", None]
    return [
        {
            "origin": origins[i % len(origins)],
            "carrier": carriers[i % len(carriers)],
            "tailnum": tailnum,
        }
        for i, tailnum in enumerate(tailnums)
    ]


def test_redis_says_what_was_last_computed(flights: Flights) -> None:
    oracle, requests = flights.oracle, entities(flights.oracle)
    assert len(requests) == 200
    with ControlPlane(flights.folder) as project:
        found = project.reader("late_arrival").get(requests)
    counted = dict.fromkeys(Status, 0)
    for request, read in zip(requests, found, strict=True):
        assert {name: plain(value) for name, value in read.items()} == vector(
            oracle, request, NOW
        ), request
        for status in read.statuses.values():
            counted[status] += 1
        for view, entity in ENTITY.items():
            name, key = f"{view}__{SERVICE[view][0]}", request[entity]
            # Reports end on 30 December.
            known, forgotten = (
                key in oracle.keys(view),
                view == "airport_weather",
            )
            assert (read.status(name) is not Status.MISSING) == known
            assert (read.status(name) is Status.EXPIRED) == (known and forgotten)
            since = read.effective_time(name)
            if since is not None and not forgotten:
                assert micros(since) <= NOW
                assert oracle.values(view, key, micros(since)) == oracle.values(view, key, NOW)
    assert min(counted.values()) > 0, counted


def test_the_client_reads_the_same(flights: Flights) -> None:
    client = FeatureClient(flights.folder)
    try:
        for request in entities(flights.oracle)[:20]:
            read = client.get("late_arrival", request)
            assert {name: plain(value) for name, value in read.items()} == vector(
                flights.oracle, request, NOW
            )
    finally:
        client.close()


DECEMBER = """
[environments.december]
schema = "december"
now = "2013-12-30T23:59:59Z"
warehouse = { kind = "duckdb", path = ".plane/warehouse.duckdb" }
online = { kind = "redis", embedded = true }
state = "sqlite:///.plane/december.db"
"""


def test_weather_expires_in_redis_at_the_instant_at_which_training_forgets_it(
    flights: Flights,
) -> None:
    with (flights.folder / "plane.toml").open("a") as settings:
        settings.write(DECEMBER)
    now = at("2013-12-30T23:59:59")
    # When the report of 22 o'clock became visible: the last one by then.
    last = at("2013-12-30T23:15:00")
    edges = [lambda: aware(last + 6 * HOUR - 1), lambda: aware(last + 6 * HOUR)]
    with ControlPlane(flights.folder, "december") as project:
        project.deploy()
        project.run(["airport_weather"])
        before = project.project.clock()
        requests = [
            {"origin": origin, "carrier": None, "tailnum": None}
            for origin in ("EWR", "JFK", "LGA", "LAX")
        ]
        found = project.reader("late_arrival").get(requests)
        online = project.project.online_config() or {}
        edge = [
            OnlineReader(store_of(project), project.layout("late_arrival"), clock)
            for clock in edges
        ]
        at_the_edge = [reader.get(requests[0]).status("airport_weather__temp") for reader in edge]
    for request, read in zip(requests, found, strict=True):
        assert {name: plain(value) for name, value in read.items()} == {
            **vector(flights.oracle, dict.fromkeys(request), now),
            **{
                f"airport_weather__{name}": value
                for name, value in flights.oracle.values(
                    "airport_weather", request["origin"], now
                ).items()
            },
        }
    assert [read.effective_time("airport_weather__temp") for read in found[:3]] == [aware(last)] * 3
    assert at_the_edge == [Status.PRESENT, Status.EXPIRED]
    with redis.Redis.from_url(online["url"], password=online.get("password")) as server:
        keys = list(server.scan_iter("flights.december:airport_weather:*"))
        expiries = [int(server.pexpiretime(key)) * 1_000 for key in keys]
    assert len(keys) == 3
    for expiry in expiries:
        # A clock that was set back by the years since: what is left to live is left in true time,
        # too.
        assert abs(expiry - micros(before) - (last + 6 * HOUR - now)) < MINUTE


def aware(instant: int) -> datetime:
    return naive(instant).replace(tzinfo=UTC)


def store_of(project: ControlPlane) -> OnlineStore:
    store = project.project.store
    assert store is not None
    return store
