"""Feature views tested as their authors would test them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Entity,
    FeatureService,
    batch_feature_view,
    calculation,
    expect,
)
from controlplane.errors import CheckFailed, PlaneError, Problems
from controlplane.testing import expect_parity, given

airport = Entity("airport", keys={"origin": "string"}, owner="ops")
departures = BatchSource(
    "departures",
    table="raw.departures",
    timestamp="departed_at",
    settling_delay="30m",
    expectations=[expect.not_null("tailnum")],
)
delays = BatchSource(
    "delays", table="features.airport_delays", timestamp="valid_from", settling_delay="30m"
)
airports = BatchSource("airports", table="lake.raw.airports")


@batch_feature_view(
    entities=[airport],
    sources=[departures],
    schedule="1h",
    start="2013-01-01",
    features=[
        Aggregate("count", windows=["1h", "2h"]),
        Aggregate("mean", "dep_delay", windows=["1h"]),
        Aggregate("last_n", "dep_delay", windows=["2h"], n=2),
        Attribute("last_seen", "timestamp", column="departed_at"),
    ],
    expectations=[expect.between("dep_delay", high=60)],
    owner="ops",
)
def airport_delays(departures):
    return f"SELECT origin, departed_at, dep_delay FROM {departures}"


@batch_feature_view(
    entities=[airport],
    sources=[delays, airports],
    schedule="1d",
    start="2013-01-01",
    features=[Aggregate("max", "count_2h", windows=["1d"]), Attribute("city", "string")],
    owner="ops",
)
def airport_days(delays, airports):
    return (
        f"SELECT d.origin, valid_from, count_2h, city FROM {delays} AS d LEFT JOIN {airports} AS a"
        " USING (origin)"
    )


ROWS: list[dict[str, Any]] = [
    {"origin": "JFK", "departed_at": "2013-01-01 00:10", "dep_delay": 5},
    {"origin": "JFK", "departed_at": datetime(2013, 1, 1, 1, 20, tzinfo=UTC), "dep_delay": 6.5},
    {"origin": "LGA", "departed_at": "2013-01-01T02:00:00-05:00", "dep_delay": None},
]
FIRST = datetime(2013, 1, 1, 0, 10, tzinfo=UTC)


def test_features_at_an_instant() -> None:
    with given(airport_delays, departures=ROWS) as features:
        nothing: dict[str, Any] = {
            "count_1h": 0,
            "count_2h": 0,
            "dep_delay_mean_1h": None,
            "dep_delay_last_2_2h": [],
            "last_seen": None,
        }
        assert features.at("2013-01-01 02:29:59", origin="JFK") == {
            "count_1h": 1,
            "count_2h": 1,
            "dep_delay_mean_1h": 5.0,
            "dep_delay_last_2_2h": [5.0],
            "last_seen": FIRST,
        }
        # Asked for an earlier instant, it answers as of then.
        assert features.at(datetime(2013, 1, 1, 1, 29), origin="JFK") == nothing  # noqa: DTZ001 - naive is UTC
        assert features.at("2013-01-01 02:30", origin="JFK")["dep_delay_last_2_2h"] == [5.0, 6.5]
        assert features.at("2012-01-01", origin="JFK") == nothing
        assert features.at("2013-01-02", origin=None) == nothing
        assert features.at("2013-01-01 08:30", origin="LGA")["count_1h"] == 1
        [row, _] = features.rows(origin="JFK")
        visible = datetime(2013, 1, 1, 1, 30, tzinfo=UTC)
        assert row == {
            "origin": "JFK",
            "departed_at": FIRST,
            "dep_delay": 5.0,
            "visible_at": visible,
        }


def test_what_is_as_expected_passes_and_the_rest_is_told_at_once() -> None:
    with given(airport_delays, departures=ROWS) as features:
        right: list[dict[str, Any]] = [
            {
                "origin": "JFK",
                "at": "2013-01-01 02:30",
                "count_2h": 2,
                "dep_delay_mean_1h": 6.5 + 1e-12,
            },
            {"origin": "JFK", "at": "2013-01-01 02:30", "dep_delay_last_2_2h": (5, 6.5)},
            {"origin": "JFK", "at": "2013-01-01 01:30", "last_seen": "2013-01-01 00:10"},
            {"origin": "EWR", "at": "2013-01-01 01:30", "count_1h": 0, "last_seen": None},
        ]
        features.expect(right)
        with pytest.raises(AssertionError) as raised:
            features.expect(
                [
                    *right,
                    {
                        "origin": "JFK",
                        "at": "2013-01-01 01:30",
                        "count_1h": 2,
                        "count_2h": 1,
                        "last_seen": "2013-01-02",
                    },
                    {"origin": "EWR", "at": "2013-01-01 01:30", "count_1h": 1},
                ]
            )
    assert (
        str(raised.value)
        == """2 of 6 expected rows differ

