"""DataFrames as spines, on every warehouse, and as keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from controlplane.base.ports import Warehouse
from controlplane.codec.frames import as_table, rows_of, types_of
from controlplane.errors import PermanentError, PlaneError
from controlplane.training import uploads
from tests.engine.parity import opened
from tests.engine.rig import records
from tests.engine.test_spines import create, deployed, filled, values, warehouse

__all__ = ["warehouse"]

AT = datetime(2024, 1, 2, 5)  # noqa: DTZ001 - without a zone it is UTC
ROWS = {
    "number": [0, 1, 2],
    "k": ["a", None, "it's \\ b"],
    "t": [AT, AT, None],
    "price": [Decimal("1.50"), None, Decimal("-2.25")],
    "share": [0.5, float("nan"), None],
    "day": [date(2024, 1, 2), None, None],
    "ok": [True, False, None],
    "raw": [b"\x00'", None, b""],
}


class Capsule:
    """What any library may give: the Arrow PyCapsule interface, and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_b16_a_data_frame_is_a_spine(warehouse: Warehouse) -> None:
    # On Spark, from the source alone: what is computed is the same for every spine.
    from_source = warehouse.dialect == "databricks"
    rig = deployed(warehouse) if from_source else filled(warehouse)
    arrow = pa.table(ROWS)
    frames: list[Any] = [pd.DataFrame(ROWS), arrow, Capsule(arrow)]
    if rig.d.name == "databricks":  # all are the same table of Arrow before a warehouse sees them
        del frames[1:]
    for version, frame in enumerate(frames, 1):
        made = create(rig, frame, from_source=from_source)
        assert made.table.replace(rig.d.quote_mark, "").lower() == f"datasets.looks__v{version}"
        assert values(rig, made) == {0: (1, 7), 1: (0, None), 2: (0, None)}
        rows = records(warehouse, f"SELECT * FROM {made.table}")
        [first, _, last] = sorted(rows, key=lambda row: row["number"])
        assert (first["price"], first["raw"], first["day"], first["ok"]) == (
            Decimal("1.50"),
            b"\x00'",
            date(2024, 1, 2),
            True,
        )
        assert last["k"] == "it's \\ b"
        query = f"SELECT definition FROM _plane.datasets WHERE version = {version}"
        [noted] = records(warehouse, query)
        assert '"spine":"DataFrame of 3 rows, sha256 ' in noted["definition"]
    if rig.d.name == "duckdb":
        query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'datasets'"
        assert sorted(row["table_name"] for row in records(warehouse, query)) == [
            "looks__v1",
            "looks__v2",
            "looks__v3",
        ]
        for frame in frames:
            assert create(rig, frame, from_source=True).row_count == 3


