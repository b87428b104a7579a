"""Compute the same features in Snowflake or Databricks and in DuckDB, and compare them.

To run in your own account, set SNOWFLAKE_CONNECTION (the name of a connection in your
connections.toml), or DATABRICKS_URL and DATABRICKS_TOKEN. The demo then creates the schemas raw,
features, datasets and _plane in the connection's database, which should be empty. Otherwise the
vendor's own driver talks to a local test endpoint of this repository over the vendor's protocol.
"""

import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import duckdb

import controlplane
from controlplane import ControlPlane
from controlplane.base.ports import Statement

HERE = Path(__file__).resolve().parent
PLANE = Path(sys.executable).with_name("plane")
# The root of this repository: the local endpoints are in its `tests` folder.
CLONE = Path(controlplane.__file__).resolve().parents[1]
COLUMNS = {
    "flight_id": "INT",
    "departed_at": "TIMESTAMP",
    "origin": "VARCHAR(3)",
    "dest": "VARCHAR(3)",
    "carrier": "VARCHAR(2)",
    "tailnum": "VARCHAR(6)",
    "dep_delay": "INT",
}
TYPES = {
    "snowflake": {"INT": "NUMBER(9, 0)", "TIMESTAMP": "TIMESTAMP_NTZ"},
    "databricks": {"TIMESTAMP": "TIMESTAMP_NTZ"},
}


def plane(*arguments):
    print(f"\n[plane {shlex.join(arguments)}]", flush=True)
    subprocess.run([PLANE, *arguments], cwd=HERE, check=True)


def load(environment):
    """Create the raw table that a team would already have, and replace an earlier one."""
    rows = duckdb.sql(
        f"SELECT {', '.join(COLUMNS)} FROM '{HERE}/data/departures.parquet'"
    ).fetchall()
    kinds = [(name, TYPES.get(environment, {}).get(kind, kind)) for name, kind in COLUMNS.items()]
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds)
    values = ",\n".join(
        f"({', '.join('NULL' if v is None else repr(str(v)) for v in row)})" for row in rows
    )
    cast = ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in kinds)
    named = f"SELECT * FROM (VALUES {values}) AS departures({', '.join(COLUMNS)})"
    with ControlPlane(HERE, environment) as project:
        for sql in (
            "CREATE SCHEMA IF NOT EXISTS raw",
            f"CREATE OR REPLACE TABLE raw.departures ({columns})",
            f"INSERT INTO raw.departures SELECT {cast} FROM ({named}) AS named",
        ):
            project.project.warehouse.execute([Statement("what the team has", sql)])
    print(f"loaded {len(rows):,} departures into {environment}", flush=True)


@contextmanager
def snowflake():
    """Connect to your account, or start a local endpoint and write a connections.toml for it."""
    if "SNOWFLAKE_CONNECTION" in os.environ:
        yield
        return
    sys.path.insert(0, str(CLONE))
    # lazy: a run in your own account needs no endpoint
    from tests.endpoints.snowflake import SnowflakeEndpoint

    with SnowflakeEndpoint() as endpoint:
        home = HERE / ".plane" / "snowflake"
        home.mkdir(parents=True, exist_ok=True)
        connections = home / "connections.toml"
        connections.touch(mode=0o600)
        options = endpoint.options() | {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN"}
        lines = [f"{name} = {value!r}" for name, value in options.items()]
        connections.write_text("\n".join(["[here]", *lines, ""]))
        os.environ |= {"SNOWFLAKE_HOME": str(home), "SNOWFLAKE_CONNECTION": "here"}
        yield


@contextmanager
def databricks():
    """Connect to your workspace, or start a local endpoint."""
    if "DATABRICKS_URL" in os.environ:
        yield
        return
    sys.path.insert(0, str(CLONE))
    # lazy: a run in your own account needs no endpoint
    from tests.endpoints.databricks.client import DatabricksEndpoint, missing

    if lacking := missing():
        sys.exit(f"the local endpoint of Databricks can't be started: {lacking}")
    with DatabricksEndpoint.start(HERE / ".plane" / "databricks") as endpoint:
        os.environ |= {"DATABRICKS_URL": endpoint.address, "DATABRICKS_TOKEN": endpoint.token}
        yield


def main(warehouse):
    (HERE / ".plane").mkdir(exist_ok=True)
    with {"snowflake": snowflake, "databricks": databricks}[warehouse]():
        for environment in ("local", warehouse):
            load(environment)
            plane("deploy", "--yes", "--env", environment)
            plane("run", "--env", environment)
        plane("status", "--env", warehouse)
        plane("verify", "--env", warehouse, "--against", "local")
        spine = ["--service", "delays", "--spine", "spine.sql", "--time", "predict_at"]
        plane("dataset", "create", "late", *spine, "--env", warehouse)


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("snowflake", "databricks"):
        sys.exit(f"{__doc__}\nusage: python demo.py snowflake|databricks")
    main(sys.argv[1])
