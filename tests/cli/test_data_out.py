"""Rows leave the warehouse: queries, training sets and files, by the command line and by Python."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from controlplane import ControlPlane
from controlplane.errors import MissingDriver, PlaneError
from tests.cli.test_commands import CREATE
from tests.shop import Shop

TRAINED = pa.table(
    {
        "user_id": pa.array([1, 2, 1, 3], pa.int64()),
        "paid_at": pa.array(
            [datetime(2024, 1, d, d + 7) for d in (1, 2)]  # noqa: DTZ001 - in UTC
            + [datetime(2024, 1, 4, h) for h in (10, 11)],  # noqa: DTZ001
            pa.timestamp("us"),
        ),
        "amount": pa.array([10, 20, 30, 40], pa.int64()),
        "country": ["DE", "FR", "NO", "DE"],
        "spend__count_1d": pa.array([0, 0, 0, 0], pa.int64()),
        "spend__amount_sum_2d": pa.array([None, None, None, None], pa.int64()),
        "spend__country": pa.array([None, None, "DE", None], pa.string()),
    }
)
"""The training set of the shop's payments, one row for each payment."""


@pytest.fixture
def trained(shop: Shop) -> Shop:
    """A shop with a training set."""
    shop.plane(*CREATE, "--from-source")
    return shop


@pytest.fixture
def plane(trained: Shop) -> Iterator[ControlPlane]:
    """The same shop, for Python."""
    with ControlPlane(trained.folder) as opened:
        yield opened


def test_a_query_shows_its_first_rows_with_their_types(shop: Shop):
    sql = "SELECT user_id, paid_at, amount FROM raw.payments ORDER BY user_id, paid_at; -- all"
    done = shop.plane("query", sql, "--rows", "2")
    assert [line.split() for line in done.out.splitlines()[:4]] == [
        ["user_id", "paid_at", "amount"],
        ["int64", "timestamp", "int64"],
        ["1", "2024-01-01T08:00:00Z", "10"],
        ["1", "2024-01-04T10:00:00Z", "30"],
    ]
    assert done.out.splitlines()[4].startswith("the first 2 rows")
    assert shop.plane("query", sql, "--rows", "4").out.endswith("\n4 rows\n")
    found = shop.plane("query", sql, "--rows", "1", "--json").json
    assert found == {
        "columns": {"user_id": "int64", "paid_at": "timestamp", "amount": "int64"},
        "rows": [{"user_id": 1, "paid_at": "2024-01-01T08:00:00Z", "amount": 10}],
        "more": True,
    }


def test_no_value_of_the_warehouse_controls_the_terminal(shop: Shop):
    sql = (
        "SELECT 'a' || chr(27) || '[2Jb' || chr(10) || 'c' || chr(13) AS x, [chr(7)] AS l,"
        " 'é\u00a0ü' AS plain"
    )
    out = shop.plane("query", sql).out
    assert out.splitlines()[2].split("  ")[:2] == ["a\\x1b[2Jb\\nc\\r", "[\\x07]"]
    assert "é\u00a0ü" in out
    assert shop.plane("query", sql, "--json").json["rows"][0]["x"] == "a\x1b[2Jb\nc\r"
    name = 'SELECT 1 AS "x\x1b[2J\ny"'
    assert shop.plane("query", name).out.splitlines()[0] == "x\\x1b[2J\\ny"
    said = shop.plane("query", "SELECT error('stop' || chr(27) || '[2J') AS x", code=1).err
    assert "stop\\x1b[2J" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DROP TABLE raw.payments", "its SQL writes"),
        ("DELETE FROM raw.payments", "its SQL writes"),
        ("CREATE OR REPLACE TABLE raw.payments AS SELECT 1 AS a", "its SQL writes"),
        ("ALTER TABLE raw.payments ADD COLUMN x INTEGER", "its SQL writes"),
        ("TRUNCATE TABLE raw.payments", "its SQL writes"),
        ("SELECT 1; DROP TABLE raw.payments", "its SQL writes"),
        ("SELECT 1; SELECT 2", "its SQL must be exactly one SELECT"),
        ("DESCRIBE raw.payments", "information_schema.columns"),
        ("SHOW TABLES", "or run `plane describe`"),
        ("SUMMARIZE raw.payments", "or run `plane describe`"),
        ("SELECT * INTO raw.copied FROM raw.payments", "its SQL writes"),
        (
            "WITH gone AS (DELETE FROM raw.payments RETURNING *) SELECT * FROM gone",
            "its SQL writes",
        ),
        ("SELECT (1", "does not parse"),
        ("SELECT * FROM raw.nowhere", "the warehouse refuses the query"),
        ("SELECT 1 AS a, 2 AS a", "two of its columns have one name"),
    ],
)
def test_a_query_only_reads(shop: Shop, sql: str, words: str):
    assert words in shop.fails("query", sql)
    assert shop.sql("SELECT count(*) FROM raw.payments") == [(4,)]


