"""Values that their types don't hold, and sums that no type holds: the same words on every
warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import Aggregate, Attribute, Calculation, RequestSource
from controlplane.base.ports import Warehouse
from controlplane.errors import CheckFailed, PermanentError
from controlplane.verify import verify
from controlplane.workspace.connectors import open_calculator
from tests.engine.engines import empty
from tests.engine.parity import opened
from tests.engine.rig import NOW, Rig, micros
from tests.engine.test_edges import subject_of

DAY = 86_400_000_000
START = micros("2024-01-01")
LARGEST = 2**63 - 1
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT"}


@pytest.fixture(params=["duckdb", "snowflake", "databricks"])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """Each of the warehouses, empty."""
    if request.param == "duckdb":
        embedded = connect(path=":memory:")
        yield embedded
        embedded.close()
        return
    endpoint = request.getfixturevalue("databricks") if request.param == "databricks" else None
    with opened(request.param, endpoint) as (found, _):
        try:
            yield found
        finally:
            empty(found)


def row(hour: int, k: str = "a", **values: Any) -> dict[str, Any]:
    return {"k": k, "ts": datetime(2024, 1, 1, hour), **values}  # noqa: DTZ001 - as the embedded warehouse has them


def test_a6_a_sum_beyond_int64_is_an_error_that_names_view_feature_and_key(warehouse):
    rows = [row(1, amt=LARGEST), row(2, amt=LARGEST), row(3, "b", amt=1)]
    view = subject_of(Aggregate("sum", "amt", windows=["1d", "2d"]))
    rig = Rig(view, COLUMNS, warehouse=warehouse, rows=rows)
    named = r"feature view 'subject', feature 'amt_sum_1d' \(int64\): 18446744073709551614 for k = a is out of range"
    with pytest.raises(CheckFailed, match=named) as caught:
        rig.materialize(START, START + DAY)
    assert "2**63" in caught.value.hint
    assert rig.table("history") == rig.table("latest") == []
    with pytest.raises(CheckFailed, match=named):
        rig.training_set([(["a"], START + DAY)], from_source=True)
    # The interval is healed by correct rows.
    rig.replace([row(1, amt=LARGEST), row(3, "b", amt=1)])
    rig.materialize(START, START + DAY)
    assert {one["k"]: one["amt_sum_1d"] for one in rig.table("latest")} == {"a": LARGEST, "b": 1}


def test_a6_a7_sums_and_means_of_what_no_int64_holds_on_the_way_are_exact(warehouse):
    """Parts of a sum beyond its type.

    Means where no sum is, of integers of both signs, of decimals.
    """
    columns = {**COLUMNS, "part": "BIGINT", "big": "DECIMAL(38,1)"}
    view = subject_of(
        Aggregate("sum", "part", windows=["1d"]),
        Aggregate("mean", "amt", windows=["1d"]),
        Aggregate("mean", "big", windows=["1d", "2d"]),
    )
    rows = [row(hour, part=part) for hour, part in enumerate([LARGEST, LARGEST, -LARGEST], 1)]
    large = 1_704_067_200_000_000_000
    rows += [row(hour, "b", amt=large + hour, big=Decimal(9 * 10**36)) for hour in range(6)]
    signs = [LARGEST, LARGEST, -LARGEST, -LARGEST, 4]
    rows += [row(hour, "c", amt=amt) for hour, amt in enumerate(signs, 1)]
    rig = Rig(view, columns, warehouse=warehouse, rows=rows)
    rig.materialize(START, START + DAY)
    spine = [([k], START + DAY) for k in "abc"]
    for from_source in (False, True):
        a, b, c = rig.training_set(spine, from_source=from_source)
        assert a["part_sum_1d"] == LARGEST
        assert b["amt_mean_1d"] == pytest.approx(large + 2.5, rel=1e-15)
        assert b["big_mean_1d"] == b["big_mean_2d"] == pytest.approx(9e36, rel=1e-15)
        assert c["amt_mean_1d"] == 0.8


def test_a6_a_sum_of_decimals_beyond_38_digits_names_view_and_features(warehouse):
    """The warehouse's own message names no column: the sums that may overflow are listed."""
    columns = {**COLUMNS, "big": "DECIMAL(38,2)", "wide": "DECIMAL(29,1)", "cost": "DECIMAL(28,2)"}
    alone = [Aggregate("sum", "big", windows=["1d"])]
    others = [
        *(Aggregate("sum", name, windows=["1d"]) for name in ("amt", "cost", "wide")),
        *(Aggregate(name, "big", windows=["1d"]) for name in ("mean", "max", "var_pop")),
    ]
    values: dict[str, Any] = {"amt": 1, "wide": Decimal(1), "cost": Decimal(1)}
    huge = Decimal(9 * 10**35)
    for features, names in (
        (alone, "the sum of feature 'big_sum_1d'"),
        (alone + others, "the sum of feature 'big_sum_1d' or 'wide_sum_1d'"),
    ):
        rows = [row(hour, big=huge, **values) for hour in (1, 1, 2)]
        rig = Rig(subject_of(*features), columns, warehouse=warehouse, rows=rows)
        with pytest.raises(PermanentError) as caught:
            rig.materialize(START, START + DAY)
        assert f"feature view 'subject': {names} has more than 38 digits" in caught.value.message
        assert "float64" in caught.value.hint
        assert "ansi" not in str(caught.value)  # Spark's own remedy makes such a sum null
        assert rig.table("history") == rig.table("latest") == []
        with pytest.raises(PermanentError) as caught:
            rig.training_set([(["a"], START + DAY)], from_source=True)
        joined = names.replace("'big", "'subject__big").replace("'wide", "'subject__wide")
        assert f"training set 'looks': {joined} has more than 38 digits" in caught.value.message
        # A sum that cannot overflow stays the same, also next to one that could.
        rig.replace([row(1, big=Decimal(1), **values)])
        rig.materialize(START, START + DAY)
        assert [one["big_sum_1d"] for one in rig.table("latest")] == [1]
        empty(warehouse)


