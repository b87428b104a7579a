"""Realtime features: a Python function gives the same in training and online, and what it does
wrong is told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.duckdb.calculator import prepare
from connectors.redis.store import connect as open_store
from controlplane import Calculation, RealtimeFeature, calculation, realtime_feature
from controlplane.base.ports import Statement
from controlplane.base.types import from_micros
from controlplane.errors import Location, PermanentError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import CalculationSpec, Manifest
from controlplane.online import syncing
from controlplane.plan.actions import UpdateService
from controlplane.plan.diff import diff
from controlplane.serving import OnlineReader, Status
from controlplane.serving.service import service_layout
from controlplane.sql.dialects import DUCKDB
from controlplane.sql.functions import called, create
from controlplane.verify.oracle import same
from controlplane.workspace.project import check_calculations
from tests.engine import cases
from tests.engine.rig import Rig, compiled, plain
from tests.serving.test_requests import AT, EVERY_TYPE, START, requests, rows, subject


@realtime_feature("float64")
def risk(amount, subject__f):
    """How an amount compares."""
    import math

    if subject__f is None or math.isnan(subject__f):
        return None
    return amount * 2 if subject__f == 0 else amount / subject__f


@realtime_feature("decimal(18,2)")
def taxed(subject__d, r_d):
    from decimal import Decimal

    if subject__d is None or r_d is None:
        return None
    return (subject__d * Decimal("1.19") + r_d).quantize(Decimal("0.01"))


@realtime_feature("timestamp")
def later(r_u):
    from datetime import UTC, timedelta, timezone

    if r_u is None:
        return None
    assert r_u.tzinfo is UTC
    return (r_u + timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=5)))


@realtime_feature("array<string>")
def words(r_s, tags, r_x, r_b, r_y, r_i, spread):
    return [None, r_s, *(tags or ()), *(str(one) for one in (r_x, r_b, r_y, r_i, spread))]


spread = calculation("spread", "float64", "risk - subject__f")
CALCULATED: list[Calculation | RealtimeFeature] = [
    risk,
    spread,
    taxed,
    later,
    words,
    calculation("worded", "int64", "len(words)"),
]


def manifest_of(*wanted: RealtimeFeature) -> Manifest:
    with Rig(subject, cases.COLUMNS) as rig:
        return compiled([subject], rig.warehouse, wanted, EVERY_TYPE)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(
        subject, cases.COLUMNS, rows=rows(60), calculations=CALCULATED, request=EVERY_TYPE
    ) as rig:
        rig.materialize(START, AT)
        yield rig


@pytest.fixture
def reader(rig: Rig, valkey_url: str) -> Iterator[OnlineReader]:
    store = open_store(url=valkey_url)
    syncing.sync(
        rig.program,
        rig.warehouse,
        store,
        rig.sql["sync"],
        clock=lambda: datetime.now(UTC),
        full=True,
    )
    layout = service_layout(manifests.from_json(manifests.to_json(rig.manifest)), "all")
    assert layout.calculations is not None
    calculator = prepare(query=layout.calculations.query, functions=layout.calculations.functions)
    yield OnlineReader(store, layout, lambda: from_micros(AT), calculator=calculator)
    calculator.close()
    store.close()


def test_training_and_serving_agree(rig: Rig, reader: OnlineReader) -> None:
    keys, given = [*(f"k{n}" for n in range(60)), "nobody"], requests(61)
    spine = [{**one, "r_u": one["r_u"] and one["r_u"].replace(tzinfo=None)} for one in given]
    online = reader.get([{"k": key} for key in keys], given)
    for from_source in (False, True):
        trained = rig.training_set(
            [([key], AT) for key in keys], request=spine, from_source=from_source
        )
        for key, row, vector in zip(keys, trained, online, strict=True):
            for name in vector:
                assert same(row[name.removeprefix("subject__")], plain(vector[name])), (key, name)
    seen = {one.name: {str(vector[one.name]) for vector in online} for one in CALCULATED}
    assert all(len(values) > 1 for values in seen.values()), seen
    assert {"nan", "-inf", "None"} <= seen["risk"]
    # The function itself, by hand.
    for one, vector in zip(given, online, strict=True):
        assert same(vector["risk"], risk.function(float(one["amount"]), vector["subject__f"]))
        assert vector["taxed"] == taxed.function(vector["subject__d"], one["r_d"])
        assert vector["later"] == later.function(one["r_u"])


def test_how_it_was_found(reader: OnlineReader) -> None:
    found = reader.get({"k": "nobody"}, {"amount": 1.0, "r_u": datetime(2024, 1, 1, tzinfo=UTC)})
    assert (found["risk"], found.status("risk")) == (None, Status.MISSING)
    assert (found["later"], found.status("later")) == (
        datetime(2024, 1, 1, 0, 0, 0, 1, UTC),
        Status.PRESENT,
    )
    assert found["words"][-1] == "None"


def test_threads_share_a_reader(reader: OnlineReader) -> None:
    def risk_of(number: int) -> Any:
        return reader.get({"k": f"k{number % 60}"}, {"amount": float(number)})["risk"]

    expected = [repr(risk_of(number)) for number in range(120)]
    with ThreadPoolExecutor(4) as pool:
        assert [repr(value) for value in pool.map(risk_of, range(120))] == expected


SCHEMA = "features"


def computed(kind: str, python: str, value: Any, given: str = "float64") -> Any:
    """What a function gives for one value, in this process and in the warehouse, which must be the
    same."""
    spec = CalculationSpec("one", kind, "", ("x",), "", Location("f.py", 1), python=python)
    made = create(DUCKDB, SCHEMA, spec, {"x": given})
    lists = f"SELECT unnest(CAST($1 AS {DUCKDB.type(given)}[])) AS x"
    calculator = prepare(
        query=f"SELECT {called(DUCKDB, SCHEMA, spec, {'x': given})} FROM ({lists})",
        functions=[made.sql],
    )
    try:
        [(here,)] = calculator.compute([[value]])
    finally:
        calculator.close()
    return here


@pytest.mark.parametrize(
    ("kind", "python", "told"),
    [
        ("float64", "def one(x):\n    return 1 / (x - x)", "its function raised ZeroDivisionError"),
        (
            "float64",
            "def one(x):\n    raise ValueError(f'secret {x}')",
            "its function raised ValueError",
        ),
        (
            "float64",
            "def one(x):\n    return '1.5'",
            "its function returned a str, which is not float64",
        ),
        (
            "float64",
            "def one(x):\n    return True",
            "its function returned a bool, which is not float64",
        ),
        (
            "int64",
            "def one(x):\n    return 2**63",
            "its function returned a int, which is not int64",
        ),
        ("int64", "def one(x):\n    return x", "its function returned a float, which is not int64"),
        (
            "decimal(4,2)",
            "def one(x):\n    return x",
            "its function returned a float, which is not decimal(4,2)",
        ),
        (
            "decimal(4,2)",
            "def one(x):\n    return 100",
            "its function returned a int, which is not decimal(4,2)",
        ),
        (
            "string",
            "def one(x):\n    return '\\ud800'",
            "its function returned a str, which is not string",
        ),
        (
            "date",
            "def one(x):\n    import datetime\n    return datetime.datetime(2024, 1, 1)",
            "which is not date",
        ),
        (
            "array<int64>",
            "def one(x):\n    return [1, 'a']",
            "its function returned a list, which is not array<int64>",
        ),
        ("timestamp", "def one(x):\n    return '2024-01-01'", "which is not timestamp"),
    ],
)
def test_what_a_function_does_wrong_is_told(kind: str, python: str, told: str) -> None:
    with pytest.raises(PermanentError) as raised:
        computed(kind, python, 41.5)
    text = str(raised.value)
    assert "realtime feature 'one'" in text
    assert told in text
    assert "secret" not in text
    assert "41.5" not in text


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(
            (kind, value)
            for name, kind in cases.TYPES.items()
            if name != "u"
            for value in (*cases.VALUES[name], None)
        ),
        *(("timestamp", from_micros(value)) for value in cases.VALUES["u"]),
        ("array<float64>", [0.5, float("nan"), None]),
        ("array<decimal(12,2)>", [Decimal("-0.01"), None]),
        ("array<array<string>>", [["é", None], [], None]),
    ],
)
def test_every_value_passes(kind: str, value: Any) -> None:
    assert same(computed(kind, "def one(x):\n    return x", value, kind), value)


def test_the_warehouse_tells_the_same(rig: Rig) -> None:
    spec = CalculationSpec(
        "one",
        "float64",
        "",
        ("x",),
        "",
        Location("f.py", 1),
        python="def one(x):\n    return 1 / x",
    )
    rig.warehouse.execute([create(DUCKDB, SCHEMA, spec, {"x": "float64"})] * 2)
    query = (
        f"SELECT {called(DUCKDB, SCHEMA, spec, {'x': 'float64'})} FROM (SELECT 0.0::DOUBLE AS x)"
    )
    with pytest.raises(
        PermanentError,
        match=r"^make it: realtime feature 'one': its function raised ZeroDivisionError$",
    ):
        rig.warehouse.execute([Statement("make it", query)])


@realtime_feature("float64")
def again(amount):
    return amount + 1


def copies() -> list[RealtimeFeature]:
    """The same function with other white space, comments, annotations and words.

    And another one.
    """

    def first() -> RealtimeFeature:
        @realtime_feature("float64")
        def again(amount: float) -> float:
            """It adds one."""
            # That is all.
            return (
                amount + 1
            )  # fmt: skip

        return again

    def second() -> RealtimeFeature:
        @realtime_feature("float64")
        def again(amount):
            return amount + 2

        return again

    return [first(), second()]


def test_the_plan_sees_another_function_and_no_other_comment() -> None:
    before, (looks, is_) = manifest_of(again), copies()
    same_one, other = manifest_of(looks), manifest_of(is_)
    describes = diff(before, same_one, "", "")
    assert [
        change.after
        for action in describes
        if isinstance(action, UpdateService)
        for change in action.changes
    ] == [f"Python {_digest(before)}: float64 (It adds one.)"]
    [action] = diff(before, other, "", "")
    assert isinstance(action, UpdateService)
    [change] = action.changes
    assert (change.before, change.after) == (
        f"Python {_digest(before)}: float64",
        f"Python {_digest(other)}: float64",
    )


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(manifest.services[0].calculations[0].python.encode()).hexdigest()[:8]


def test_readers_can_compute_it() -> None:
    check_calculations(manifest_of(again))
