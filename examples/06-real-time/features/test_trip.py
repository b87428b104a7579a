"""Test the realtime feature's values, and that training and serving return the same values."""

from datetime import UTC, datetime

from trip import expected_delay, trip

from controlplane.testing import expect_parity

MORNING = datetime(2013, 3, 5, 14, tzinfo=UTC)
EVENING = datetime(2013, 3, 5, 23, tzinfo=UTC)
COLUMNS = {"departures": {"origin": "string", "departed_at": "timestamp", "dep_delay": "int64"}}


def test_expected_delay():
    delay = expected_delay.function
    assert delay(20.0, 10.0, 1000, MORNING) == 20.0 + 2.0 - 5.0
    assert delay(20.0, None, 4000, EVENING) == 20.0 + 5.0 - 10.0
    assert delay(None, None, 1000, MORNING) is None


def test_training_is_serving():
    expect_parity(trip, columns=COLUMNS)
