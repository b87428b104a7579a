"""Checks a warehouse for the doctor: who we are, what computes, and what we may do.

Rights are checked by using them. Each warehouse grants rights in its own way, so that reading the
grants would not say what works.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from controlplane.base import naming
from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import Location, PermanentError
from controlplane.manifest.specs import CalculationSpec
from controlplane.monitor.doctor.findings import ERROR, OK, Check, Finding, examine
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.functions import called, create
from controlplane.sql.tables import qualified


def findings(
    warehouse: Warehouse, schema: str, sources: Sequence[str], *, python: bool = False
) -> list[Finding]:
    """Report whether a warehouse answers, and whether a project can work in it.

    If the warehouse has rights, tables are created and dropped in the schemas. Missing schemas are
    created, as a deploy does.

    Args:
        warehouse: the open warehouse.
        schema: the schema of the project's tables.
        sources: the tables to read, as definitions name them.
        python: whether training sets call Python functions.
    """
    d = dialect(warehouse.dialect)
    checks: list[Check] = [("warehouse", partial(_who, warehouse))]
    if d.has_rights:
        for name in (schema, naming.CONTROL_SCHEMA):
            checks.append((f"schema {name}", partial(_schema, warehouse, d, name)))
        checks.append(("sources", partial(_sources, warehouse, sources)))
        if python:
            checks.append(("Python functions", partial(_functions, warehouse, d, schema)))
    return examine(checks)


def _who(warehouse: Warehouse) -> list[Finding]:
    info = dict(warehouse.info())
    state, resumes = info.pop("state", ""), info.pop("resumes", "")
    findings = [Finding("warehouse", OK, ", ".join(info.values()))]
    # Snowflake accepts names that do not exist or are not granted, and leaves them empty.
    for setting in ("warehouse", "database"):
        if info.get(setting) == "":
            hint = (
                f"set `{setting}` in plane.toml; if it is set, check its name, and whether role"
                f" {info.get('role')} may use it"
            )
            findings.append(
                Finding("warehouse", ERROR, f"no {setting} is chosen in this session", hint)
            )
    if state:
        name = info.get("warehouse", "")
        stopped = state.upper().startswith("SUSPEND")
        if stopped and resumes.lower() == "false":
            hint = (
                f"ALTER WAREHOUSE {name} SET AUTO_RESUME = TRUE, or ALTER WAREHOUSE {name} RESUME"
                " before each run"
            )
            findings.append(
                Finding(
                    "warehouse", ERROR, f"{name} is suspended and does not resume by itself", hint
                )
            )
        else:
            findings.append(
                Finding(
                    "warehouse",
                    OK,
                    f"{name} is {state.lower()}{', and resumes by itself' * stopped}",
                )
            )
    return findings


def _schema(warehouse: Warehouse, d: Dialect, schema: str) -> list[Finding]:
    # A random name: two doctors may run at once, and a table of the user must not be dropped.
    name = f"plane__doctor_{secrets.token_hex(4)}"
    table, view = qualified(d, schema, name), qualified(d, schema, f"{name}_view")
    making = [
        Statement(f"creating schema {schema}", f"CREATE SCHEMA IF NOT EXISTS {d.quote(schema)}"),
        Statement(
            f"creating a table in schema {schema}", f"CREATE TABLE {table} (x {d.type('int64')})"
        ),
        Statement(f"writing a table in schema {schema}", f"INSERT INTO {table} SELECT 1"),
        Statement(
            f"creating a view in schema {schema}", f"CREATE VIEW {view} AS SELECT x FROM {table}"
        ),
    ]
    dropping = [
        Statement(f"dropping a view in schema {schema}", f"DROP VIEW IF EXISTS {view}"),
        Statement(f"dropping a table in schema {schema}", f"DROP TABLE IF EXISTS {table}"),
    ]
    try:
        warehouse.execute(making)
    except PermanentError:
        with suppress(PermanentError):  # the first error is the one to report
            warehouse.execute(dropping)
        raise
    warehouse.execute(dropping)
    return [Finding(f"schema {schema}", OK, "tables and views can be created, written and dropped")]


def _functions(warehouse: Warehouse, d: Dialect, schema: str) -> list[Finding]:
    source, types = "def plane__doctor(x):\n    return x", {"x": "int64"}
    spec = CalculationSpec("plane__doctor", "int64", "", ("x",), "", Location("", 0), source)
    warehouse.execute([create(d, schema, spec, types)])
    row = d.constants([{"x": d.cast("1", "int64")}])
    query = f"SELECT {called(d, schema, spec, types)} AS y FROM ({row}) AS one"
    warehouse.execute([Statement("running a function in Python", query)])
    return [Finding("Python functions", OK, "they can be created for a session and run")]


def _sources(warehouse: Warehouse, tables: Sequence[str]) -> list[Finding]:
    # Described, not read: a source may be a view that takes minutes.
    answers = warehouse.describe_all([f"SELECT * FROM {table}" for table in tables])
    refused = [
        Finding(f"source {table}", ERROR, answer.message, answer.hint)
        for table, answer in zip(tables, answers, strict=True)
        if isinstance(answer, PermanentError)
    ]
    count = len(tables) - len(refused)
    return [*refused, Finding("sources", OK, f"{count} tables can be read")] if count else refused
