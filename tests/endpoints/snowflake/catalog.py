"""Schemas, tables and views: what makes, changes and describes them."""

from __future__ import annotations

from json import dumps
from typing import Any

import pyarrow as pa
from sqlglot import exp

from tests.endpoints.snowflake.account import OTHER, SELECT, Result
from tests.endpoints.snowflake.arrays import refuse_untyped
from tests.endpoints.snowflake.errors import SnowflakeError, missing_object, unsupported
from tests.endpoints.snowflake.names import exact, quoted, readable, stored
from tests.endpoints.snowflake.session import Session
from tests.endpoints.snowflake.types import LONGEST_TEXT, duckdb_type, in_words, longest

_NOT_ENFORCED = (
    exp.SchemaCommentProperty | exp.TransientProperty | exp.ClusterProperty | exp.CopyGrantsProperty
)
_ALREADY = "{} already exists, statement succeeded."


def create(session: Session, tree: exp.Expr) -> Result:
    kind = str(tree.args["kind"]).upper()
    properties = tree.args["properties"].expressions if tree.args.get("properties") else []
    for given in properties:
        if not isinstance(given, _NOT_ENFORCED):
            raise unsupported(given.sql("snowflake"))
    if properties:
        session.account.recorded.append(tree.sql("snowflake"))
    if kind == "SCHEMA":
        return _create_schema(session, tree)
    if kind not in ("TABLE", "VIEW") or tree.args.get("clone"):
        raise unsupported(f"CREATE {kind}{' ... CLONE' if tree.args.get('clone') else ''}")
    shape = tree.this if isinstance(tree.this, exp.Schema) else None
    path = session.path(shape.this if shape is not None else tree.this)
    replace, query = bool(tree.args.get("replace")), tree.args.get("expression")
    if query is None and (kind == "VIEW" or shape is None):
        raise SnowflakeError(
            1003, "42000", "SQL compilation error:\nsyntax error: no columns and no query"
        )
    other = "view" if kind == "TABLE" else "table"
    there = session.is_there(kind.lower(), path)
    if session.is_there(other, path):
        raise SnowflakeError(
            2002,
            "42710",
            f"SQL compilation error:\nObject '{path[2]}' already exists as {other.upper()}",
        )
    if there and tree.args.get("exists"):
        return Result(OTHER, text=_ALREADY.format(path[2]))
    if there and not replace:
        raise SnowflakeError(
            2002, "42710", f"SQL compilation error:\nObject '{path[2]}' already exists."
        )
    text = f"CREATE OR REPLACE {kind} {quoted(*path)}"
    if kind == "VIEW" and query is not None:
        names = f"({', '.join(_names(shape.expressions))})" if shape is not None else ""
        session.define(f"{text}{names} AS {session.sql(query, kept=True)}")
    elif query is not None and shape is not None:
        raise unsupported("CREATE TABLE with columns and a query")
    elif query is not None:
        session.need_warehouse()
        refuse_untyped(query)
        session.define(f"{text} AS {session.sql(query)}")
    elif kind == "TABLE" and shape is not None:
        session.define(f"{text} ({', '.join(_columns(session, shape.expressions))})")
    else:
        raise SnowflakeError(
            1003, "42000", "SQL compilation error:\nsyntax error: no columns and no query"
        )
    return Result(OTHER, text=f"{kind.title()} {path[2]} successfully created.")


def _create_schema(session: Session, tree: exp.Expr) -> Result:
    if tree.args.get("replace"):
        raise unsupported("CREATE OR REPLACE SCHEMA")
    database, schema = _schema_path(session, tree.this)
    found = session.connection.execute(
        "SELECT count(*) FROM duckdb_schemas() WHERE database_name || '.' || schema_name = ?",
        [stored(database) + "." + stored(schema)],
    ).fetchall()
    if found[0][0]:
        if not tree.args.get("exists"):
            raise SnowflakeError(
                2002, "42710", f"SQL compilation error:\nObject '{schema}' already exists."
            )
        return Result(OTHER, text=_ALREADY.format(schema))
    session.define(f"CREATE SCHEMA IF NOT EXISTS {quoted(database, schema)}")
    return Result(OTHER, text=f"Schema {schema} successfully created.")


