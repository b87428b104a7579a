"""Training sets leave every warehouse with the same values: as Arrow, Parquet and CSV."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from controlplane.api.dataset import TrainingSet
from controlplane.api.rows import Rows, Source
from controlplane.base.ports import Warehouse
from controlplane.compile.transformation import one_statement
from controlplane.training import listed
from tests.engine.test_spines import create, deployed, warehouse

__all__ = ["warehouse"]

AT = "CAST('2024-01-02 05:00:00' AS TIMESTAMP)"
SPINE = " UNION ALL ".join(
    f"SELECT {number} AS number, CAST({k} AS VARCHAR(10)) AS k, {AT} AS t, CAST({d} AS DECIMAL(9,2))"
    " AS d"
    for number, (k, d) in enumerate([("'a'", "1.5"), ("'b'", "NULL"), ("'it''s'", "-2.25")])
)
VALUES = [(0, "a", "1.50", 1, 7), (1, "b", None, 0, None), (2, "it's", "-2.25", 0, None)]


def plain(table: pa.Table) -> list[tuple[object, ...]]:
    """The rows in the order of their numbers."""
    rows = table.select(["number", "k", "d", "subject__count_1d", "subject__amt"]).to_pylist()
    told = [
        (int(n), k, None if d is None else str(d), c, a) for n, k, d, c, a in map(dict.values, rows)
    ]
    return sorted(told, key=lambda row: str(row[0]))


def test_rows_are_the_same_on_every_way_out(warehouse: Warehouse, tmp_path: Path) -> None:
    rig = deployed(warehouse)
    created = create(rig, SPINE, from_source=True)
    made = TrainingSet(
        **vars(created), _source=Source(warehouse, f"SELECT * FROM {created.table}", "out")
    )
    table = made.to_arrow()
    assert plain(table) == VALUES
    assert {at.replace(tzinfo=UTC) for at in table["t"].to_pylist()} == {
        datetime(2024, 1, 2, 5, tzinfo=UTC)
    }
    progress: list[int] = []
    assert made.export(tmp_path / "out.parquet", progress.append) == 3
    assert progress[-1] == 3
    assert plain(pq.read_table(tmp_path / "out.parquet")) == VALUES
    names = "number, k, d, subject__amt"
    query = one_statement(f"SELECT {names} FROM {created.table} ORDER BY number;", rig.d.name)
    assert Rows(Source(warehouse, query)).export(tmp_path / "out.csv") == 3
    assert (tmp_path / "out.csv").read_text() == (
        '"number","k","d","subject__amt"\n0,"a",1.50,7\n1,"b",,\n2,"it\'s",-2.25,\n'
    )
    none = Rows(Source(warehouse, f"SELECT {names} FROM {created.table} WHERE number < 0"))
    assert none.to_arrow().column_names == ["number", "k", "d", "subject__amt"]
    assert none.to_arrow().num_rows == 0


def test_a_drop_can_be_repeated_and_its_number_is_not_used_again(warehouse: Warehouse) -> None:
    rig = deployed(warehouse)
    made = create(rig, SPINE, from_source=True)
    assert made.definition["time"] == "t"
    for _ in range(2):  # as after a drop that was stopped in the middle
        listed.drop(warehouse, made, by="it's me", now=datetime(2024, 2, 1, tzinfo=UTC))
    assert listed.existing(warehouse) == []
    [noted] = listed.existing(warehouse, dropped=True)
    assert noted.definition["dropped"] == {"by": "it's me", "at": "2024-02-01T00:00:00Z"}
    assert noted.definition["spine"] == made.definition["spine"]
    plain_name = made.table.replace(rig.d.quote_mark, "").lower()
    assert warehouse.columns([plain_name])[plain_name] is None
    assert create(rig, SPINE, from_source=True).version == 2
