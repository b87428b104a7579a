"""Case B11: whatever stands for an argument of a definition, it is taken or refused in words, never
a Python error."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.duckdb.warehouse import connect
from controlplane import (
    Aggregate,
    Attribute,
    BatchSource,
    Calendar,
    Entity,
    FeatureService,
    RequestSource,
    Series,
    batch_feature_view,
    calculation,
    expect,
    realtime_feature,
)
from controlplane.base.ports import Statement, Warehouse
from controlplane.compile.loader import Definitions
from controlplane.compile.project import Target, compile_manifest
from controlplane.errors import Problems
from tests.compile.projects import TABLES

OWNER = "team@example.com"
JUNK: tuple[Any, ...] = (
    *(
        None,
        3,
        -1.5,
        True,
        b"k",
        "",
        "x y",
        [],
        ["retail"],
        [None],
        [[]],
        {},
        {"k": 1},
        {1: "string"},
    ),
    *(
        {"k": ["string"]},
        ("k",),
        {"k"},
        object(),
        str,
        timedelta(hours=1),
        datetime(2024, 1, 1, tzinfo=UTC),
        Path("a.sql"),
        len,
    ),
)
GOOD: dict[Any, dict[str, Any]] = {
    Entity: {"name": "thing", "keys": {"k": "string"}, "owner": OWNER, "description": ""},
    BatchSource: {
        "name": "events",
        "table": "raw.events",
        "timestamp": "ts",
        "prune_by": None,
        "lookback": "0s",
        "settling_delay": "0s",
        "expectations": (),
        "owner": "",
        "description": "",
    },
    Attribute: {"name": "amt", "type": "int64", "column": "amt", "description": ""},
    Aggregate: {
        "function": "first_n",
        "column": "amt",
        "windows": ["1h"],
        "where": "amt > 0",
        "offset": "0s",
        "n": 2,
        "q": None,
        "by": "word",
        "name": "some",
        "description": "",
    },
    Series: {"window": "1h", "steps": 2, "step": "1h"},
    Calendar: {"unit": "day", "zone": "UTC", "count": 1, "ago": 0},
    RequestSource: {
        "name": "basket",
        "fields": {"worth": "int64"},
        "nullable": (),
        "description": "",
    },
    calculation: {"name": "double", "type": "int64", "expression": "worth + 1", "description": ""},
    realtime_feature: {"type": "int64"},
    expect.rows: {"at_least": 1, "at_most": 9, "severity": "error", "name": "enough"},
    expect.not_null: {"column": "k", "may_fail": 0.5, "severity": "error", "name": "there"},
    expect.between: {
        "column": "amt",
        "low": 0,
        "high": 9,
        "may_fail": 0,
        "severity": "error",
        "name": None,
    },
    expect.one_of: {
        "column": "word",
        "values": ["a"],
        "may_fail": 0,
        "severity": "error",
        "name": None,
    },
    expect.that: {"condition": "amt > 0", "may_fail": 0, "severity": "error", "name": None},
    batch_feature_view: {
        "entities": None,
        "sources": None,
        "features": None,
        "schedule": "1h",
        "start": "2024-01-01",
        "owner": OWNER,
        "end": None,
        "ttl": None,
        "aggregation_interval": None,
        "phase": "0s",
        "lateness": "0s",
        "timestamp": "ts",
        "event_time_bounds": None,
        "tie_breaker": (),
        "expectations": None,
        "sql_file": None,
        "online": True,
        "sync_shards": 1,
        "tasks": None,
        "tags": None,
    },
    FeatureService: {
        "name": "service",
        "features": None,
        "owner": OWNER,
        "request": None,
        "description": "",
    },
}


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    opened = connect(path=":memory:")
    opened.execute([Statement("prepare", sql) for sql in TABLES])
    yield opened
    opened.close()


def project(kind: Any = None, argument: str = "", junk: Any = None) -> Definitions:
    """Definitions that are right, but for one argument of one of them."""

    def made(maker: Any, **given: Any) -> Any:
        arguments = {**GOOD[maker], **given}
        return maker(**{**arguments, argument: junk} if maker is kind else arguments)

    thing, events = made(Entity), made(BatchSource)
    rules = [
        made(rule)
        for rule in (expect.rows, expect.not_null, expect.between, expect.one_of, expect.that)
    ]
    aggregates = [
        made(Aggregate),
        Aggregate("count", windows=[made(Series)], name="of_series"),
        Aggregate("count", windows=[made(Calendar)], name="of_calendar"),
    ]

    def sql(events: str) -> str:
        return f"SELECT * FROM {events}"

    view = made(
        batch_feature_view,
        entities=[thing],
        sources=[events],
        features=[made(Attribute), *aggregates],
        expectations=rules,
    )(sql)

    def twice(worth: int) -> int:
        return worth + worth

    basket, extra = made(RequestSource), [made(calculation), made(realtime_feature)(twice)]
    service = made(FeatureService, features=[view, *extra], request=basket)
    return Definitions([thing], [events], [view], [service])


def compiled(definitions: Definitions, warehouse: Warehouse) -> None:
    compile_manifest(
        definitions, Target("shop", "test", "duckdb", "features", None, Path("/nowhere")), warehouse
    )


def test_b11_the_definitions_are_right_at_first(warehouse):
    compiled(project(), warehouse)


def test_b11_every_argument_is_tried():
    for maker, given in GOOD.items():
        assert list(given) == list(inspect.signature(maker).parameters), maker


ARGUMENTS = [(maker, argument) for maker, given in GOOD.items() for argument in given]


@pytest.mark.parametrize(
    ("maker", "argument"), ARGUMENTS, ids=[f"{m.__name__}-{a}" for m, a in ARGUMENTS]
)
def test_b11_a_wrong_type_is_refused_in_words_or_taken(warehouse, maker, argument):
    for junk in JUNK:
        definitions = project(maker, argument, junk)
        try:
            compiled(definitions, warehouse)
        except Problems as refused:
            for problem in refused.problems:
                assert problem.hint, (junk, str(problem))
                assert problem.where, (junk, str(problem))
                assert problem.where.line
                assert " at 0x" not in str(problem)
