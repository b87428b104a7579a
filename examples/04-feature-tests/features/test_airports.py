"""Compare the features with values that were computed by hand.

These tests need only pytest: no warehouse, no Redis and no Airflow.
"""

import pytest
from airports import aircraft_last_seen, airport_delays, airport_weeks

from controlplane.errors import CheckFailed
from controlplane.testing import given

DEPARTURES = [
    {"origin": "JFK", "departed_at": "2013-01-01 00:10", "dep_delay": 5.0, "tailnum": "N1"},
    {
        "origin": "JFK",
        "departed_at": "2013-01-01 00:59:59.999999",
        "dep_delay": 25.0,
        "tailnum": "N2",
    },
    {"origin": "JFK", "departed_at": "2013-01-01 01:00", "dep_delay": None, "tailnum": "N1"},
]


def test_an_hour_is_seen_when_it_is_over_and_its_rows_have_settled():
    with given(airport_delays, departures=DEPARTURES) as features:
        features.expect(
            [
                {
                    "origin": "JFK",
                    "at": "2013-01-01 01:29",
                    "count_1h": 0,
                    "dep_delay_mean_1h": None,
                },
                {
                    "origin": "JFK",
                    "at": "2013-01-01 01:30",
                    "count_1h": 2,
                    "dep_delay_mean_1h": 15.0,
                },
                # The flight at 01:00 belongs to the next hour. Its delay is null, so it counts in
                # no mean.
                {
                    "origin": "JFK",
                    "at": "2013-01-01 02:30",
                    "count_1h": 1,
                    "dep_delay_mean_1h": None,
                    "count_24h": 3,
                },
                {
                    "origin": "JFK",
                    "at": "2013-01-02 02:30",
                    "count_1h": 0,
                    "count_24h": 0,
                    "late_24h": 0,
                },
            ]
        )


def test_only_late_departures_are_late():
    with given(airport_delays, departures=DEPARTURES) as features:
        assert features.at("2013-01-01 12:00", origin="JFK")["late_24h"] == 1
        assert features.at("2013-01-01 12:00", origin="EWR")["late_24h"] == 0


def test_an_aircraft_is_forgotten_after_six_hours():
    planes = [{"tailnum": "N1", "seats": 150}]
    with given(aircraft_last_seen, departures=DEPARTURES, planes=planes) as features:
        assert features.at("2013-01-01 08:29", tailnum="N1") == {"origin": "JFK", "seats": 150}
        assert features.at("2013-01-01 08:30", tailnum="N1") == {"origin": None, "seats": None}
        # The registry does not contain this aircraft.
        assert features.at("2013-01-01 03:00", tailnum="N2") == {"origin": "JFK", "seats": None}


def test_a_view_on_a_view_is_computed_with_the_one_that_it_reads():
    with given(airport_weeks, airport_delays, departures=DEPARTURES) as features:
        assert features.at("2013-01-02 00:30", origin="JFK") == {"worst_day_7d": 1}


def test_a_view_on_a_view_alone():
    changes = [
        {"origin": "JFK", "valid_from": "2013-01-01 01:30", "late_24h": 12},
        {"origin": "JFK", "valid_from": "2013-01-01 02:30", "late_24h": 7},
    ]
    with given(airport_weeks, delays=changes) as features:
        assert features.at("2013-01-08 00:29", origin="JFK") == {"worst_day_7d": 12}


def test_an_airport_that_is_none_is_refused():
    wrong = [{**DEPARTURES[0], "origin": "JKF"}]
    with (
        given(airport_delays, departures=wrong, expectations=True) as features,
        pytest.raises(CheckFailed, match=r"one_of\(origin\): 1 of 1 fail \(JKF\)"),
    ):
        features.at("2013-01-01 01:30", origin="JKF")
