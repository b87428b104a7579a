"""Calculations give the same values in training and online, for every type and for what is odd in
each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import duckdb
import pytest
import redis

from connectors.duckdb.calculator import prepare
from connectors.redis.servers import Single
from connectors.redis.store import RedisStore
from controlplane import Aggregate, Attribute, Calculation, Entity, batch_feature_view, calculation
from controlplane.compile.changeable import CHANGEABLE
from controlplane.errors import PermanentError, PlaneError, Problems
from controlplane.manifest.specs import Manifest
from controlplane.online import syncing
from controlplane.serving import OnlineReader, Status
from controlplane.serving.service import service_layout
from controlplane.sql.calculations import in_memory
from controlplane.verify.oracle import same
from controlplane.workspace.compiling import check_calculations
from tests.engine import cases
from tests.engine.rig import SUBJECT, Rig, compiled, micros, naive, plain

START, HOUR = micros("2024-01-01"), 3_600_000_000
AT = START + 2 * HOUR
COLUMNS = {**cases.COLUMNS, "many": "BIGINT[]"}


@batch_feature_view(
    entities=[Entity("thing", keys={"k": "string"}, owner="team")],
    sources=[SUBJECT],
    features=[
        *(Attribute(name, kind) for name, kind in cases.TYPES.items()),
        Attribute("many", "array<int64>"),
        *(
            Aggregate("last_n", name, windows=["1h"], n=2, name=f"last_{name}")
            for name in cases.TYPES
        ),
        Aggregate("count", windows=["1h"]),
    ],
    schedule="1h",
    start="2024-01-01",
    owner="team",
)
def subject(events):
    return f"SELECT * FROM {events}"


CALCULATIONS = [
    calculation("ratio", "float64", "subject__f / nullif(subject__i, 0)"),
    calculation("of_ratio", "float64", "ratio * 2 -- twice"),
    calculation(
        "rooted", "float64", "CASE WHEN subject__f > 0 THEN sqrt(subject__f) ELSE ratio END"
    ),
    calculation("is_nan", "bool", "isnan(subject__f) OR subject__b"),
    calculation("price", "decimal(13,2)", "CAST(subject__d + 0.005 AS DECIMAL(13, 2))"),
    calculation("later", "timestamp", "subject__u + INTERVAL 1 HOUR"),
    calculation("month", "date", "CAST(date_trunc('month', subject__y) AS DATE)"),
    calculation("age", "int64", "date_diff('day', subject__u, TIMESTAMP '2024-01-01')"),
    calculation("word", "string", "coalesce(upper(subject__s), 'none') || '%{{ }}'"),
    calculation("bytes", "binary", "subject__x || subject__x"),
    calculation(
        "listed", "array<float64>", "list_transform(subject__last_f_1h, lambda one: one / 2)"
    ),
    calculation("times", "array<timestamp>", "subject__last_u_1h"),
    calculation("prices", "array<decimal(12,2)>", "list_reverse(subject__last_d_1h)"),
    calculation("longest", "int64", "len(subject__many) + subject__count_1h"),
    calculation("whole", "int64", "subject__i // nullif(subject__count_1h, 0)"),
    calculation("constant", "string", "'it''s'"),
]


def rows(count: int) -> list[dict[str, Any]]:
    """One entity for each row, with any values, null, NaN and infinities among them."""
    choice = random.Random(7)
    found = []
    for number in range(count):
        row = {name: choice.choice([*pool, None]) for name, pool in cases.VALUES.items()}
        many = choice.choice([None, [], [1, None], [2**53 + 1]])
        found.append({**row, "k": f"k{number}", "ts": START + HOUR + number, "many": many})
    return cases.loaded(found)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(subject, COLUMNS, rows=rows(60), calculations=CALCULATIONS) as rig:
        rig.materialize(START, AT)
        yield rig


@pytest.fixture
def store(valkey_url: str) -> Iterator[RedisStore]:
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    opened = RedisStore(Single(client))
    yield opened
    opened.close()


def reader(manifest: Manifest, store: RedisStore) -> OnlineReader:
    layout = service_layout(manifest, "all")
    assert layout.calculations is not None
    calculator = prepare(query=layout.calculations.query)
    return OnlineReader(store, layout, lambda: naive(AT).replace(tzinfo=UTC), calculator=calculator)


def test_training_and_serving_agree(rig: Rig, store: RedisStore) -> None:
    syncing.sync(
        rig.program, rig.warehouse, store, rig.sql["sync"], clock=lambda: datetime.now(UTC)
    )
    keys = [*(f"k{number}" for number in range(60)), "nobody"]
    trained = rig.training_set([([key], AT) for key in keys])
    online = reader(rig.manifest, store).get([{"k": key} for key in keys])
    names = [one.name for one in CALCULATIONS]
    assert list(online[0])[-len(names) :] == list(trained[0])[-len(names) :] == names
    for key, row, vector in zip(keys, trained, online, strict=True):
        for name in vector:
            assert same(row[name.removeprefix("subject__")], plain(vector[name])), (key, name)
    seen = {name: {str(vector[name]) for vector in online} for name in names}
    assert {name for name, values in seen.items() if len(values) < 3} == {"constant"}
    assert {"nan", "inf", "None"} <= seen["ratio"]
    alone = reader(rig.manifest, store).get({"k": "k3"})
    assert same([*map(plain, alone.values())], [*map(plain, online[3].values())])


def test_how_a_calculation_was_found(rig: Rig, store: RedisStore) -> None:
    syncing.sync(
        rig.program, rig.warehouse, store, rig.sql["sync"], clock=lambda: datetime.now(UTC)
    )
    found = reader(rig.manifest, store)
    known, unknown = found.get({"k": "k1"}), found.get({"k": "nobody"})
    since = naive(AT).replace(tzinfo=UTC)
    assert (known.status("word"), known.effective_time("word")) == (Status.PRESENT, since)
    assert (known.status("constant"), known.effective_time("constant")) == (Status.PRESENT, None)
    # It is calculated from what an unknown entity has: nulls, and a count of 0.
    assert (unknown["word"], unknown.status("word")) == ("none%{{ }}", Status.MISSING)
    assert (unknown["whole"], unknown.status("whole")) == (None, Status.MISSING)


def test_threads_share_a_reader(rig: Rig, store: RedisStore) -> None:
    syncing.sync(
        rig.program, rig.warehouse, store, rig.sql["sync"], clock=lambda: datetime.now(UTC)
    )
    shared = reader(rig.manifest, store)
    expected = [repr([*shared.get({"k": f"k{number}"}).values()]) for number in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda number: repr([*shared.get({"k": f"k{number}"}).values()]), range(60))
        )
    assert found == expected


def failing(one: Calculation) -> Rig:
    return Rig(subject, COLUMNS, rows=rows(2), calculations=[one])


def test_what_fails_is_told(store: RedisStore) -> None:
    with failing(calculation("number", "int64", "CAST(subject__s || 'x' AS BIGINT)")) as rig:
        with pytest.raises(PermanentError, match=r"a calculation failed: .*Could not convert"):
            prepare(query=in_memory(rig.manifest, rig.manifest.services[0]).query).compute([["a"]])
        with pytest.raises(
            PlaneError, match="'all' has calculations, but the reader has no calculator"
        ):
            OnlineReader(store, service_layout(rig.manifest, "all"), lambda: naive(AT))


def test_what_only_the_warehouse_knows_is_refused() -> None:
    with Rig(subject, COLUMNS) as rig:
        rig.run("CREATE MACRO doubled(x) AS x * 2")
        with failing(calculation("fine", "int64", "subject__i * 2")) as other:
            check_calculations(other.manifest)
        manifest = compiled(
            [subject], rig.warehouse, [calculation("twice", "int64", "doubled(subject__i)")]
        )
        with pytest.raises(Problems, match=r"service 'all' can't be read online: .*doubled"):
            check_calculations(manifest)


def test_files_can_t_be_read() -> None:
    with pytest.raises(PermanentError, match=r"(?i)disabled|permission"):
        prepare(
            query="SELECT unnest(CAST($1 AS BOOLEAN[])), (SELECT count(*) FROM read_text('/etc/hostname'))"
        ).compute([[True]])


def test_every_function_that_may_change_is_known() -> None:
    with duckdb.connect(":memory:") as connection:
        listed = (
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT'"
        )
        names = {name for (name,) in connection.execute(listed).fetchall()}
    assert names - CHANGEABLE == set()