@pytest.mark.parametrize("part", ["key", "attribute", "input"])
def test_a6_wider_integers_of_snowflake_are_found_in_the_run(part):
    """Rows of 20 digits as a key, as a row feature and as what is aggregated."""
    columns = {"k": "BIGINT", "ts": "TIMESTAMP", "amt": "BIGINT"}
    rows = [row(1, amt=5) | {"k": 1}, row(2, amt=6) | {"k": 2}]
    rows[1]["k" if part == "key" else "amt"] = 10**19
    feature = (
        Attribute("amt", "int64")
        if part == "attribute"
        else Aggregate("max", "amt", windows=["1d"])
    )
    label = r"key 'k'" if part == "key" else r"column 'amt'"
    with opened("snowflake") as (found, _):
        rig = Rig(subject_of(feature, keys={"k": "int64"}), columns, warehouse=found, rows=rows)
        message = (
            rf"feature view 'subject'.*{label} \(int64\) in 1 rows, such as 1{'0' * 19} for k = "
        )
        with pytest.raises(CheckFailed, match=message):
            rig.materialize(START, START + DAY)
        assert rig.head().version == 0
        assert rig.table("latest") == []
        with pytest.raises(
            CheckFailed, match=rf"feature view 'subject', {label} \(int64\): 1{'0' * 19} for k = "
        ):
            rig.training_set([([1], START + DAY)], from_source=True)