@pytest.mark.parametrize(
    "sql", ["LOAD httpfs", "CALL pragma_version()", "EXPLAIN SELECT 1", "SHOW TABLES"]
)
def test_the_only_words_about_another_statement_are_the_error(shop: Shop, sql: str):
    err = shop.plane("query", sql, code=1).err
    assert err.startswith("error: the query can't be run: its SQL must be exactly one SELECT\n")
    assert err.count("\n") == 2


def test_python_reads_a_query_as_it_likes(plane: ControlPlane):
    rows = plane.query("SELECT * FROM datasets.one__v1 ORDER BY amount")
    assert rows.to_arrow() == TRAINED
    assert pa.table(rows) == TRAINED  # by the interface that every library of DataFrames has
    assert pa.Table.from_batches(rows.batches()) == TRAINED
    assert rows.head(1)[0]["paid_at"] == datetime(2024, 1, 1, 8, tzinfo=UTC)
    frame = rows.to_pandas()
    # Integers next to nulls stay integers.
    assert str(frame["spend__amount_sum_2d"].dtype) == "int64[pyarrow]"
    assert pa.Table.from_pandas(frame).select(["amount"]) == TRAINED.select(["amount"])
    assert repr(plane.query("SELECT 1 AS a")) == "Rows(a: int64)"


def test_a_result_without_rows_keeps_its_columns(plane: ControlPlane, tmp_path: Path):
    rows = plane.query("SELECT * FROM datasets.one__v1 WHERE amount < 0")
    assert rows.to_arrow().schema == TRAINED.schema
    assert rows.export(tmp_path / "none.csv") == 0
    assert rows.export(tmp_path / "none.parquet") == 0
    assert pq.read_table(tmp_path / "none.parquet").column_names == TRAINED.column_names
    header = ",".join(f'"{name}"' for name in TRAINED.column_names)
    assert (tmp_path / "none.csv").read_text() == f"{header}\n"


def test_a_missing_library_is_named(plane: ControlPlane):
    with pytest.raises(MissingDriver, match="polars is not installed") as raised:
        plane.query("SELECT 1 AS a").to_polars()
    assert raised.value.hint == "pip install polars, or use to_arrow()"


def test_a_long_result_arrives_in_pieces(plane: ControlPlane):
    batches = plane.query("SELECT i AS n FROM range(1000000) AS r(i)").batches()
    assert 0 < next(batches).num_rows < 100_000
    batches.close()
    # The warehouse is free for the next statement.
    assert plane.query("SELECT 1 AS a").head() == [{"a": 1}]


def test_what_was_created_is_read(trained: Shop):
    with ControlPlane(trained.folder) as plane:
        created = plane.create_dataset(
            "two", service="shop", spine="raw.payments", time="paid_at", from_source=True
        )
        assert created.to_arrow().sort_by("amount") == TRAINED
        assert len(created.to_pandas()) == created.row_count == 4
        assert [listed.name for listed in plane.datasets()] == ["one", "two"]
        assert plane.dataset("two").to_arrow().sort_by("amount") == TRAINED
        # A training set can be the spine of another.
        again = plane.create_dataset(
            "three",
            service="shop",
            spine=plane.query("SELECT user_id, paid_at, amount FROM datasets.two__v1"),
            time="paid_at",
            from_source=True,
        )
        assert again.to_arrow().num_rows == 4


def test_a_training_set_says_how_it_was_made(trained: Shop):
    done = trained.plane("dataset", "show", "one")
    facts = dict(line.split(maxsplit=1) for line in done.out.splitlines()[1:8])
    assert facts["table"] == '"datasets"."one__v1"'
    assert facts["spine"] == "SELECT * FROM raw.payments"
    assert facts["values"] == "as scheduled, from the sources"
    assert ["spend__count_1d", "int64", "feature"] in map(str.split, done.out.splitlines())
    found = trained.plane("dataset", "show", "one", "--json").json
    assert found["training_set"]["row_count"] == 4
    assert found["definition"]["time"] == "paid_at"
    assert found["columns"]["spend__country"] == "string"
    assert "choose from: one" in trained.fails("dataset", "show", "two")
    assert "choose from: 1" in trained.fails("dataset", "show", "one", "--version", "2")