origin=JFK at 2013-01-01T01:30:00Z
  count_1h   expected 2, is 1  (window [2013-01-01T00:00:00Z, 2013-01-01T01:00:00Z))
  last_seen  expected '2013-01-02', is 2013-01-01T00:10:00Z
  rows of this entity (* not visible yet):
     origin  departed_at           dep_delay  visible_at
     'JFK'   2013-01-01T00:10:00Z  5.0        2013-01-01T01:30:00Z
  *  'JFK'   2013-01-01T01:20:00Z  6.5        2013-01-01T02:30:00Z

origin=EWR at 2013-01-01T01:30:00Z
  count_1h  expected 1, is 0  (window [2013-01-01T00:00:00Z, 2013-01-01T01:00:00Z))
  the view's SQL returns no rows of this entity"""
    )


def test_a_view_on_a_view_and_a_table_without_time() -> None:
    cities = [{"origin": "JFK", "city": "New York"}]
    with given(airport_days, airport_delays, departures=ROWS, airports=cities) as features:
        assert features.at("2013-01-02 00:30", origin="JFK") == {
            "count_2h_max_1d": 2,
            "city": "New York",
        }
    # The same with the upstream view's table as it is given.
    door = [{"origin": "JFK", "valid_from": "2013-01-01 05:00", "count_2h": 7}]
    with given(airport_days, delays=door, airports=cities) as features:
        assert features.at("2013-01-02 00:30", origin="JFK") == {
            "count_2h_max_1d": 7,
            "city": "New York",
        }


def test_expectations_are_checked_where_that_is_asked_for() -> None:
    late = [{**row, "tailnum": None, "dep_delay": 61.0} for row in ROWS]
    with given(
        airport_delays, departures=late, columns={"departures": {"tailnum": "string"}}
    ) as features:
        assert features.at("2013-01-01 02:30", origin="JFK")["count_2h"] == 2
    columns = {"departures": {"tailnum": "string"}}
    with (
        given(airport_delays, departures=late, columns=columns, expectations=True) as features,
        pytest.raises(
            CheckFailed, match=r"2 expectations are not met.*not_null\(tailnum\): 1 of 1 fail"
        ),
    ):
        features.at("2013-01-01 01:30", origin="JFK")


VALUES = {
    "b": (True, "bool"),
    "i": (2**62, "int64"),
    "f": (float("inf"), "float64"),
    "s": ("it's {{", "string"),
    "x": (b"\x00'", "binary"),
    "y": (date(2013, 1, 1), "date"),
    "u": (datetime(2013, 1, 1, 0, 0, 0, 1, tzinfo=UTC), "timestamp"),
    "d": (Decimal("1.50"), "decimal(38,2)"),
    "a": (["x", "y"], "array<string>"),
}


@pytest.mark.parametrize("told", [False, True])
def test_values_of_every_type_are_what_they_were(told: bool) -> None:
    source = BatchSource("source", table="raw.source", timestamp="ts")

    @batch_feature_view(
        entities=[airport],
        sources=[source],
        schedule="1d",
        start="2013-01-01",
        features=[Attribute(name, kind) for name, (_, kind) in VALUES.items()],
        owner="ops",
    )
    def subject(source):
        return f"SELECT * FROM {source}"

    values = {name: value for name, (value, _) in VALUES.items()}
    columns = {"source": {name: kind for name, (_, kind) in VALUES.items()}} if told else None
    rows: list[dict[str, Any]] = [
        {"origin": "JFK", "ts": "2013-01-01", **values},
        {"origin": "LGA", "ts": "2013-01-01"},
    ]
    with given(subject, source=rows, columns=columns) as features:
        assert features.at("2013-01-02", origin="JFK") == values
        assert features.at("2013-01-02", origin="LGA") == dict.fromkeys(values)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ({}, {}, "source 'departures' has no rows\n  -> pass departures=[...]"),
        (
            {"departures": [], "other": []},
            {},
            "there is no source 'other'\n  -> choose from: departures",
        ),
        (
            {"departures": [{"departed_at": "2013-01-01", "dep_delay": None}]},
            {},
            "has no values, so its type is",
        ),
        ({"departures": [{"dep_delay": 1}, {"dep_delay": "1"}]}, {}, "has values of several types"),
        (
            {"departures": [{"dep_delay": object}]},
            {},
            'which no type can hold\n  -> pass its type: columns={"departures": {',
        ),
        (
            {"departures": [{"departed_at": "yesterday"}]},
            {},
            "'yesterday' is not of type timestamp",
        ),
        ({"departures": [{"x": 1.5}]}, {"departures": {"x": "int64"}}, "1.5 is not of type int64"),
        ({"departures": [{"x": 1.5}]}, {"departures": {"x": "text"}}, "'text' is not a type"),
        (
            {"departures": [{"origin": "JFK", "departed_at": None}]},
            {},
            'column "dep_delay" not found',
        ),
    ],
)
def test_what_is_wrong_is_told(rows, columns, message) -> None:
    with pytest.raises(PlaneError) as raised:
        given(airport_delays, columns=columns, **rows)
    assert message in str(raised.value)


