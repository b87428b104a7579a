"""Timestamps of other units than microseconds on DuckDB: read as microseconds, what is finer is cut
off."""

from __future__ import annotations

import pytest

from controlplane import Aggregate, Attribute
from tests.engine.rig import Rig, micros
from tests.engine.test_edges import subject_of

DAY = 86_400_000_000
START = micros("1969-12-31")


@pytest.mark.parametrize(
    "kind", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"]
)
def test_b21_event_times_of_every_unit_are_read(kind):
    view = subject_of(
        Aggregate("count", windows=["1d"]),
        Attribute("seen", "timestamp", column="ts"),
        start="1969-12-31",
    )
    with Rig(view, {"k": "VARCHAR", "ts": kind}) as rig:
        rig.run(
            "INSERT INTO raw.events VALUES ('a', '1969-12-31 23:59:59'), ('b', '1970-01-01"
            " 00:00:00'), ('c', '1970-01-01 23:59:59')"
        )
        rig.materialize(START, START + DAY)
        rig.materialize(START + DAY, START + 2 * DAY)
        asked = [([k], START + 2 * DAY) for k in "abc"]
        found = rig.training_set(asked)
        assert [row["count_1d"] for row in found] == [0, 1, 1]
        assert [row["seen"] for row in found] == [
            micros(f"19{at}") for at in ("69-12-31T23:59:59", "70-01-01", "70-01-01T23:59:59")
        ]
        assert rig.training_set(asked, from_source=True) == found


def test_b21_the_last_nanosecond_of_a_day_is_of_that_day():
    """A cast would round it into the next day."""
    view = subject_of(Aggregate("count", windows=["1d"]), start="1969-12-31")
    with Rig(view, {"k": "VARCHAR", "ts": "TIMESTAMP_NS"}) as rig:
        rig.run(
            "INSERT INTO raw.events VALUES ('a', '1969-12-31 23:59:59.999999999'), "
            "('b', '1970-01-01 23:59:59.999999999')"
        )
        rig.materialize(START, START + DAY)
        rig.materialize(START + DAY, START + 2 * DAY)
        asked = [([k], START + day * DAY) for k in "ab" for day in (1, 2)]
        found = [row["count_1d"] for row in rig.training_set(asked)]
        assert found == [1, 0, 0, 1]
        assert [row["count_1d"] for row in rig.training_set(asked, from_source=True)] == found