def test_a6_a_calculation_beyond_int64_is_an_error_of_the_training_set(warehouse):
    added = [
        Calculation("twice", "int64", "subject__amt * 2"),
        Calculation("more", "int64", "twice + given"),
    ]
    request = RequestSource("offer", fields={"given": "int64"})
    rig = Rig(
        subject_of(Attribute("amt", "int64")),
        COLUMNS,
        warehouse=warehouse,
        rows=[row(1, amt=LARGEST // 2), row(1, "b", amt=LARGEST // 2 + 1)],
        calculations=added,
        request=request,
    )
    rig.materialize(START, START + DAY)
    [found] = rig.training_set([(["a"], START + DAY)], request=[{"given": 1}])
    assert (found["twice"], found["more"]) == (LARGEST - 1, LARGEST)
    for key, given, name in (("a", 2, "more"), ("b", 1, "twice")):
        with pytest.raises(PermanentError) as caught:
            rig.training_set([([key], START + DAY)], request=[{"given": given}])
        if warehouse.dialect == "snowflake":
            named = f"feature service 'all', calculation '{name}' (int64): 9223372036854775808 is out of range"
            assert named in caught.value.message


def test_a6_a_request_field_beyond_int64_is_an_error_of_the_training_set():
    request = RequestSource("offer", fields={"given": "int64"})
    with opened("snowflake") as (found, _):
        rig = Rig(
            subject_of(Attribute("amt", "int64")),
            COLUMNS,
            warehouse=found,
            rows=[row(1, amt=1)],
            request=request,
        )
        rig.materialize(START, START + DAY)
        named = (
            r"training set .*, request field 'given' \(int64\): 9223372036854775808 is out of range"
        )
        with pytest.raises(CheckFailed, match=named):
            rig.training_set([(["a"], START + DAY)], request=[{"given": LARGEST + 1}])


ENDLESS = ("infinity", "-infinity", "10000-01-01")


@pytest.mark.parametrize("value", ENDLESS)
@pytest.mark.parametrize("kind", ["timestamp", "date"])
@pytest.mark.parametrize("part", ["key", "attribute", "input"])
def test_a8_infinite_times_are_refused_by_the_run(kind, part, value):
    view = subject_of(
        Aggregate("max", "x", windows=["1d"]) if part == "input" else Attribute("x", kind),
        keys={"k": kind if part == "key" else "string"},
        sql="SELECT CAST(k AS "
        + (kind if part == "key" else "VARCHAR")
        + ") AS k, ts, x FROM {events}",
    )
    with Rig(view, {"k": "VARCHAR", "ts": "TIMESTAMP", "x": kind.upper()}) as rig:
        k, x = (value, "2024-01-01") if part == "key" else ("2024-01-01", value)
        rig.run(
            f"INSERT INTO raw.events VALUES ('2024-02-02', TIMESTAMP '2024-01-01 01:00', {kind} '2024-01-01')"
        )
        rig.run(
            f"INSERT INTO raw.events VALUES ('{k}', TIMESTAMP '2024-01-01 02:00', {kind} '{x}')"
        )
        label = "key 'k'" if part == "key" else "column 'x'"
        with pytest.raises(
            CheckFailed, match=rf"feature view 'subject'.*{label} \({kind}\) in 1 rows"
        ) as caught:
            rig.materialize(START, START + DAY)
        assert "9999" in caught.value.hint
        assert rig.head().version == 0
        if part != "key":
            with pytest.raises(
                CheckFailed,
                match=rf"feature view 'subject', {label} \({kind}\): .* for k = 2024-01-01",
            ):
                rig.training_set([(["2024-01-01"], START + DAY)], from_source=True)
            # Its rows are right.
            rig.training_set([(["2024-02-02"], START + DAY)], from_source=True)


def test_a8_infinite_event_times_are_refused_by_the_run():
    with Rig(subject_of(Aggregate("count", windows=["1d"])), COLUMNS, rows=[row(1, amt=1)]) as rig:
        rig.run(
            "INSERT INTO raw.events VALUES ('b', TIMESTAMP 'infinity', 1), ('c', TIMESTAMP '-infinity', 1)"
        )
        with pytest.raises(
            CheckFailed,
            match=r"feature view 'subject': 2 rows of raw.events have an infinite event",
        ):
            rig.materialize(START, START + DAY)
    sql, bounds = "SELECT k, ts AS seen_at, until AS ts FROM {events}", ("0s", "1d")
    view = subject_of(
        Aggregate("count", windows=["1d"]), sql=sql, timestamp="ts", event_time_bounds=bounds
    )
    until = datetime(2024, 1, 1)  # noqa: DTZ001 - as the embedded warehouse has it
    with Rig(view, {**COLUMNS, "until": "TIMESTAMP"}, rows=[row(1, until=until)]) as rig:
        rig.run(
            "INSERT INTO raw.events VALUES ('b', TIMESTAMP '2024-01-01 01:00', 1, TIMESTAMP 'infinity')"
        )
        with pytest.raises(
            CheckFailed,
            match=r"event time 'ts' \(timestamp\) in 1 rows, such as infinity for k = b",
        ):
            rig.materialize(START, START + DAY)


def test_a8_infinite_values_that_a_view_does_not_read_do_not_matter():
    with Rig(
        subject_of(Aggregate("count", windows=["1d"])), {**COLUMNS, "until": "TIMESTAMP"}
    ) as rig:
        rig.run(
            "INSERT INTO raw.events VALUES ('b', TIMESTAMP '2024-01-01 01:00', 1, TIMESTAMP 'infinity')"
        )
        rig.materialize(START, START + DAY)
        assert [one["count_1d"] for one in rig.table("latest")] == [1]


@pytest.mark.parametrize("kind", ["timestamp", "date"])
def test_a8_verify_names_infinite_values(kind):
    x = kind.upper()
    view = subject_of(Attribute("x", x.lower()), Aggregate("max", "x", windows=["1d"]))
    with Rig(view, {"k": "VARCHAR", "ts": "TIMESTAMP", "x": x}) as rig:
        rig.run("INSERT INTO raw.events VALUES ('a', TIMESTAMP '2024-01-01 01:00', '2024-01-01')")
        rig.materialize(START, START + DAY)
        rig.run("INSERT INTO raw.events VALUES ('a', '2024-01-01 02:00', 'infinity')")
        with pytest.raises(
            CheckFailed, match="view 'subject': 'x' has values that are infinite or beyond"
        ):
            verify(
                rig.manifest,
                rig.warehouse,
                lambda: None,
                open_calculator,
                now=lambda: NOW,
                cases=20,
                seed=1,
            )


def test_a7_verify_agrees_on_sums_and_means_that_are_beyond_a_type():
    view = subject_of(
        Aggregate("mean", "amt", windows=["1d"]), Aggregate("mean", "x", windows=["1d"])
    )
    rows = [row(hour, amt=LARGEST - hour, x=1.7e308) for hour in range(6)]
    with Rig(view, {**COLUMNS, "x": "DOUBLE"}, rows=rows) as rig:
        rig.materialize(START, START + DAY)
        found = verify(
            rig.manifest,
            rig.warehouse,
            lambda: None,
            open_calculator,
            now=lambda: NOW,
            cases=20,
            seed=1,
        )
        assert [one.mismatches for one in found.views] == [[]]