def test_times_of_a_source_whose_timestamp_is_an_expression() -> None:
    """The raw column that it prunes by may be text, as a time column may; a number stays one."""
    clocks = {
        "local": ("at_local AT TIME ZONE 'Asia/Tokyo'", "2013-01-01 10:10"),
        "seconds": ("to_timestamp(n)", 4200),
    }
    for name, (expression, raw_value) in clocks.items():
        column = "at_local" if name == "local" else "n"
        events = BatchSource("events", table="raw.events", timestamp=expression, prune_by=column)

        @batch_feature_view(
            entities=[Entity("thing", keys={"k": "string"}, owner="ops")],
            sources=[events],
            features=[Aggregate("count", windows=["1h"])],
            schedule="1h",
            start="1970-01-01",
            owner="ops",
        )
        def subject(events):
            return f"SELECT k, source_time FROM {events}"

        at = "2013-01-01 02:00" if name == "local" else "1970-01-01 02:00"
        with given(subject, events=[{"k": "a", column: raw_value}]) as features:
            assert features.at(at, k="a") == {"count_1h": 1}


def test_times_of_every_source_over_a_table() -> None:
    begins, ends = (
        BatchSource(name, table="raw.spans", timestamp=name) for name in ("begins", "ends")
    )

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="ops")],
        sources=[begins, ends],
        features=[Attribute("last", "string")],
        schedule="1h",
        start="2013-01-01",
        owner="ops",
    )
    def subject(begins, ends):
        return f"""
            SELECT k, begins, 'began' AS last FROM {begins}
            UNION ALL SELECT k, ends, 'ended' FROM {ends}
        """

    span = {"k": "a", "begins": "2013-01-01 00:10", "ends": "2013-01-01 03:10"}
    with given(subject, ends=[span]) as features:
        assert [features.at(f"2013-01-01 0{hour}:00", k="a")["last"] for hour in (1, 3, 4)] == [
            "began",
            "began",
            "ended",
        ]


def test_parity_over_a_table_of_two_sources_and_a_time_that_is_an_expression() -> None:
    begins = BatchSource("begins", table="raw.spans", timestamp="begins")
    ends = BatchSource("ends", table="raw.spans", timestamp="to_timestamp(ends)", prune_by="ends")

    @batch_feature_view(
        entities=[Entity("thing", keys={"k": "string"}, owner="ops")],
        sources=[begins, ends],
        features=[Attribute("amount", "int64")],
        schedule="1h",
        start="2013-01-01",
        owner="ops",
    )
    def subject(begins, ends):
        return f"""
            SELECT k, begins, amount FROM {begins}
            UNION ALL SELECT k, source_time, 0 FROM {ends}
        """

    twice = calculation("twice", "float64", "subject__amount * 2.0e0")
    service = FeatureService("all", features=[subject, twice], owner="ops")
    columns = {"ends": {"k": "string", "amount": "int64", "ends": "int64"}}
    expect_parity(service, columns=columns, cases=20)


def test_what_is_asked_wrongly_is_told() -> None:
    with given(airport_delays, departures=ROWS) as features:
        with pytest.raises(PlaneError, match="has the keys origin, not carrier"):
            features.at("2013-01-01", carrier="B6")
        with pytest.raises(PlaneError, match="key 'origin': 7 is not of type string"):
            features.at("2013-01-01", origin=7)
        with pytest.raises(PlaneError, match="'noon' is not a time"):
            features.at("noon", origin="JFK")
        with pytest.raises(PlaneError, match="has no time"):
            features.expect([{"origin": "JFK"}])
        with pytest.raises(PlaneError, match="there is no feature 'count_9h'"):
            features.expect([{"origin": "JFK", "at": "2013-01-01", "count_9h": 1}])
    with pytest.raises(Problems) as raised:
        given(airport_days, airport_delays, delays=[], nothing=[])
    assert len(raised.value.problems) == 4
