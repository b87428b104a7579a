"""A preview has the numbers of a training set from sources, on every warehouse, and writes
nothing."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane import Aggregate, Attribute
from controlplane.base.ports import Warehouse
from controlplane.sql import preview
from controlplane.training import datasets
from tests.engine.rig import Rig, records
from tests.engine.test_edges import subject_of
from tests.engine.test_spines import warehouse

__all__ = ["warehouse"]

COLUMNS = {"k": "VARCHAR", "n": "BIGINT", "ts": "TIMESTAMP", "amt": "BIGINT"}
KEYS = {"k": "string", "n": "int64"}
ROWS = [
    {"k": k, "n": n, "ts": datetime(2024, 1, d, h), "amt": amt}  # noqa: DTZ001 - as the embedded warehouse has them
    for k, n, d, h, amt in [
        ("it's", 1, 1, 3, 5),
        ("it's", 1, 2, 4, 7),
        ("it's", 2, 2, 5, None),
        ("b", 1, 3, 6, 11),
        (None, 1, 1, 7, 13),
    ]
]
AT = datetime(2024, 1, 3, 5, tzinfo=UTC)
VIEWS: dict[str, list[Attribute | Aggregate]] = {
    "rows": [Attribute("amt", "int64")],
    "windows": [Aggregate("count", windows=["1d"]), Aggregate("sum", "amt", windows=["3d"])],
    "both": [Aggregate("last_n", "amt", n=2, windows=["3d"]), Attribute("amt", "int64")],
}


def values(rig: Rig, at: datetime, keys: dict[str, Any], most: int = 10) -> list[dict[str, Any]]:
    """The rows of a preview, in its order."""
    return records(rig.warehouse, preview.query(rig.manifest, rig.view, at, keys, most))


# Each statement takes Spark seconds: the largest view stands for all.
@pytest.mark.parametrize(
    ("warehouse", "features"),
    [*itertools.product(["duckdb", "snowflake"], VIEWS), ("databricks", "both")],
    indirect=["warehouse"],
)
def test_a_preview_has_the_numbers_of_a_training_set(warehouse: Warehouse, features: str) -> None:
    rig = Rig(subject_of(*VIEWS[features], keys=KEYS), COLUMNS, warehouse=warehouse, rows=ROWS)
    previewed = values(rig, AT, {})
    assert [(row["k"], row["n"]) for row in previewed] == [("it's", 1), ("it's", 2)]
    spine = " UNION ALL ".join(
        f"SELECT {rig.d.text(row['k'])} AS k, CAST({row['n']} AS {rig.d.type('int64')}) AS n,"
        f" {rig.d.instant(AT)} AS t"
        for row in previewed
    )
    made = datasets.create(
        rig.manifest,
        warehouse,
        name="same",
        service="all",
        spine=spine,
        time="t",
        created_by="us",
        from_source=True,
    )
    trained = records(warehouse, f"SELECT * FROM {made.table} ORDER BY k, n")
    names = [feature.name for feature in rig.view.features]
    assert any(row[name] for row in previewed for name in names)
    assert [[row[name] for name in names] for row in previewed] == [
        [row[f"subject__{name}"] for name in names] for row in trained
    ]


@pytest.mark.parametrize("warehouse", ["duckdb", "snowflake"], indirect=True)
def test_entities_are_chosen_by_keys(warehouse: Warehouse) -> None:
    rig = Rig(subject_of(*VIEWS["both"], keys=KEYS), COLUMNS, warehouse=warehouse, rows=ROWS)
    later = datetime(2024, 1, 5, tzinfo=UTC)
    assert [row["k"] for row in values(rig, later, {})] == ["b", "it's", "it's"]
    assert [row["k"] for row in values(rig, later, {}, most=1)] == ["b"]
    assert [row["n"] for row in values(rig, later, {"k": "it's"})] == [1, 2]
    assert [row["amt"] for row in values(rig, later, {"k": "it's", "n": 1})] == [7]
    # One entity is shown even if nothing is known of it.
    unknown = {"k": "c", "n": 9}
    assert values(rig, later, unknown) == [unknown | {"amt_last_2_3d": [], "amt": None}]
    assert values(rig, datetime(2023, 1, 1, tzinfo=UTC), {}) == []