def test_b16_what_lies_in_pandas_is_read_as_it_is_meant() -> None:
    frame = pd.DataFrame(
        {
            "zoned": pd.to_datetime(["2024-01-01 01:00:00.123456789"]).tz_localize("Europe/Berlin"),
            "old": pd.to_datetime(["1969-12-31 23:59:59.999999999"]),
            "kind": pd.Categorical(["x"]),
            "many": [[1, 2]],
        },
        index=[7],
    )
    table = as_table(frame)
    assert types_of(table) == {
        "zoned": "timestamp",
        "old": "timestamp",
        "kind": "string",
        "many": "array<int64>",
    }
    [row] = rows_of(frame)
    assert row["zoned"] == datetime(2024, 1, 1, 0, 0, 0, 123456)  # noqa: DTZ001
    assert row["old"] == datetime(1969, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
    assert (row["kind"], row["many"]) == ("x", [1, 2])


def test_b16_what_cannot_be_sent_is_refused_with_the_remedy() -> None:
    with pytest.raises(PlaneError, match="rows can't be read from a list") as caught:
        as_table([1, 2])
    assert "give a query or a table's name" in caught.value.hint
    with pytest.raises(PlaneError, match="column 'x' has the type duration"):
        as_table(pa.table({"x": pa.array([1], pa.duration("s"))}))
    with pytest.raises(PermanentError, match="two of its columns have one name: 'x' and 'X'"):
        as_table(pa.table([[1], [2]], names=["x", "X"]))
    with pytest.raises(PlaneError, match="can't be read as Arrow"):
        as_table(pd.DataFrame({"x": [1, "a"]}))
    with pytest.raises(PlaneError, match="column 'x': Casting from timestamp"):
        as_table(pa.table({"x": pa.array([2**62], pa.timestamp("s"))}))  # it was 1970-01-01


def test_b16_other_forms_of_texts_and_bytes_are_read() -> None:
    columns = {
        "text": pa.array(["x"], pa.string_view()),
        "raw": pa.array([b"x"], pa.binary_view()),
        "digest": pa.array([b"ab"], pa.binary(2)),
    }
    table = as_table(pa.table(columns))
    assert types_of(table) == {"text": "string", "raw": "binary", "digest": "binary"}
    assert table.to_pylist() == [{"text": "x", "raw": b"x", "digest": b"ab"}]


def test_b16_a_long_data_frame_is_not_sent_far() -> None:
    with opened("snowflake") as (found, _):
        rig = filled(found)
        long = pa.table({"number": range(uploads.MOST_ROWS + 1)})
        with pytest.raises(
            PlaneError, match="a DataFrame of 100,001 rows is too long: at most 100,000"
        ):
            create(rig, long)


UTC_AT = datetime(2024, 1, 2, tzinfo=UTC)


def test_b16_other_keys_than_frames_stay_as_they_are() -> None:
    keys = {"k": "a", "at": UTC_AT}
    assert rows_of(keys) is keys
    assert rows_of(pd.DataFrame({"k": ["a"]})) == [{"k": "a"}]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("warehouse", ["duckdb", "snowflake"], indirect=True)
def test_a_file_is_a_spine(warehouse: Warehouse, suffix: str, tmp_path: Path) -> None:
    rig = filled(warehouse)
    file = tmp_path / f"it's a spine{suffix}"
    rows = pa.table(
        {"number": [0, 1, 2], "k": ["a", None, ""], "t": [AT, AT, None], "x": [1.5, None, 2]}
    )
    if suffix == ".csv":
        pyarrow.csv.write_csv(rows, file)
    else:
        pyarrow.parquet.write_table(rows, file)
    for spine in (file, str(file)):
        made = create(rig, spine)
        assert values(rig, made) == {0: (1, 7), 1: (0, None), 2: (0, None)}
        found = records(warehouse, f"SELECT * FROM {made.table}")
        assert [(row["k"], row["x"]) for row in sorted(found, key=lambda row: row["number"])] == [
            ("a", 1.5),
            (None, None),
            ("", 2.0),
        ]
        assert made.definition["spine"].startswith(f"file it's a spine{suffix}, sha256 ")
    query = "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'spine__%'"
    assert records(warehouse, query) == []


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize("warehouse", ["duckdb", "snowflake"], indirect=True)
def test_a_spine_is_the_named_file_and_no_other(
    warehouse: Warehouse, suffix: str, tmp_path: Path
) -> None:
    """DuckDB takes `[1]` in a path for a pattern, and readers a folder `x=y` for a column."""
    rig = filled(warehouse)
    folder = tmp_path / "x=y"
    folder.mkdir()
    for number, name in ((1, "sp[1]"), (2, "sp1")):
        rows = pa.table({"number": [number], "k": ["a"], "t": [AT]})
        if suffix == ".csv":
            options = pyarrow.csv.WriteOptions(delimiter=";")
            pyarrow.csv.write_csv(rows, folder / f"{name}{suffix}", options)
        else:
            pyarrow.parquet.write_table(rows, folder / f"{name}{suffix}")
    made = create(rig, folder / f"sp[1]{suffix}")
    [row] = records(warehouse, f"SELECT * FROM {made.table}")
    assert row["number"] == 1
    assert "x" not in row


@pytest.mark.parametrize("warehouse", ["duckdb", "snowflake"], indirect=True)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("repeated.csv", "two of its columns have one name: 'k' and 'K'"),
        ("empty.csv", "its first line is empty"),
        ("none.parquet", "none.parquet can't be read: No such file"),
        ("broken.parquet", "broken.parquet"),
        ("rows.txt", "unknown file format '.txt'"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(
    warehouse: Warehouse, name: str, words: str, tmp_path: Path
) -> None:
    rig = filled(warehouse)
    for present in ("broken.parquet", "rows.txt"):
        (tmp_path / present).write_text("no rows")
    (tmp_path / "repeated.csv").write_text("k,t,K\n1,2024-01-01,2\n")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(PlaneError, match=words):
        create(rig, tmp_path / name)
