"""The DuckDB connector: its errors are ours, also in the middle of a stream, and what runs can be cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest

from connectors.duckdb import DuckDBWarehouse, connect
from controlplane.errors import PermanentError, TransientError
from controlplane.ports import Statement
from tests.shop import CHILDREN

ENDLESS = "SELECT sum(hash(i)) AS total FROM range(1_000_000_000_000) AS numbers(i)"


@pytest.fixture
def warehouse() -> Iterator[DuckDBWarehouse]:
    warehouse = connect(path=":memory:")
    yield warehouse
    warehouse.close()


def test_an_error_in_the_middle_of_a_stream(warehouse):
    failing = "SELECT CASE WHEN i = 150000 THEN error('too late') ELSE 'x' END AS x FROM range(200000) AS numbers(i)"
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
    first, broken = Statement("make", "CREATE TABLE one (x BIGINT)"), Statement("break", "SELECT nope")
    with pytest.raises(PermanentError):
        warehouse.execute([first, broken], atomic=True)
    assert warehouse.columns(["one"]) == {"one": None}
    warehouse.execute([first])
    assert warehouse.columns(["one"]) == {"one": {"x": "int64"}}


@pytest.mark.parametrize(
    "work",
    [
        lambda warehouse: warehouse.execute([Statement("count", f"CREATE TABLE total AS {ENDLESS}")], atomic=True),
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
    (tmp_path / "warehouse.duckdb").write_text("this is no database, however long one looks at it" * 100)
    with pytest.raises(PermanentError) as raised:
        connect(path=str(tmp_path / "warehouse.duckdb"))
    assert raised.value.message.startswith(f"opening the warehouse {tmp_path}")
    assert raised.value.hint == "give the path of a DuckDB file, or of one that is not there yet"