def _schema_path(session: Session, table: exp.Expr) -> tuple[str, str]:
    parts = [exact(table.args[part]) for part in ("catalog", "db", "this") if table.args.get(part)]
    database, schema = ([session.database, *parts])[-2:]
    if database != session.database:
        raise missing_object("Database", database)
    return database, schema


def _names(columns: list[exp.Expr]) -> list[str]:
    return [
        quoted(exact(column if isinstance(column, exp.Identifier) else column.this))
        for column in columns
    ]


def _columns(session: Session, given: list[exp.Expr]) -> list[str]:
    """The columns of a new table, and what they must hold to."""
    columns = []
    for column in given:
        if not isinstance(column, exp.ColumnDef) or column.args.get("kind") is None:
            raise unsupported(column.sql("snowflake"))
        name = quoted(exact(column.this))
        text = f"{name} {duckdb_type(column.args['kind'])}"
        for constraint in column.args.get("constraints") or ():
            what = constraint.args["kind"]
            if isinstance(what, exp.NotNullColumnConstraint):
                text += "" if what.args.get("allow_null") else " NOT NULL"
            elif isinstance(what, exp.CommentColumnConstraint):
                session.account.recorded.append(
                    f"COMMENT ON COLUMN {name} IS {what.this.sql('snowflake')}"
                )
            else:
                raise unsupported(constraint.sql("snowflake"))
        if (letters := longest(column.args["kind"])) is not None:
            text += f" CHECK (length({name}) <= {letters})"
        columns.append(text)
    return columns


def drop(session: Session, tree: exp.Expr) -> Result:
    kind = str(tree.args["kind"]).upper()
    [target] = tree.args["tables"]
    if kind == "SCHEMA":
        database, schema = _schema_path(session, target)
        exists = "IF EXISTS " if tree.args.get("exists") else ""
        session.define(
            "DROP SCHEMA"
            f" {exists}{quoted(database, schema)}{' RESTRICT' if tree.args.get('restrict') else ' CASCADE'}"
        )
        return Result(OTHER, text=f"{schema} successfully dropped.")
    if kind not in ("TABLE", "VIEW"):
        raise unsupported(f"DROP {kind}")
    path = session.path(target)
    if not session.is_there(kind.lower(), path):
        if tree.args.get("exists"):
            session.define()
            return Result(OTHER, text="Drop statement executed successfully.")
        raise missing_object(kind.title(), ".".join(path))
    session.define(f"DROP {kind} {quoted(*path)}")
    return Result(OTHER, text=f"{path[2]} successfully dropped.")


def alter(session: Session, tree: exp.Expr) -> Result:
    if str(tree.args["kind"]).upper() == "SESSION":
        return _alter_session(session, tree)
    actions = tree.args["actions"]
    if all(isinstance(action, exp.AlterSet) and _only_tags(action) for action in actions):
        session.define()
        session.account.recorded.append(tree.sql("snowflake"))
        return Result(OTHER)
    path = session.path(tree.this)
    if not session.is_there("table", path):
        raise missing_object("Table", ".".join(path))
    session.define(*(_alteration(session, path, action) for action in actions))
    return Result(OTHER)


def _only_tags(action: exp.AlterSet) -> bool:
    return {name for name, value in action.args.items() if value} == {"tag"}


def _alteration(session: Session, path: tuple[str, str, str], action: exp.Expr) -> str:
    table = f"ALTER TABLE {quoted(*path)}"
    if isinstance(action, exp.ColumnDef):
        [column] = _columns(session, [action])
        if "CHECK" in column or "NOT NULL" in column:
            raise unsupported("ADD COLUMN with a limit of its values")
        return f"{table} ADD COLUMN {'IF NOT EXISTS ' if action.args.get('exists') else ''}{column}"
    if isinstance(action, exp.AlterRename):
        target = session.path(action.this)
        if target[:2] != path[:2]:
            raise unsupported("a move to another schema")
        return f"{table} RENAME TO {quoted(target[2])}"
    if isinstance(action, exp.Drop) and str(action.args["kind"]).upper() == "COLUMN":
        [column_] = action.args["tables"]
        return (
            f"{table} DROP COLUMN"
            f" {'IF EXISTS ' if action.args.get('exists') else ''}{quoted(exact(column_.this))}"
        )
    raise unsupported(action.sql("snowflake"))


