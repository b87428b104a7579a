"""The statements of a run as queries over nothing, so that a warehouse can check them before it
holds their tables.

Each table that a run reads or writes stands in as an empty one of its columns, the stage as the
query that fills it.
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
    """Return the tables that a run of a view uses, by their attribute of `Tables`: each as an empty
    query."""
    d = dialect(manifest.dialect)
    v = ViewContext(manifest, view, Extent(), {})
    control = {"ledger": LEDGER, "metrics": METRICS, "doors_table": PUBLIC_VIEWS}
    columns: dict[str, Iterable[Column]] = {
        name: [Column(column, d.type(kind)) for column, kind in table.columns.items()]
        for name, table in control.items()
    }
    parts = {"history_replaced": "replaced", "rollups": "rolled_up"}
    columns |= {
        parts.get(one.part, one.part): one.declared for one in objects.tables(manifest, view)
    }
    columns["changes"] = v.change_columns
    return {name: _empty(declared) for name, declared in columns.items()}


def rehearsed(
    manifest: Manifest, view: ViewSpec, tables: Mapping[str, str], fill: Callable[[str], str]
) -> list[Statement]:
    """Return the queries of a run of a view, in order, over tables that stand in.

    An UPDATE has none. Of a DELETE and a MERGE it is what they match; what CREATE TABLE ... AS
    stores stands in for that table.

    Args:
        manifest: the project.
        view: one of its views.
        tables: what stands in, see `stand_ins`.
        fill: puts the variables of a run into a text of a release.
    """
    v = ViewContext(manifest, view, Extent(), {})
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
    """What a table is called that stands in: no text of users can hold the name."""
    return f"plane__{table}"


def _empty(columns: Iterable[Column]) -> str:
    nulls = ", ".join(f"CAST(NULL AS {column.type}) AS {column.name}" for column in columns)
    return f"SELECT {nulls} FROM (SELECT 1 AS one) AS single WHERE 1 = 0"


def _query(statement: Statement) -> str:
    """What a statement computes, as a query; empty where that is nothing, or stands in."""
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
    """A query with the relations that it names as common tables: more of them would only take time
    to compile."""
    common = ",\n".join(
        f"{name} AS (\n{rows}\n)" for name, rows in relations.items() if name in query
    )
    return f"WITH {common}\nSELECT * FROM (\n{query}\n) AS plane__rehearsed" if common else query
