"""The DuckDB connector: its errors are ours, also in the middle of a stream, and what runs can be
cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection

import pyarrow as pa
import pytest

from connectors.duckdb.warehouse import DuckDBWarehouse, connect
from controlplane.base.ports import Estimate, Statement, described
from controlplane.errors import PermanentError, TransientError
from tests.children import CHILDREN

ENDLESS = "SELECT sum(hash(i)) AS total FROM range(1_000_000_000_000) AS numbers(i)"


@pytest.fixture
def warehouse() -> Iterator[DuckDBWarehouse]:
    warehouse = connect(path=":memory:")
    yield warehouse
    warehouse.close()


def test_an_error_in_the_middle_of_a_stream(warehouse):
    failing = (
        "SELECT CASE WHEN i = 150000 THEN error('too late') ELSE 'x' END AS x FROM range(200000) AS"
        " numbers(i)"
    )
    with pytest.raises(PermanentError) as raised:
        list(warehouse.fetch(failing))
    assert raised.value.message == "reading: too late"


def test_an_error_names_its_statement_and_helps(warehouse):
    warehouse.execute([Statement("make", "CREATE TABLE payments (amount BIGINT)")])
    with pytest.raises(PermanentError) as raised:
        warehouse.execute([Statement("count the amounts", "SELECT count(amout) FROM payments")])
    assert raised.value.message.startswith('count the amounts: Referenced column "amout" not found')
    assert "amount" in raised.value.hint


def test_a_transaction_is_all_or_nothing(warehouse):
    first, broken = (
        Statement("make", "CREATE TABLE one (x BIGINT)"),
        Statement("break", "SELECT nope"),
    )
    with pytest.raises(PermanentError):
        warehouse.execute([first, broken], atomic=True)
    assert warehouse.columns(["one"]) == {"one": None}
    warehouse.execute([first])
    assert warehouse.columns(["one"]) == {"one": {"x": "int64"}}


@pytest.mark.parametrize(
    "work",
    [
        lambda warehouse: warehouse.execute(
            [Statement("count", f"CREATE TABLE total AS {ENDLESS}")], atomic=True
        ),
        lambda warehouse: list(warehouse.fetch(ENDLESS)),
    ],
)
def test_what_runs_can_be_cancelled_from_another_thread(warehouse, work):
    timer = threading.Timer(0.3, warehouse.cancel)
    timer.start()
    with pytest.raises(PermanentError) as raised:
        work(warehouse)
    timer.join()
    assert raised.value.message.endswith(": cancelled")
    assert warehouse.columns(["total"]) == {"total": None}
    assert [batch.num_rows for batch in warehouse.fetch("SELECT 1 AS x")] == [1]


def hold(path: str, ready: Connection) -> None:
    warehouse = connect(path=path)
    ready.send(True)
    warehouse.execute([Statement("wait", ENDLESS)])


def test_a_file_that_another_process_has_open(tmp_path):
    path = str(tmp_path / "warehouse.duckdb")
    ours, theirs = CHILDREN.Pipe()
    holder = CHILDREN.Process(target=hold, args=(path, theirs))
    holder.start()
    try:
        assert ours.recv()
        with pytest.raises(TransientError) as raised:
            connect(path=path)
        assert raised.value.message.endswith(f"the file is open by process {holder.pid}")
    finally:
        holder.kill()
        holder.join()


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "warehouse.duckdb").write_text(
        "this is no database, however long one looks at it" * 100
    )
    with pytest.raises(PermanentError) as raised:
        connect(path=str(tmp_path / "warehouse.duckdb"))
    assert raised.value.message.startswith(f"opening the warehouse {tmp_path}")
    assert (
        raised.value.hint == "give the path of a DuckDB file, or of a file that does not exist yet"
    )


QUERIES = (
    (
        "SELECT TRUE AS b, 1::TINYINT AS i, 1.5::FLOAT AS f, 'x' AS s, 'x'::BLOB AS x, DATE"
        " '2024-01-01' AS d"
    ),
    (
        "SELECT TIMESTAMP '2024-01-01' AS t, TIMESTAMPTZ '2024-01-01' AS z, 1.5::DECIMAL(12,2) AS"
        " m, [1, 2] AS l"
    ),
    (
        "SELECT NULL AS nothing, INTERVAL 1 DAY AS interval, {'a': 1} AS record, 'a'::ENUM ('a',"
        " 'b') AS chosen"
    ),
    "WITH rows_read AS (SELECT 1 AS a, 'x' AS a, 2 AS A) SELECT * FROM rows_read",
    "SELECT 1 AS plane__record",
    (
        'WITH one AS (SELECT 1 AS x) SELECT x AS "the ""x""" FROM one ORDER BY 1 LIMIT 1 -- the'
        " only one"
    ),
    "FROM (VALUES (1, 'x'))",
)


