"""Request fields: what callers give at a read, and the spine's columns give a training set."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from connectors.duckdb.calculator import prepare
from connectors.redis.store import connect
from controlplane import Attribute, Entity, RequestSource, batch_feature_view, calculation
from controlplane.base.types import from_micros
from controlplane.codec.texts import parse_argument
from controlplane.errors import PlaneError
from controlplane.manifest.specs import RequestField
from controlplane.online import syncing
from controlplane.serving import OnlineReader, Status
from controlplane.serving.request import RequestReader
from controlplane.serving.service import service_layout
from controlplane.sql.dialects import DUCKDB
from controlplane.training.datasets import create
from controlplane.verify.oracle import same
from tests.engine import cases
from tests.engine.rig import SUBJECT, Rig, micros, naive, plain

START, HOUR = micros("2024-01-01"), 3_600_000_000
AT = START + 2 * HOUR


@batch_feature_view(
    entities=[Entity("thing", keys={"k": "string"}, owner="team")],
    sources=[SUBJECT],
    features=[Attribute("f", "float64"), Attribute("d", "decimal(12,2)")],
    schedule="1h",
    start="2024-01-01",
    owner="team",
)
def subject(events):
    return f"SELECT * FROM {events}"


EVERY_TYPE = RequestSource(
    "every_type",
    fields={
        "amount": "float64",
        **{f"r_{name}": kind for name, kind in cases.TYPES.items()},
        "tags": "array<string>",
    },
    nullable=["tags", *(f"r_{name}" for name in cases.TYPES)],
)
CALCULATIONS = [
    calculation("above", "float64", "amount / nullif(subject__f, 0)"),
    calculation("spent", "decimal(18,2)", "CAST(subject__d + r_d AS DECIMAL(18, 2))"),
    calculation("word", "string", "coalesce(r_s, 'none') || len(tags)"),
    calculation("later", "timestamp", "r_u + INTERVAL 1 HOUR"),
    calculation("echo", "binary", "r_x"),
    calculation("month", "date", "CAST(date_trunc('month', r_y) AS DATE)"),
    calculation("both", "bool", "r_b AND above > r_i + r_f"),
    calculation("tagged", "array<string>", "list_reverse(tags)"),
]


def rows(count: int) -> list[dict[str, Any]]:
    choice = random.Random(3)
    found = [
        {name: choice.choice([*pool, None]) for name, pool in cases.VALUES.items()}
        for _ in range(count)
    ]
    return cases.loaded(
        [{**row, "k": f"k{n}", "ts": START + HOUR + n} for n, row in enumerate(found)]
    )


def requests(count: int) -> list[dict[str, Any]]:
    choice = random.Random(5)
    found = []
    for _ in range(count):
        one = {f"r_{name}": choice.choice([*cases.VALUES[name], None]) for name in cases.TYPES}
        one["r_u"] = None if one["r_u"] is None else from_micros(one["r_u"])
        tags = choice.choice([None, [], ["é", None], ["a", "😀"]])
        found.append({**one, "tags": tags, "amount": choice.choice([0.5, 3, math.nan, -math.inf])})
    return found


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(
        subject, cases.COLUMNS, rows=rows(60), calculations=CALCULATIONS, request=EVERY_TYPE
    ) as rig:
        rig.materialize(START, AT)
        yield rig


@pytest.fixture
def reader(rig: Rig, valkey_url: str) -> Iterator[OnlineReader]:
    store = connect(url=valkey_url)
    syncing.sync(
        rig.program,
        rig.warehouse,
        store,
        rig.sql["sync"],
        clock=lambda: datetime.now(UTC),
        full=True,
    )
    layout = service_layout(rig.manifest, "all")
    assert layout.calculations is not None
    calculator = prepare(query=layout.calculations.query)
    yield OnlineReader(store, layout, lambda: from_micros(AT), calculator=calculator)
    store.close()


def test_training_and_serving_agree(rig: Rig, reader: OnlineReader) -> None:
    keys, given = [*(f"k{n}" for n in range(60)), "nobody"], requests(61)
    spine = [{**one, "r_u": one["r_u"] and one["r_u"].replace(tzinfo=None)} for one in given]
    trained = rig.training_set([([key], AT) for key in keys], request=spine)
    online = reader.get([{"k": key} for key in keys], given)
    for key, row, vector in zip(keys, trained, online, strict=True):
        for name in vector:
            assert same(row[name.removeprefix("subject__")], plain(vector[name])), (key, name)
    names = [one.name for one in CALCULATIONS]
    seen = {name: {str(vector[name]) for vector in online} for name in names}
    assert all(
        len(values) > 2 and "None" in values for name, values in seen.items() if name != "word"
    ), seen
    assert "nan" in seen["above"]
    # One request counts for all.
    assert [
        vector["echo"]
        for vector in reader.get([{"k": "k1"}, {"k": "k2"}], {"amount": 1, "r_x": b"x"})
    ] == [b"x"] * 2


def test_how_it_was_found(reader: OnlineReader) -> None:
    found = reader.get({"k": "nobody"}, {"amount": 1.0, "r_x": b"x"})
    assert (found["echo"], found.status("echo"), found.effective_time("echo")) == (
        b"x",
        Status.PRESENT,
        None,
    )
    assert (found["above"], found.status("above")) == (None, Status.MISSING)
    assert (found["month"], found.status("month")) == (None, Status.NULL)


def test_a_spine_must_have_what_callers_give(rig: Rig) -> None:
    given = {**requests(1)[0], "r_u": None}
    with pytest.raises(
        PlaneError, match="'amount', a request field that may not be null, is null in 1 rows"
    ):
        rig.training_set([(["k1"], AT)], request=[{**given, "amount": None}])
    rig.run(
        "CREATE OR REPLACE TABLE raw.short AS SELECT 'k1' AS k, TIMESTAMP '2024-01-01' AS at, 'x'"
        " AS amount"
    )
    with pytest.raises(PlaneError) as raised:
        create(
            rig.manifest,
            rig.warehouse,
            name="x",
            service="all",
            spine="raw.short",
            time="at",
            created_by="us",
        )
    assert "the spine's column 'amount' is string, but must be float64" in str(raised.value)
    assert "the spine has no column 'r_i' (int64)" in str(raised.value)


def test_a_zone_of_the_spine_changes_nothing(rig: Rig) -> None:
    fields = ", ".join(
        f"CAST(NULL AS {DUCKDB.type(one.type)}) AS {one.name}"
        for one in rig.manifest.services[0].request
    )
    spine = f"SELECT 'k1' AS k, TIMESTAMP '2024-01-01 02:00' AS at, {fields}"
    spine = (
        "SELECT * REPLACE (1.0::DOUBLE AS amount, TIMESTAMPTZ '2024-01-01 01:00+01' AS r_u) FROM"
        f" ({spine})"
    )
    made = create(
        rig.manifest,
        rig.warehouse,
        name="z",
        service="all",
        spine=spine,
        time="at",
        created_by="us",
    )
    [(later,)] = rig.run(f"SELECT later FROM {made.table}")
    assert later == naive(START + HOUR)


READER = RequestReader(
    "fraud", [RequestField("amount", "float64"), RequestField("device", "string", nullable=True)]
)


@pytest.mark.parametrize(
    ("given", "complaint", "hint"),
    [
        (
            {},
            "request field 'amount' (float64) of feature service 'fraud' is not given",
            "give a float or an int, or",
        ),
        ({"amount": None}, "is null", "declare it in the request's nullable"),
        (
            {"amount": "12.5"},
            "'amount' of feature service 'fraud' is of type float64, but a str was",
            "give a float",
        ),
        ({"amount": True}, "but a bool was given", "give a float or an int"),
        (
            {"amount": 1, "device": b"x"},
            "'device' of feature service 'fraud' is of type string",
            "give text",
        ),
        (
            {"amount": 1, "sum": 2},
            "feature service 'fraud' has no request field 'sum'",
            "are: amount, device",
        ),
        ([{"amount": 1}], "1 requests were given for 2 entities", "give one for each"),
    ],
)
def test_a_wrong_request_is_told(given: Any, complaint: str, hint: str) -> None:
    with pytest.raises(PlaneError) as raised:
        READER.columns(given, 2)
    assert complaint in str(raised.value)
    assert hint in str(raised.value)
    assert "12.5" not in str(raised.value)


def test_a_request_is_typed() -> None:
    assert READER.columns({"amount": 3}, 2) == {"amount": [3.0, 3.0], "device": [None, None]}
    given: list[dict[str, Any]] = [{"amount": np.float64(1.5), "device": "é"}, {"amount": 2.0}]
    assert READER.columns(given, 2) == {"amount": [1.5, 2.0], "device": ["é", None]}


NAIVE = datetime(2024, 1, 1)  # noqa: DTZ001 - a naive one is UTC
RIGHT: list[tuple[str, Any, Any]] = [
    ("int64", np.int64(7), 7),
    ("decimal(4,2)", 12, Decimal("12.00")),
    ("decimal(4,2)", Decimal("-0.5"), Decimal("-0.50")),
    ("timestamp", NAIVE, datetime(2024, 1, 1, tzinfo=UTC)),
    ("binary", bytearray(b"x"), b"x"),
    ("array<date>", (date(2024, 1, 1), None), [date(2024, 1, 1), None]),
]
WRONG: list[tuple[str, Any]] = [
    *((kind, "x") for kind in cases.TYPES.values() if kind != "string"),
    *(("int64", value) for value in (2**63, 1.0, True)),
    *(
        ("decimal(4,2)", value)
        for value in (100, Decimal("0.001"), Decimal("nan"), Decimal("1e99"), 1.5, True)
    ),
    *(("date", value) for value in (datetime(2024, 1, 1, tzinfo=UTC), 5)),
    *(("string", value) for value in ("\ud800", 5)),
    *(("float64", value) for value in (10**400, "nan")),
    *(("array<int64>", value) for value in ("12", [1, "x"], {1})),
    ("bool", 1),
]


@pytest.mark.parametrize(("kind", "given", "read"), RIGHT)
def test_what_is_right(kind: str, given: Any, read: Any) -> None:
    [[found]] = RequestReader("s", [RequestField("one", kind)]).columns({"one": given}, 1).values()
    assert (found, type(found), repr(found)) == (read, type(read), repr(read))


@pytest.mark.parametrize(("kind", "given"), WRONG)
def test_what_is_wrong(kind: str, given: Any) -> None:
    with pytest.raises(PlaneError, match="request field 'one' of feature service 's' is of type"):
        RequestReader("s", [RequestField("one", kind)]).columns({"one": given}, 1)


def test_text_of_a_command_line() -> None:
    assert parse_argument("float64", "1e3") == 1000.0
    assert parse_argument("array<int64>", "[1, null]") == [1, None]
    assert READER.parsed({"amount": "2", "other": "x"}) == {"amount": 2.0, "other": "x"}
    with pytest.raises(
        PlaneError,
        match="'amount' of feature service 'fraud' is of type float64, which the given text is not",
    ):
        READER.parsed({"amount": "12,5"})
