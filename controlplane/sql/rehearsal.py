"""The statements of a run as queries that a warehouse can check before the run's tables exist.

Each table that a run reads or writes is replaced by an empty relation with its columns, and the
stage by the query that fills it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from controlplane.base.ports import Statement
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import objects
from controlplane.sql.control_tables import LEDGER, METRICS, PUBLIC_VIEWS
from controlplane.sql.data_tables import Column
from controlplane.sql.dialects import dialect
from controlplane.sql.extents import Extent
from controlplane.sql.statements import read
from controlplane.sql.tables import RUN_TABLES
from controlplane.sql.view_context import ViewContext

_FILES = ("stage", "check", "publish", "doors")


def stand_ins(manifest: Manifest, view: ViewSpec) -> dict[str, str]:
    """Return an empty query for each table that a run of a view uses, by attribute of `Tables`."""
    d = dialect(manifest.dialect)
    v = ViewContext(manifest, view, Extent(), {})
    control = {"ledger": LEDGER, "metrics": METRICS, "public_views_table": PUBLIC_VIEWS}
    columns: dict[str, Iterable[Column]] = {
        name: [Column(column, d.type(canonical)) for column, canonical in table.columns.items()]
        for name, table in control.items()
    }
    parts = {"history_replaced": "replaced", "rollups": "rolled_up"}
    columns |= {
        parts.get(table.part, table.part): table.declared
        for table in objects.tables(manifest, view)
    }
    columns["changes"] = v.change_columns
    return {name: _empty(declared) for name, declared in columns.items()}


def rehearsed(
    manifest: Manifest, view: ViewSpec, tables: Mapping[str, str], fill: Callable[[str], str]
) -> list[Statement]:
    """Return the queries of a run of a view, in order, over the relations of `stand_ins`.

    An UPDATE has no query. The query of a DELETE or a MERGE selects the rows that it matches. The
    query of a CREATE TABLE ... AS replaces that table in later statements.

    Args:
        manifest: the project.
        view: one of its views.
        tables: the queries that replace tables, see `stand_ins`.
        fill: puts the variables of a run into a text of a release.
    """
    v = ViewContext(manifest, view, Extent(), {})
    # The templates are rendered again with other table names: replacing names in rendered SQL would
    # also hit users' text.
    for name in RUN_TABLES:
        setattr(v, name, _name(name))
    statements = [statement for file in _FILES for statement in read(fill(v.render(file)))]
    made = {
        statement.target: statement.query
        for statement in statements
        if statement.kind == "create_table_as"
    }
    relations = {_name(name): query for name, query in tables.items()} | made
    return [
        msgspec.structs.replace(statement, sql=_over(query, relations))
        for statement in statements
        if (query := _query(statement))
    ]


def _name(table: str) -> str:
    """Name the relation that replaces a table; the prefix is reserved, so no user has the name."""
    return f"plane__{table}"


def _empty(columns: Iterable[Column]) -> str:
    nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in columns)
    return f"SELECT {nulls} FROM (SELECT 1 AS one) AS single WHERE 1 = 0"


def _query(statement: Statement) -> str:
    """Return what a statement computes as a query; empty if it computes nothing to check."""
    match statement.kind:
        case "insert" | "create_view" | "select":
            return statement.query
        case "delete":
            return f"SELECT 1 AS one FROM {statement.target}\n{statement.condition}"
        case "merge":
            return (
                f"SELECT 1 AS one FROM {statement.target} JOIN (\n{statement.query}\n) AS"
                f" n\n{statement.condition}"
            )
        case _:
            return ""


def _over(query: str, relations: Mapping[str, str]) -> str:
    """Add the relations that a query names as common tables."""
    # Relations that it doesn't name would only take time to compile.
    common = ",\n".join(
        f"{name} AS (\n{rows}\n)" for name, rows in relations.items() if name in query
    )
    return f"WITH {common}\nSELECT * FROM (\n{query}\n) AS plane__rehearsed" if common else query