def test_a_training_set_is_exported(trained: Shop):
    out = trained.plane("dataset", "export", "one", "one.parquet").out
    assert out == 'wrote one.parquet: 4 rows of "datasets"."one__v1"\n'
    exported = pq.read_table(trained.folder / "one.parquet")
    assert exported.sort_by("amount").cast(TRAINED.schema) == TRAINED
    found = trained.plane("dataset", "export", "one", "one.csv", "--json").json
    assert (found["file"], found["rows"], found["training_set"]["version"]) == ("one.csv", 4, 1)
    lines = (trained.folder / "one.csv").read_text().splitlines()
    assert lines[1] == '1,2024-01-01 08:00:00.000000,10,"DE",0,,'
    assert sorted(path.name for path in trained.folder.glob("*one*")) == ["one.csv", "one.parquet"]


def test_every_number_is_exported_as_it_is(shop: Shop):
    wide = "SELECT 9007199254740993::HUGEINT AS n, [1, NULL] AS l, 1.50::DECIMAL(9,2) AS d"
    shop.plane("query", wide, "-o", "wide.parquet")
    assert pq.read_table(shop.folder / "wide.parquet").to_pylist() == [
        {"n": Decimal(9007199254740993), "l": [1, None], "d": Decimal("1.50")}
    ]
    assert "CSV has no form for the lists in the column 'l'" in shop.fails(
        "query", wide, "-o", "wide.csv"
    )
    assert not list(shop.folder.glob("*wide.csv*"))


EXTREMES = [
    *("TIMESTAMP 'infinity'", "TIMESTAMP '-infinity'", "DATE 'infinity'", "DATE '-infinity'"),
    *("TIMESTAMPTZ 'infinity'", "TIMESTAMP_NS '-infinity'", "TIMESTAMP_S 'infinity'"),
    *("TIMESTAMP '20000-02-29 01:02:03.5'", "TIMESTAMP '294247-01-10 04:00:54'"),
    *("DATE '10000-01-01'", "DATE '4001-02-29 (BC)'", "DATE '0001-12-31 (BC)'"),
    *("TIMESTAMP '0044-03-15 (BC) 01:00:00'", "TIMESTAMPTZ '20000-01-01 00:00:00+00'"),
]


@pytest.mark.parametrize("time", EXTREMES)
def test_a_time_that_python_can_not_hold_is_the_text_of_the_warehouse(shop: Shop, time: str):
    sql = f"SELECT x, CAST(x AS VARCHAR) AS text, [x] AS l FROM (SELECT {time} AS x)"
    with ControlPlane(shop.folder) as plane:
        rows = plane.query(sql)
        [row] = rows.head()
        assert (row["x"], row["l"]) == (row["text"], [row["text"]])
        with pytest.raises(
            PlaneError, match="the column 'x' has a time that is infinite"
        ) as raised:
            plane.query(f"SELECT {time} AS x").export(shop.folder / "x.csv")
        assert "cast the column to a text" in raised.value.hint
        assert not list(shop.folder.glob("*x.csv*"))
        assert rows.export(shop.folder / "x.parquet") == 1


def test_the_ends_of_the_calendar_are_times(shop: Shop):
    ends = ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"]
    with ControlPlane(shop.folder) as plane:
        for end in ends:
            rows = plane.query(f"SELECT TIMESTAMP '{end}' AS x, DATE '{end[:10]}' AS d")
            at = datetime.fromisoformat(end).replace(tzinfo=UTC)
            assert rows.head() == [{"x": at, "d": at.date()}]
            assert rows.export(shop.folder / "x.csv") == 1
        # Infinities beside other times.
        mixed = plane.query(
            "SELECT * FROM (VALUES (TIMESTAMP 'infinity'), (NULL), (TIMESTAMP '2024-01-01')) v(t)"
        ).head()
        assert [row["t"] for row in mixed] == ["infinity", None, datetime(2024, 1, 1, tzinfo=UTC)]


