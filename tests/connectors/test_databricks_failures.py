"""How the Databricks connector fails: in our words, with something to do, and with nothing lost or
done twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from connectors.databricks import connect
from connectors.databricks.warehouse import DatabricksWarehouse
from controlplane.base.ports import Statement
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError
from tests.connectors.databricks_rig import endpoint, opened, warehouse
from tests.endpoints.databricks.client import (
    CLIENT_ID,
    CLIENT_SECRET,
    DatabricksEndpoint,
    own_schema,
)

ENDLESS = "SELECT sum(hash(id)) AS total FROM range(20000000)"
MANY_ROWS = "SELECT id FROM range(300000)"
"""Enough for files behind links."""
SEVERAL_PARTS = "SELECT id % 2 = 0 AS even FROM range(200000)"
"""Small enough to come inline, in several answers."""

__all__ = ["endpoint", "opened", "warehouse"]


@pytest.fixture(scope="module")
def schema(opened: DatabricksWarehouse) -> Iterator[str]:
    with own_schema(opened) as name:
        run(opened, f"CREATE TABLE {name}.numbers AS SELECT id AS x, 'a' AS s FROM range(3)")
        yield name


def rows(warehouse: DatabricksWarehouse, sql: str) -> list[dict[str, object]]:
    return [row for batch in warehouse.fetch(sql) for row in batch.to_pylist()]


def run(warehouse: DatabricksWarehouse, sql: str, name: str = "work") -> int:
    [count] = warehouse.execute([Statement(name, sql)])
    return count


def states(endpoint: DatabricksEndpoint, text: str) -> list[str]:
    """How the statements ended that hold `text`."""
    return [entry["state"] for entry in endpoint.history if text in entry["sql"]]


@pytest.mark.parametrize(
    ("sql", "message", "hint"),
    [
        (
            "SELECT nope FROM {schema}.numbers",
            "`nope` cannot be resolved.",
            "Did you mean one of the following? [`",
        ),
        ("SELECT * FROM {schema}.nope", "cannot be found", "check the name and the catalog"),
        ("SELEC 1", "Syntax error at or near 'SELEC'", ""),
        ("SELECT CAST('x' AS INT) AS x", 'cannot be cast to "INT"', "compare the types"),
        ("SELECT element_at(array(1), 2) AS x", "out of bounds", ""),
        ("INSERT INTO {schema}.numbers SELECT 'x' AS x, array(1) AS s", "", "compare the types"),
        ("SELECT raise_error('a b\nc') AS x", "a b", ""),
    ],
)
def test_an_error_is_one_line_and_helps(warehouse, schema, sql, message, hint):
    with pytest.raises(PermanentError) as raised:
        run(warehouse, sql.format(schema=schema))
    assert raised.value.message.startswith("work: ")
    assert message in raised.value.message
    assert "\n" not in raised.value.message
    assert not {"SQLSTATE", "org.apache", "["} & set(
        raised.value.message.replace("[`", "").split(" ")
    )
    assert raised.value.hint.startswith(hint) if hint else raised.value.hint == ""


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        (
            (
                "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have SELECT on"
                " Table 't'."
            ),
            PermanentError,
            "ask the owner for the grant",
        ),
        (
            (
                "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: Files were added to the root"
                " of the table. SQLSTATE: 2D521"
            ),
            TransientError,
            "another writer changed the same table: try again",
        ),
        (
            "[DELTA_METADATA_CHANGED] MetadataChangedException: The metadata has changed.",
            TransientError,
            "another writer",
        ),
        (
            "[DELTA_FAILED_TO_MERGE_FIELDS] Failed to merge fields 'x' and 'x'",
            PermanentError,
            "compare the types",
        ),
        ("Python UDF is not supported.", PermanentError, "use a pro or serverless SQL warehouse"),
        (
            "Error running query: org.apache.spark.X: [TABLE_OR_VIEW_NOT_FOUND] No t.",
            PermanentError,
            "check the name",
        ),
    ],
)
def test_errors_that_only_databricks_has(warehouse, endpoint, said, kind, hint):
    endpoint.fault("error", pattern="only there", message=said)
    with pytest.raises(kind) as raised:
        run(warehouse, "SELECT 'only there'")
    assert raised.value.hint.startswith(hint)


def test_what_a_function_in_python_raises_is_told_in_its_own_words(warehouse):
    body = "raise RuntimeError('its own: words' if plane_1 else 'others')"
    run(
        warehouse,
        "CREATE OR REPLACE TEMPORARY FUNCTION `fails`(`plane_1` BIGINT)\nRETURNS BIGINT\nLANGUAGE"
        f" PYTHON\nDETERMINISTIC\nAS $$\n{body}\n$$",
    )
    with pytest.raises(PermanentError) as raised:
        run(warehouse, "SELECT fails(41) AS x")
    assert (raised.value.message, raised.value.hint) == ("work: its own: words", "")


def test_two_writers_of_one_table(endpoint, warehouse, schema):
    run(warehouse, f"CREATE TABLE {schema}.contended AS SELECT id AS x, 0L AS n FROM range(3)")
    slow = "(SELECT max(id) - 999999 AS x, 1L AS n FROM range(1000000) WHERE hash(id) IS NOT NULL)"
    found: list[PlaneError] = []
    other = connect(**endpoint.options())

    def merge() -> None:
        try:
            run(
                other,
                f"MERGE INTO {schema}.contended AS t USING {slow} AS s ON t.x = s.x WHEN MATCHED"
                " THEN UPDATE SET *",
            )
        except PlaneError as error:
            found.append(error)

    thread = threading.Thread(target=merge)
    thread.start()
    while thread.is_alive() and not found:
        run(warehouse, f"UPDATE {schema}.contended SET n = n + 1")
    thread.join()
    other.close()
    [error] = found
    assert isinstance(error, TransientError)
    assert error.hint == "another writer changed the same table: try again"


def test_a_statement_that_is_sent_again_leaves_one_copy(warehouse, endpoint, schema):
    run(warehouse, f"CREATE TABLE {schema}.once (day DATE, x BIGINT)")
    endpoint.fault("drop", pattern="REPLACE WHERE")
    run(
        warehouse,
        f"INSERT INTO {schema}.once REPLACE WHERE day = DATE '2026-01-01' SELECT DATE '2026-01-01',"
        " id FROM range(3)",
    )
    assert states(endpoint, "INSERT INTO " + schema + ".once REPLACE") == ["FINISHED", "FINISHED"]
    assert rows(warehouse, f"SELECT count(*) AS n FROM {schema}.once") == [{"n": 3}]


def test_a_warehouse_that_is_busy_for_a_moment(warehouse, endpoint):
    endpoint.fault("status", pattern="busy", status=503)
    started = time.monotonic()
    assert rows(warehouse, "SELECT 'busy' AS x") == [{"x": "busy"}]
    assert time.monotonic() - started < 40  # the driver's own longest wait is a minute


@pytest.mark.parametrize("status", [500, 502])
def test_a_warehouse_that_breaks_down(warehouse, endpoint, status):
    endpoint.fault("status", pattern="breaks", status=status)
    with pytest.raises(TransientError, match=r"^work: ") as raised:
        run(warehouse, "SELECT 'breaks'")
    assert raised.value.hint.endswith("try again")
    assert run(warehouse, "SELECT 'breaks no more'") == -1


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "expire"},
        {
            "kind": "status",
            "status": 400,
            "message": "BAD_REQUEST: Invalid SessionHandle: Session [01f0] is closed.",
        },
    ],
)
def test_a_session_that_has_expired(warehouse, endpoint, fault):
    endpoint.fault(**fault, pattern="afresh")
    assert rows(warehouse, "SELECT 'afresh' AS x, current_timezone() AS zone") == [
        {"x": "afresh", "zone": "UTC"}
    ]
    endpoint.fault(**fault, pattern="afresh too", times=2)
    with pytest.raises(TransientError):
        rows(warehouse, "SELECT 'afresh too' AS x")
    assert rows(warehouse, "SELECT 'afresh too' AS x") == [{"x": "afresh too"}]


@pytest.mark.parametrize("sql", ["SELECT 1 AS x", SEVERAL_PARTS, MANY_ROWS])
def test_a_result_that_is_cut_short(warehouse, endpoint, sql):
    endpoint.fault("truncate", pattern="^SELECT")
    with pytest.raises(TransientError, match=r"^reading: "):
        rows(warehouse, sql)
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]


def test_an_answer_with_rows_that_is_lost(warehouse, endpoint):
    endpoint.fault("drop", method="FetchResults")
    with pytest.raises(TransientError, match=r"^reading: "):
        rows(warehouse, SEVERAL_PARTS)


@pytest.mark.parametrize("sql", [ENDLESS, "SELECT 'slow' AS x"])
def test_a_statement_that_takes_too_long(endpoint, sql):
    endpoint.fault("slow", pattern="slow", seconds=60)
    warehouse = connect(**endpoint.options(query_timeout=3))
    with pytest.raises(PermanentError, match=r"^reading: ") as raised:
        rows(warehouse, sql)
    assert raised.value.hint.startswith("raise query_timeout")
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]
    warehouse.close()


@pytest.mark.parametrize(
    "work",
    [
        lambda warehouse, schema: run(warehouse, f"CREATE TABLE {schema}.total AS {ENDLESS}"),
        lambda warehouse, schema: rows(warehouse, ENDLESS),
        lambda warehouse, schema: warehouse.execute(
            [Statement("work", ENDLESS), Statement("more", f"CREATE TABLE {schema}.total (x INT)")]
        ),
    ],
)
@pytest.mark.parametrize("after", [0.3, 1.3])
def test_what_runs_can_be_cancelled_from_another_thread(warehouse, endpoint, schema, work, after):
    before = len(endpoint.history)
    timer = threading.Timer(after, warehouse.cancel)
    timer.start()
    with pytest.raises(PermanentError) as raised:
        work(warehouse, schema)
    timer.join()
    assert raised.value.message.endswith(": cancelled")
    assert [entry["state"] for entry in endpoint.history[before:]] == ["CANCELED"]
    assert warehouse.columns([f"{schema}.total"]) == {f"{schema}.total": None}


def test_cancelling_where_nothing_runs(warehouse):
    warehouse.cancel()
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]


def test_a_wrong_token(endpoint):
    with pytest.raises(PermanentError, match="refused the credentials") as raised:
        connect(**endpoint.options(access_token="dapi-of-somebody-else"))
    assert raised.value.hint.startswith("check the credentials")
    assert "dapi" not in str(raised.value)


def test_a_warehouse_that_is_not_there(endpoint):
    options = endpoint.options()
    with pytest.raises(PermanentError, match="refused the request") as raised:
        connect(**options | {"url": options["url"] + "-gone"})
    assert raised.value.hint.startswith("check server_hostname and http_path")


def test_nobody_at_the_address(endpoint):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.monotonic()
    with pytest.raises(TransientError, match=r"^connecting to 127.0.0.1: Connection refused"):
        connect(**endpoint.options(url=f"http://127.0.0.1:{port}/sql/1.0/warehouses/tests"))
    assert time.monotonic() - started < 2


def test_a_catalog_that_is_not_there(endpoint):
    with pytest.raises(PermanentError, match="nowhere"):
        connect(**endpoint.options(catalog="nowhere"))


def test_a_service_principal_signs_in(endpoint):
    warehouse = connect(**endpoint.options(client_id=CLIENT_ID, client_secret=CLIENT_SECRET))
    assert rows(warehouse, "SELECT 1 AS x") == [{"x": 1}]
    warehouse.close()


def test_a_service_principal_with_a_wrong_secret(endpoint):
    with pytest.raises(PermanentError, match="service principal was refused") as raised:
        connect(**endpoint.options(client_id=CLIENT_ID, client_secret="what was it"))
    assert "what was it" not in str(raised.value)


@pytest.mark.parametrize(
    "ways",
    [
        {},
        {"access_token": "dapi-secret", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        {"access_token": "dapi-secret", "auth_type": "databricks-oauth"},
        {"access_token": "dapi-secret", "client_id": CLIENT_ID},
        {"client_id": CLIENT_ID},
        {"auth_type": "pat"},
    ],
)
def test_it_must_be_clear_how_to_sign_in(ways):
    with pytest.raises(SettingsError) as raised:
        connect(server_hostname="example.invalid", http_path="/sql/1.0/warehouses/1", **ways)
    assert "dapi-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        {"url": "https://token:dapi-secret@example.invalid/sql"},
        {"url": "https://token:dapi-secret/x@example.invalid/sql"},
        {"url": "jdbc:databricks://example.invalid:443;PWD=dapi-secret"},
        {"url": "https://[dapi-secret@example.invalid/sql"},
        {"server_hostname": "token:dapi-secret@example.invalid", "http_path": "/sql"},
        {"server_hostname": "example.invalid:dapi-secret", "http_path": "/sql"},
    ],
)
def test_c6_an_address_with_credentials_is_refused_and_not_repeated(address):
    with pytest.raises(SettingsError) as raised:
        connect(access_token="t", **address)
    assert "secret" not in str(raised.value)
    assert "access_token" in raised.value.hint


def test_no_secret_is_shown(warehouse, endpoint):
    assert endpoint.token not in f"{warehouse!r} {vars(warehouse)} {warehouse.info()}"


def test_a_session_that_is_closed_twice(endpoint):
    warehouse = connect(**endpoint.options())
    warehouse.close()
    warehouse.close()
