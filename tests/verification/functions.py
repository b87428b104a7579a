"""Realtime features of every type, and what a warehouse makes of them that readers don't."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane import Calculation, RealtimeFeature, RequestSource, calculation, realtime_feature
from controlplane.base.ports import Warehouse
from controlplane.compile.python import WITHOUT_LISTS
from controlplane.control import ledger
from controlplane.sql.calculations import in_memory
from controlplane.sql.dialects import DUCKDB
from controlplane.training import datasets
from controlplane.verify import compare_service
from controlplane.verify.oracle import same
from controlplane.verify.values import plain
from controlplane.workspace.connectors import open_calculator
from tests.engine import cases
from tests.engine.engines import insert, make, run
from tests.engine.rig import compiled, naive
from tests.serving.test_realtime import later, risk, spread, taxed, words
from tests.serving.test_requests import AT, requests, rows, subject

SPINE = 12  # rows
FIELDS = {
    "amount": "float64",
    **{f"r_{name}": field_type for name, field_type in cases.TYPES.items()},
}


@realtime_feature("string")
def seen(r_i, r_s, r_x, r_b, r_y, risk):
    return "|".join(f"{type(one).__name__} {one!r}" for one in (r_i, r_s, r_x, r_b, r_y, risk))


@realtime_feature("int64")
def sized(r_x, seen):
    return len(r_x or b"") + len(seen)


@realtime_feature("bool")
def both(r_b, subject__f):
    return None if r_b is None else r_b and subject__f is not None


@realtime_feature("date")
def following(r_y):
    from datetime import timedelta

    return r_y and r_y + timedelta(days=1)


@realtime_feature("binary")
def doubled(r_x):
    return r_x and r_x * 2


@realtime_feature("array<timestamp>")
def moments(r_u, later):
    return [r_u, None, later]


@realtime_feature("timestamp")
def moment(moments):
    return moments[-1]


@realtime_feature("array<decimal(18,2)>")
def prices(r_d, taxed):
    return [] if r_d is None else [r_d, taxed]


@realtime_feature("array<binary>")
def pieces(r_x, prices):
    return None if r_x is None else [r_x, bytes(len(prices))]


CALCULATED: list[Calculation | RealtimeFeature] = [
    risk,
    calculation("twice", "float64", "risk * 2"),
    taxed,
    later,
    seen,
    sized,
    both,
    following,
    doubled,
]
LISTS: list[Calculation | RealtimeFeature] = [spread, words, moments, moment, prices, pieces]


def differing(warehouse: Warehouse, *, tried: int = 100) -> list[str]:
    """What a warehouse computes otherwise than a reader does: in a training set, and of so many
    random rows."""
    lists = warehouse.dialect not in WITHOUT_LISTS
    features = [*CALCULATED, *LISTS] if lists else CALCULATED
    fields = {**FIELDS, "tags": "array<string>"} if lists else FIELDS
    request = RequestSource(
        "given", fields=fields, nullable=[name for name in fields if name != "amount"]
    )
    run(warehouse, "CREATE SCHEMA IF NOT EXISTS raw")
    make(warehouse, "raw.events", cases.COLUMNS)
    insert(warehouse, "raw.events", cases.COLUMNS, rows(SPINE))
    manifest = compiled([subject], warehouse, features, request)
    [service] = manifest.services
    columns = {
        "k": "VARCHAR",
        "asked": "TIMESTAMP",
        **{field.name: DUCKDB.type(field.type) for field in service.request},
    }
    spine = [
        {
            **row,
            "k": f"k{number}",
            "asked": naive(AT),
            "r_u": row["r_u"] and row["r_u"].replace(tzinfo=None),
        }
        for number, row in enumerate(requests(SPINE))
    ]
    make(warehouse, "raw.spine", columns)
    insert(warehouse, "raw.spine", columns, spine)
    made = datasets.create(
        manifest,
        warehouse,
        name="tried",
        service="all",
        spine="raw.spine",
        time="asked",
        created_by="us",
        from_source=True,
    )
    trained = list(ledger.rows(warehouse, f"SELECT * FROM {made.table}"))
    assert len(trained) == SPINE
    inputs, query, statements = in_memory(manifest, service)
    calculator = open_calculator(query, statements)
    computed = calculator.compute([[row[name] for row in trained] for name in inputs])
    calculator.close()

    def compared() -> Iterator[str]:
        for row, values in zip(trained, computed, strict=True):
            for computation, value in zip(service.calculations, values, strict=True):
                if not same(plain(row[computation.name]), plain(value)):
                    yield f"{row['k']}, {computation.name}: {row[computation.name]!r} where a reader has {value!r}"

    report = compare_service(manifest, service, warehouse, open_calculator, cases=tried, seed=5)
    assert (report.compared, report.refused) == (tried * len(features), 0)
    return [*compared(), *map(str, report.mismatches)]
