"""The local Databricks: what it can't do is an error, and what it does is done by a real Spark with
real Delta Lake."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib import error, request
from urllib.parse import urlsplit

import lz4.frame
import pyarrow as pa
import pytest
from databricks import sql as driver
from databricks.sql.client import Connection
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.THttpClient import THttpClient

from tests.endpoints.databricks.client import DatabricksEndpoint


@pytest.fixture
def connection(databricks: DatabricksEndpoint) -> Iterator[Connection]:
    options = databricks.options()
    with driver.connect(
        server_hostname=options["server_hostname"],
        http_path=options["http_path"],
        access_token=options["access_token"],
        _connection_uri=options["url"],
        enable_telemetry=False,
    ) as connection:
        yield connection


def asked(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        return [tuple(row) for row in cursor.execute(sql).fetchall()]


def rest(
    databricks: DatabricksEndpoint, method: str, path: str, body: object = None
) -> dict[str, Any]:
    place = urlsplit(databricks.address)
    wanted = request.Request(
        f"{place.scheme}://{place.netloc}/api/2.0/sql/{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"Authorization": f"Bearer {databricks.token}"},
    )
    try:
        with request.urlopen(wanted) as answer:
            found: dict[str, Any] = json.load(answer)
    except error.HTTPError as refused:
        return {"status": refused.code, **json.load(refused)}
    return found


def in_python(signature: str, body: str, *, returns: str = "BIGINT") -> str:
    """The statement that makes a function."""
    made = (
        f"CREATE OR REPLACE TEMPORARY FUNCTION {signature}\nRETURNS {returns}\nLANGUAGE"
        " PYTHON\nDETERMINISTIC"
    )
    return f"{made}\nAS $$\n{body}\n$$"


def rest_error(databricks: DatabricksEndpoint, sql: str) -> str:
    """What a statement in a session of its own fails with."""
    answer = rest(databricks, "POST", "statements", {"statement": sql, "wait_timeout": "50s"})
    told: str = answer["status"]["error"]["message"]
    return told


def test_tables_are_deltas_own(connection):
    asked(connection, "CREATE SCHEMA IF NOT EXISTS endpoint")
    asked(
        connection,
        "CREATE OR REPLACE TABLE endpoint.t (k BIGINT, v DOUBLE) TBLPROPERTIES ('team' = 'risk')",
    )
    assert asked(connection, "INSERT INTO endpoint.t VALUES (1, 1.0), (2, 2.0)") == [(2, 2)]
    asked(connection, "INSERT INTO endpoint.t REPLACE WHERE k = 2 VALUES (2, 5.0)")
    with pytest.raises(driver.ServerOperationError, match="DELTA_REPLACE_WHERE_MISMATCH"):
        asked(connection, "INSERT INTO endpoint.t REPLACE WHERE k = 2 VALUES (3, 5.0)")
    assert asked(connection, "SELECT * FROM endpoint.t ORDER BY k") == [(1, 1.0), (2, 5.0)]
    assert asked(connection, "SELECT count(*) FROM endpoint.t VERSION AS OF 1") == [(2,)]
    assert asked(connection, "DESCRIBE DETAIL endpoint.t")[0][0] == "delta"


@pytest.mark.parametrize(
    "sql",
    [
        "GRANT SELECT ON TABLE endpoint.t TO `analysts`",
        "REVOKE SELECT ON TABLE endpoint.t FROM `analysts`",
        "ALTER TABLE endpoint.t SET TAGS ('pii' = 'no')",
        "ALTER TABLE endpoint.t ALTER COLUMN k SET TAGS ('pii' = 'no')",
        "ALTER SCHEMA endpoint OWNER TO `analysts`",
    ],
)
def test_what_only_unity_catalog_understands_is_recorded(databricks, connection, sql):
    assert asked(connection, sql) == []
    assert databricks.recorded[-1] == sql


@pytest.mark.parametrize(
    "sql",
    [
        "COPY INTO endpoint.t FROM '/files'",
        "CREATE STREAMING TABLE s AS SELECT 1",
        "REFRESH MATERIALIZED VIEW v",
        "BEGIN",
        (
            "CREATE OR REPLACE FUNCTION endpoint.f(x BIGINT) RETURNS BIGINT LANGUAGE PYTHON AS"
            " $$\nreturn x\n$$"
        ),
        in_python("`f`(`x` NONSENSE)", "return x"),
        in_python("endpoint.`f`(`x` BIGINT)", "return x"),
        in_python("`f`(`x` BIGINT)", "return x +"),
        in_python("`f`(`x` BIGINT)", "return '$$'"),
        in_python("`f`(`x` BIGINT)", "def f(x): return x").replace("DETERMINISTIC", "HANDLER 'f'"),
    ],
)
def test_what_it_cannot_do_is_an_error(connection, sql):
    with pytest.raises(driver.ServerOperationError):
        asked(connection, sql)


def test_a_function_in_python_is_its_sessions_own(databricks, connection):
    signature = "`shown`(`plane_1` DECIMAL(9, 2), `plane_2` ARRAY<TIMESTAMP_NTZ>, `plane_3` BINARY)"
    body = (
        "import json\n\n\ndef text(*values):\n    return repr(values)\n\n\nreturn text(plane_1,"
        " plane_2, plane_3)"
    )
    made = in_python(signature, body, returns="STRING")
    assert asked(connection, made) == []
    [(told,)] = asked(
        connection, "SELECT shown(2, array(TIMESTAMP_NTZ '1969-12-31 23:59:59.5', NULL), X'00')"
    )
    assert (
        told == "(Decimal('2.00'), [datetime.datetime(1969, 12, 31, 23, 59, 59, 500000), None],"
        " bytearray(b'\\x00'))"
    )
    assert asked(connection, "SELECT shown(NULL, NULL, NULL)") == [("(None, None, None)",)]
    with pytest.raises(driver.ServerOperationError, match="WRONG_NUM_ARGS"):
        asked(connection, "SELECT shown(2)")
    with pytest.raises(driver.ServerOperationError, match=r"DATATYPE_MISMATCH|CAST"):
        asked(connection, "SELECT shown(2, X'00', X'00')")
    assert "UNRESOLVED_ROUTINE" in rest_error(databricks, "SELECT shown(NULL, NULL, NULL)")
    asked(connection, made.replace("return text", "raise ValueError('a value'); return text"))
    with pytest.raises(driver.ServerOperationError) as raised:
        asked(connection, "SELECT shown(NULL, NULL, NULL)")
    said = (
        "[UDF_USER_CODE_ERROR.GENERIC] Execution of function shown failed.\n== Error"
        " ==\nValueError: a value\n"
    )
    assert str(raised.value).startswith(said)


def test_an_unknown_setting_is_an_error(databricks):
    options = databricks.options()
    with pytest.raises(driver.DatabaseError, match="CONFIG_NOT_AVAILABLE"):
        driver.connect(
            server_hostname="127.0.0.1",
            http_path=options["http_path"],
            access_token=databricks.token,
            session_configuration={"use_cached_result": "false"},
            _connection_uri=options["url"],
            enable_telemetry=False,
        )


def test_a_parameter_is_an_error(connection):
    with (
        connection.cursor() as cursor,
        pytest.raises(driver.DatabaseError, match="takes no parameters"),
    ):
        cursor.execute("SELECT :x", {"x": 1})


def test_use_catalog(connection):
    asked(connection, "USE CATALOG spark_catalog")
    with pytest.raises(driver.ServerOperationError):
        asked(connection, "USE CATALOG nowhere")


def test_the_catalog_is_listed(connection):
    asked(connection, "CREATE SCHEMA IF NOT EXISTS listed")
    asked(connection, "CREATE OR REPLACE TABLE listed.one (a INT, b ARRAY<STRING>)")
    with connection.cursor() as cursor:
        assert [row.TABLE_CAT for row in cursor.catalogs().fetchall()] == ["spark_catalog"]
        assert "listed" in [row.TABLE_SCHEM for row in cursor.schemas().fetchall()]
        assert [row.TABLE_NAME for row in cursor.tables(schema_name="listed").fetchall()] == ["one"]
        columns = cursor.columns(schema_name="listed", table_name="one").fetchall()
        assert [(row.COLUMN_NAME, row.TYPE_NAME) for row in columns] == [
            ("a", "int"),
            ("b", "array<string>"),
        ]


def test_a_client_without_arrow_gets_columns(databricks):
    transport = THttpClient(databricks.address)
    transport.setCustomHeaders({"Authorization": f"Bearer {databricks.token}"})
    client = TCLIService.Client(TBinaryProtocol(transport))
    session = client.OpenSession(ttypes.TOpenSessionReq(configuration={})).sessionHandle
    wanted = ttypes.TExecuteStatementReq(
        sessionHandle=session,
        statement="SELECT 1L AS n, array(1, NULL) AS l UNION ALL SELECT NULL, NULL",
        canReadArrowResult=False,
    )
    operation = client.ExecuteStatement(wanted).operationHandle
    asking, states = (
        ttypes.TGetOperationStatusReq(operationHandle=operation),
        ttypes.TOperationState,
    )
    while (state := client.GetOperationStatus(asking).operationState) == states.RUNNING_STATE:
        pass  # each answer waits a while for the end
    assert state == states.FINISHED_STATE
    fetching = ttypes.TFetchResultsReq(operationHandle=operation, maxRows=100, maxBytes=1_000_000)
    n, texts = client.FetchResults(fetching).results.columns
    assert (n.i64Val.values, n.i64Val.nulls) == ([1, 0], b"\x02")
    assert (texts.stringVal.values, texts.stringVal.nulls) == (["[1, null]", ""], b"\x02")
    client.CloseSession(ttypes.TCloseSessionReq(sessionHandle=session))
    transport.close()


def test_statements_over_rest(databricks):
    found = rest(
        databricks, "POST", "statements", {"statement": "SELECT 1 AS x, 'y' AS y, NULL AS z"}
    )
    assert found["status"] == {"state": "SUCCEEDED"}
    assert found["result"]["data_array"] == [["1", "y", None]]
    assert (
        rest(databricks, "GET", f"statements/{found['statement_id']}")["manifest"][
            "total_row_count"
        ]
        == 1
    )
    wrong = rest(databricks, "POST", "statements", {"statement": "SELECT nope"})["status"]
    assert wrong["state"] == "FAILED"
    assert wrong["error"]["message"].startswith("[UNRESOLVED_COLUMN")
    assert (
        rest(databricks, "POST", "statements", {"statement": "SELECT 1", "row_limit": 1})["status"]
        == 400
    )
    assert rest(databricks, "GET", "warehouses")["status"] == 404


def test_chunks_over_rest(databricks):
    wanted = {
        "statement": "SELECT id FROM range(450000)",
        "format": "ARROW_STREAM",
        "disposition": "EXTERNAL_LINKS",
    }
    found = rest(databricks, "POST", "statements", {**wanted, "result_compression": "LZ4_FRAME"})
    counts = []
    for chunk in found["manifest"]["chunks"]:
        path = f"statements/{found['statement_id']}/result/chunks/{chunk['chunk_index']}"
        [link] = rest(databricks, "GET", path)["external_links"]
        with request.urlopen(link["external_link"]) as answer:
            counts.append(
                pa.ipc.open_stream(lz4.frame.decompress(answer.read())).read_all().num_rows
            )
    assert counts == [200_000, 200_000, 50_000]


def test_cancelling_over_rest(databricks):
    endless = {"statement": "SELECT sum(hash(id)) FROM range(20000000)", "wait_timeout": "0s"}
    started = rest(databricks, "POST", "statements", endless)
    assert started["status"] == {"state": "RUNNING"}
    rest(databricks, "POST", f"statements/{started['statement_id']}/cancel")
    assert rest(databricks, "GET", f"statements/{started['statement_id']}")["status"] == {
        "state": "CANCELED"
    }


def test_it_ends_with_its_owner(databricks, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        ours = DatabricksEndpoint.start(tmp_path, owner.pid)
        assert ours.history == []
    assert ours.wait(timeout=30) == -signal.SIGKILL