def _alter_session(session: Session, tree: exp.Expr) -> Result:
    for action in tree.args["actions"]:
        for item in action.expressions:
            if action.args.get("unset"):
                raise unsupported("ALTER SESSION UNSET")
            value = item.this.expression
            session.set_parameter(
                item.this.this.name,
                value.this if isinstance(value, exp.Literal | exp.Boolean) else value.name,
            )
    return Result(OTHER)


def truncate(session: Session, tree: exp.Expr) -> Result:
    [table] = tree.expressions
    session.define(f"DELETE FROM {quoted(*session.path(table))}")
    return Result(OTHER)


def describe(session: Session, tree: exp.Expr) -> Result:
    """DESCRIBE TABLE, of a table or a view."""
    kind = str(tree.args.get("kind") or "").upper()
    if kind not in ("TABLE", "VIEW"):
        raise unsupported(tree.sql("snowflake"))
    path = session.path(tree.this)
    if path[0] != session.database or not (
        session.is_there("table", path) or session.is_there("view", path)
    ):
        raise missing_object(kind.title(), ".".join(path))
    relation = session.connection.sql(f"SELECT * FROM {quoted(*path)}")
    needed = {
        readable(name)
        for (name,) in session.connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE NOT is_nullable AND table_name = ? AND"
            " schema_name = ?",
            [stored(path[2]), stored(path[1])],
        ).fetchall()
    }
    rows = [
        {
            "name": readable(name),
            "type": in_words(type_),
            "kind": "COLUMN",
            "null?": "N" if readable(name) in needed else "Y",
        }
        for name, type_ in zip(relation.columns, relation.types, strict=True)
    ]
    return told(rows, ("name", "type", "kind", "null?"))


def warehouses(session: Session) -> Result:
    """SHOW WAREHOUSES: the columns that are asked for."""
    rows = [
        {
            "name": name,
            "state": "STARTED" if compute.running else "SUSPENDED",
            "type": "STANDARD",
            "size": "X-Small",
            "auto_resume": str(compute.auto_resume).lower(),
        }
        for name, compute in session.account.warehouses.items()
    ]
    return told(rows, ("name", "state", "type", "size", "auto_resume"))


def explained(session: Session, tree: exp.Expr, *, json: bool = False) -> Result:
    """EXPLAIN: the operations in words.

    In JSON also what is read, as if each table were one partition of numbers.
    """
    if not isinstance(tree, exp.Query):
        raise unsupported("EXPLAIN of what is no query")
    plan = session.connection.execute(f"EXPLAIN {session.sql(tree)}").fetchall()
    if json:
        sizes = dict(
            session.connection.execute(
                "SELECT schema_name || '.' || table_name, 8 * estimated_size * column_count FROM"
                " duckdb_tables()"
            ).fetchall()
        )
        paths = [session.path(table) for table in tree.find_all(exp.Table)]
        read = [sizes.get(f"{stored(schema)}.{stored(name)}") for _, schema, name in paths]
        known = [size for size in read if size is not None]
        stats = {
            "partitionsTotal": len(known),
            "partitionsAssigned": len(known),
            "bytesAssigned": sum(known),
        }
        return told([{"content": dumps({"GlobalStats": stats, "Operations": [[]]})}], ("content",))
    return told(
        [{"step": "1", "operation": readable(str(row[-1]))} for row in plan], ("step", "operation")
    )


def told(rows: list[dict[str, str]], names: tuple[str, ...]) -> Result:
    """A result that is texts alone."""
    column: dict[str, Any] = dict.fromkeys(("precision", "scale", "collation"))
    column |= {"nullable": True, "database": "", "schema": "", "table": "", "type": "text"}
    column |= {"length": LONGEST_TEXT, "byteLength": LONGEST_TEXT}
    table = pa.table({name: pa.array([row[name] for row in rows], pa.string()) for name in names})
    return Result(
        SELECT, [column | {"name": name} for name in names], table, told=True, total=len(rows)
    )
