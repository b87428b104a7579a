"""What the doctor says of a warehouse in which rights are granted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.databricks import connect as connect_databricks
from connectors.snowflake.signin import connect
from controlplane.base.ports import Statement, Warehouse
from controlplane.monitor.doctor import findings as doctor
from controlplane.monitor.doctor import warehouse
from tests.endpoints.databricks.client import DatabricksEndpoint, own_schema
from tests.endpoints.databricks.fixture import databricks
from tests.endpoints.snowflake import SnowflakeEndpoint

__all__ = ["databricks"]

MAY = "tables and views can be created, written and dropped"
RUN = "they can be created for a session and run"


@pytest.fixture
def endpoint() -> Iterator[SnowflakeEndpoint]:
    with SnowflakeEndpoint() as endpoint:
        yield endpoint


def findings(
    endpoint: SnowflakeEndpoint, *sources: str, python: bool = False, **options: Any
) -> list[tuple[str, str, str, str]]:
    """Subject, level, message and hint of all that is found."""
    opened = connect(**endpoint.options() | options)
    try:
        return plain(opened, "features", *sources, python=python)
    finally:
        opened.close()


def plain(
    opened: Warehouse, schema: str, *sources: str, python: bool = False
) -> list[tuple[str, str, str, str]]:
    found = warehouse.findings(opened, schema, sources, python=python)
    assert all("\n" not in one.message + one.hint for one in found)
    return [(one.subject, one.level, one.message, one.hint) for one in found]


def names(endpoint: SnowflakeEndpoint) -> list[str]:
    return [text.split()[2] for text, _ in endpoint.history if text.startswith("CREATE TABLE")]


def test_all_is_well(endpoint: SnowflakeEndpoint) -> None:
    opened = connect(**endpoint.options())
    opened.execute(
        [Statement("", "CREATE SCHEMA raw"), Statement("", "CREATE TABLE raw.orders (k NUMBER)")]
    )
    opened.close()
    found = findings(endpoint, "raw.orders", python=True)
    assert [one[:3] for one in found] == [
        (
            "warehouse",
            "ok",
            "Snowflake 10.3.0, LOCAL at 127.0.0.1, PLANE, PLANE_ROLE, COMPUTE, PLANE",
        ),
        ("warehouse", "ok", "COMPUTE is started"),
        ("schema features", "ok", MAY),
        ("schema _plane", "ok", MAY),
        ("sources", "ok", "1 tables can be read"),
        ("Python functions", "ok", RUN),
    ]
    opened = connect(**endpoint.options())
    assert len(names(endpoint)) == 3
    assert set(opened.columns(names(endpoint)[1:]).values()) == {None}, "nothing stays"
    opened.close()


def test_a_warehouse_that_sleeps(endpoint: SnowflakeEndpoint) -> None:
    compute = endpoint.account.warehouses["COMPUTE"]
    compute.running = False
    assert findings(endpoint)[1][:3] == (
        "warehouse",
        "ok",
        "COMPUTE is suspended, and resumes by itself",
    )
    assert compute.running, "a table was written"
    compute.running = compute.auto_resume = False
    found = findings(endpoint)
    assert found[1][:3] == (
        "warehouse",
        "error",
        "COMPUTE is suspended and does not resume by itself",
    )
    assert found[1][3].startswith("ALTER WAREHOUSE COMPUTE SET AUTO_RESUME = TRUE")
    assert found[2][:2] == ("schema features", "error")
    assert "No active warehouse selected" in found[2][2]


def test_a_warehouse_that_is_none(endpoint: SnowflakeEndpoint) -> None:
    found = findings(endpoint, warehouse="NOBODYS")
    assert found[1][:3] == ("warehouse", "error", "no warehouse is chosen in this session")
    assert "role PLANE_ROLE may use it" in found[1][3]
    assert "GRANT USAGE ON WAREHOUSE NOBODYS TO ROLE PLANE_ROLE" in found[2][3]


def test_rights_that_are_missing(endpoint: SnowflakeEndpoint) -> None:
    denied = "SQL access control error:\nInsufficient privileges to operate on {}"
    endpoint.faults.fail(
        'CREATE SCHEMA IF NOT EXISTS "FEATURES"', 3001, "42501", denied.format("database 'PLANE'")
    )
    endpoint.faults.fail('CREATE VIEW "_PLANE"', 3001, "42501", denied.format("schema '_PLANE'"))
    found = findings(endpoint, "raw.orders")
    assert found[2:] == [
        (
            "schema features",
            "error",
            "creating schema features: Insufficient privileges to operate on database 'PLANE'",
            (
                "role PLANE_ROLE has no right to do this: GRANT USAGE, CREATE SCHEMA ON DATABASE"
                " PLANE TO ROLE PLANE_ROLE"
            ),
        ),
        (
            "schema _plane",
            "error",
            "creating a view in schema _plane: Insufficient privileges to operate on schema '_PLANE'",
            (
                "role PLANE_ROLE has no right to do this: GRANT USAGE, CREATE TABLE, CREATE VIEW ON"
                " SCHEMA _PLANE TO ROLE PLANE_ROLE"
            ),
        ),
        (
            "source raw.orders",
            "error",
            "Object 'RAW.ORDERS' does not exist or not authorized.",
            (
                "check the name; if it is right, role PLANE_ROLE may not see it: "
                "GRANT SELECT ON TABLE RAW.ORDERS TO ROLE PLANE_ROLE"
            ),
        ),
    ]
    opened = connect(**endpoint.options())
    assert set(opened.columns(names(endpoint)).values()) == {None}, "nothing stays"
    opened.close()


def test_databricks(databricks: DatabricksEndpoint) -> None:
    opened = connect_databricks(**databricks.options())
    with own_schema(opened) as schema:
        opened.execute([Statement("", f"CREATE TABLE {schema}.orders (k BIGINT)")])
        found = plain(opened, schema, f"{schema}.orders", python=True)
        assert [one[:3] for one in found[1:]] == [
            (f"schema {schema}", "ok", MAY),
            ("schema _plane", "ok", MAY),
            ("sources", "ok", "1 tables can be read"),
            ("Python functions", "ok", RUN),
        ]
        text = f"User does not have CREATE TABLE on Schema 'main.{schema}'."
        databricks.fault(
            "error",
            pattern=rf"CREATE TABLE `{schema}`",
            message=f"[INSUFFICIENT_PERMISSIONS] {text}",
        )
        databricks.fault("error", pattern="LANGUAGE PYTHON", message="Python UDF is not supported.")
        found = plain(opened, schema, f"{schema}.nothing", python=True)
        assert found[1][1:3] == ("error", f"creating a table in schema {schema}: {text}")
        assert f"GRANT CREATE TABLE ON SCHEMA main.{schema} TO" in found[1][3]
        assert found[3][:2] == (f"source {schema}.nothing", "error")
        assert found[4] == (
            "Python functions",
            "error",
            "create the function of plane__doctor: this warehouse does not run Python functions",
            "use a pro or serverless SQL warehouse, and a catalog of Unity Catalog",
        )
    opened.close()


def test_versions_of_drivers() -> None:
    keys, found = doctor.driver_findings("snowflake")
    assert (found.subject, found.level) == ("snowflake-connector-python", "ok")
    assert (keys.subject, keys.level) == ("cryptography", "ok")
    assert found.message.endswith(", supported are >=4,<6")
    assert doctor.driver_findings("duckdb") == []
    assert [
        doctor.fits(installed, ">=4.9,<5")
        for installed in ("4.8.9", "4.9.0", "4.10.1", "5.0.0", "5.0.0rc1")
    ] == [*(False, True, True, False, False)]