def test_a_training_set_with_an_infinite_time(shop: Shop):
    shop.sql(
        "CREATE TABLE raw.spine AS SELECT 1::BIGINT AS user_id, TIMESTAMP 'infinity' AS paid_at"
    )
    create = ("dataset", "create", "one", "--service", "shop", "--spine", "raw.spine")
    shop.plane(*create, "--time", "paid_at", "--from-source")
    assert "\ninfinity" in shop.plane("query", "SELECT paid_at FROM datasets.one__v1").out
    found = shop.plane("query", "SELECT paid_at FROM datasets.one__v1", "--json").json
    assert found["rows"] == [{"paid_at": "infinity"}]
    assert "the column 'paid_at' has a time" in shop.fails("dataset", "export", "one", "one.csv")
    shop.plane("dataset", "export", "one", "one.parquet")
    cast = "SELECT * REPLACE (CAST(paid_at AS VARCHAR) AS paid_at) FROM datasets.one__v1"
    shop.plane("query", cast, "-o", "one.csv")
    assert '"infinity"' in (shop.folder / "one.csv").read_text()


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("one.txt", "unknown file format '.txt'"),
        ("nowhere/one.parquet", "can't be written: No such file or directory"),
        ("nowhere/one.csv", "can't be written: No such file or directory"),
        ("folder.parquet", "folder.parquet is not a file"),
    ],
)
def test_a_file_that_can_not_be_written_is_named(trained: Shop, file: str, words: str):
    (trained.folder / "folder.parquet").mkdir()
    assert words in trained.fails("dataset", "export", "one", file, "--json")


def killed_before_the_file_appears() -> None:
    """End the process when the complete file is about to get its name."""

    def watch(event: str, arguments: tuple) -> None:
        if event == "os.rename" and ".part" in str(arguments[0]):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def interrupted_before_the_file_appears() -> None:
    """Press Ctrl-C at the same moment."""

    def watch(event: str, arguments: tuple) -> None:
        if event == "os.rename" and ".part" in str(arguments[0]):
            signal.raise_signal(signal.SIGINT)

    sys.addaudithook(watch)


@pytest.mark.parametrize("file", ["one.parquet", "one.csv"])
def test_a_killed_export_leaves_the_earlier_file(trained: Shop, file: str):
    path = trained.folder / file
    path.write_text("earlier")
    done = trained.start(
        "dataset", "export", "one", file, hook=killed_before_the_file_appears
    ).wait()
    assert done.code == -signal.SIGKILL
    assert path.read_text() == "earlier"
    trained.plane(
        "dataset", "export", "one", file, code=1, hook=interrupted_before_the_file_appears
    )
    assert path.read_text() == "earlier"
    trained.plane("dataset", "export", "one", file)
    assert path.read_bytes() != b"earlier"
    # Only the killed process could not remove its own.
    assert len(list(trained.folder.glob(".one.*.part"))) == 1


def test_a_link_to_a_file_stays_a_link(trained: Shop, tmp_path: Path):
    (trained.folder / "one.csv").symlink_to(tmp_path / "real.csv")
    trained.plane("dataset", "export", "one", "one.csv")
    assert (trained.folder / "one.csv").is_symlink()
    assert len((tmp_path / "real.csv").read_text().splitlines()) == 5


def test_a_dropped_training_set_is_gone_for_good(trained: Shop):
    trained.plane(*CREATE, "--from-source")
    assert "pass --yes" in trained.plane("dataset", "drop", "one", code=1).err
    assert "pass --yes" in trained.fails("dataset", "drop", "one", "--json")
    assert len(trained.plane("dataset", "list", "--json").json) == 2
    out = trained.plane("dataset", "drop", "one", "--version", "2", "--yes").out
    assert out == 'dropped "datasets"."one__v2"\n'
    assert [d["version"] for d in trained.plane("dataset", "list", "--json").json] == [1]
    # Its number is not used again: the name of a version always means the same rows.
    assert trained.plane(*CREATE, "--from-source", "--json").json["version"] == 3
    with ControlPlane(trained.folder) as plane:
        assert [created.version for created in plane.drop_dataset("one")] == [1, 3]
        assert plane.datasets() == []
        with pytest.raises(PlaneError, match="there is no training set 'one'"):
            plane.drop_dataset("one")
    [(tables,)] = trained.sql("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'datasets'")
    assert tables == 0
    noted = trained.sql("SELECT definition FROM _plane.datasets ORDER BY version")
    assert ['"dropped":{"by":' in definition for (definition,) in noted] == [True, True, True]