def test_many_queries_are_described_as_each_alone(warehouse):
    assert (
        warehouse.describe_all(QUERIES * 7)
        == [described(warehouse, query) for query in QUERIES] * 7
    )
    assert warehouse.describe_all([]) == []


def test_of_many_queries_each_has_its_own_error(warehouse):
    first, broken, last = warehouse.describe_all(
        ["SELECT 1 AS x", "SELECT nope", "SELECT 'x' AS y"]
    )
    assert (first, last) == ({"x": "int64"}, {"y": "string"})
    with pytest.raises(PermanentError) as raised:
        described(warehouse, "SELECT nope")
    assert (broken.message, broken.hint) == (raised.value.message, raised.value.hint)


def test_a_limit_of_memory():
    limited = connect(path=":memory:", memory_limit="200MB")
    [batch] = limited.fetch("SELECT current_setting('memory_limit') AS limit_in_words")
    assert batch.to_pylist() == [{"limit_in_words": "190.7 MiB"}]
    limited.close()
    with pytest.raises(PermanentError) as raised:
        connect(path=":memory:", memory_limit="much")
    assert raised.value.message.startswith("opening the warehouse :memory:")


def test_a_variable_of_this_process_is_no_table():
    payments = pa.table({"a": [1]})
    warehouse = connect(path=":memory:")
    for read in (partial(described, warehouse), lambda sql: list(warehouse.fetch(sql))):
        with pytest.raises(PermanentError, match="Table with name payments does not exist"):
            read("SELECT * FROM payments")
    assert payments.num_rows == 1
    warehouse.close()


def test_queries_are_planned_and_not_run():
    warehouse = connect(path=":memory:")
    warehouse.execute(
        [Statement("fill", "CREATE TABLE t AS SELECT i FROM range(500) AS numbers(i)")]
    )
    right, missing, two = warehouse.explain(
        ["SELECT * FROM t", "SELECT * FROM nowhere", "SELECT 1; DROP TABLE t"]
    )
    assert right == Estimate()
    assert isinstance(missing, PermanentError)
    assert "nowhere" in missing.message
    assert isinstance(two, PermanentError)
    assert "exactly one query" in two.message
    assert warehouse.columns(["t"]) == {"t": {"i": "int64"}}
    warehouse.close()


@pytest.mark.parametrize("atomic", [True, False])
def test_a_statement_that_changes_nothing_may_decide_that_no_other_runs(warehouse, atomic):
    warehouse.execute([Statement("make", "CREATE TABLE decided (x BIGINT)")])
    for take, expected in (
        ("DELETE FROM decided WHERE x = 0", [0]),
        ("INSERT INTO decided SELECT 0", [1, 1]),
    ):
        first = Statement("take", take, decides=True)
        rest = Statement("go on", "INSERT INTO decided SELECT 1")
        assert warehouse.execute([first, rest], atomic=atomic) == expected


def test_a_batch_that_stops_at_its_decision_leaves_nothing(warehouse):
    make = Statement("make", "CREATE OR REPLACE TABLE undone (x INTEGER)")
    warehouse.execute([make])
    begun = Statement("begin", "INSERT INTO undone SELECT 1")
    decided = Statement("take", "DELETE FROM undone WHERE x = 0", decides=True)
    assert warehouse.execute([begun, decided, begun], atomic=True) == [1, 0]
    assert warehouse.execute([Statement("count", "DELETE FROM undone")]) == [0]
