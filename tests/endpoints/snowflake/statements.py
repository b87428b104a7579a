"""Statements: what each kind does in a session. A kind that is not here is refused."""

from __future__ import annotations

import re
from collections.abc import Callable

import sqlglot
from sqlglot import exp

from tests.endpoints.snowflake import catalog, python_functions
from tests.endpoints.snowflake.account import DELETE, INSERT, MERGE, OTHER, UPDATE, Result
from tests.endpoints.snowflake.arrays import refuse_untyped
from tests.endpoints.snowflake.errors import SnowflakeError, unsupported
from tests.endpoints.snowflake.names import exact, quoted
from tests.endpoints.snowflake.session import Session

_RECORDED = re.compile(
    r"\s*(GRANT|REVOKE|ALTER\s+(TABLE|VIEW)\s+\S+\s+(ALTER|MODIFY)\s+COLUMN\s+\S+\s+(UN)?SET\s+TAG)\s",
    re.IGNORECASE,
)
_SHOW_WAREHOUSES = re.compile(r"\s*SHOW\s+WAREHOUSES\s*", re.IGNORECASE)
_EXPLAIN = re.compile(
    r"\s*EXPLAIN(?:\s+USING\s+(TEXT|TABULAR|JSON))?\s+(?=SELECT|WITH|\()", re.IGNORECASE
)


def run(session: Session, text: str) -> Result:
    """Run one statement."""
    if _RECORDED.match(text):
        return recorded(session, text)
    if explained := _EXPLAIN.match(text):
        json = str(explained[1]).upper() == "JSON"
        return catalog.explained(session, parsed(text[explained.end() :]), json=json)
    if made := python_functions.CREATE.fullmatch(text):
        return python_functions.create(session, made)
    if _SHOW_WAREHOUSES.fullmatch(text):
        return catalog.warehouses(session)
    tree = parsed(text)
    if isinstance(tree, exp.Query):
        return session.select(tree)
    handle = _KINDS.get(type(tree))
    if handle is None:
        raise unsupported(text.strip().split("\n")[0][:80])
    return handle(session, tree)


def described(session: Session, text: str) -> Result:
    """The columns of a query that is not run."""
    tree = parsed(text)
    if not isinstance(tree, exp.Query):
        raise unsupported("describing what is no query")
    return session.select(tree, run=False)


def parsed(text: str) -> exp.Expr:
    trees = [tree for tree in sqlglot.parse(text, read="snowflake") if tree is not None]
    if len(trees) != 1:
        raise SnowflakeError(
            8,
            "0A000",
            f"Actual statement count {len(trees)} did not match the desired statement count 1.",
        )
    return trees[0]


def recorded(session: Session, text: str) -> Result:
    """A statement that is taken and not enforced."""
    session.define()
    session.account.recorded.append(text)
    return Result(OTHER)


def _insert(session: Session, tree: exp.Expr) -> Result:
    if any(tree.args.get(part) for part in ("by_name", "conflict", "returning", "ignore")):
        raise unsupported("INSERT with options")
    if isinstance(tree.args["expression"], exp.Query):
        refuse_untyped(tree.args["expression"])
    if tree.args.get("overwrite"):
        target = _name(session, tree.this)
        session.change(f"DELETE FROM {target}", target)
        tree.set("overwrite", False)
    [[count]] = session.change(session.sql(tree), None)
    return _changed(INSERT, {"number of rows inserted": count})


def _update(session: Session, tree: exp.Expr) -> Result:
    target = _name(session, tree.this)
    [[count]] = session.change(session.sql(tree), target)
    return _changed(
        UPDATE, {"number of rows updated": count, "number of multi-joined rows updated": 0}
    )


def _delete(session: Session, tree: exp.Expr) -> Result:
    target = _name(session, tree.this)
    [[count]] = session.change(session.sql(tree), target)
    return _changed(DELETE, {"number of rows deleted": count})


def _merge(session: Session, tree: exp.Expr) -> Result:
    target = _name(session, tree.this)
    whens = tree.args["whens"].expressions
    kinds = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}
    done = (when.args["then"] for when in whens)
    named = {
        "DELETE" if isinstance(what, exp.Var) else type(what).__name__.upper() for what in done
    }
    if any(when.args.get("matched") for when in whens):
        _refuse_twice_matched(session, tree)
    rows = session.change(session.sql(tree) + " RETURNING merge_action", target)
    actions = [action.upper() for (action,) in rows]
    counts = {
        f"number of rows {word}": actions.count(kind)
        for kind, word in kinds.items()
        if kind in named
    }
    return _changed(MERGE, counts)


def _refuse_twice_matched(session: Session, merge: exp.Expr) -> None:
    """Snowflake refuses to change a row for which there are two."""
    target = merge.this.copy()
    place = target.args["alias"].this if target.args.get("alias") else target.this
    matches = (
        exp.select("1").from_(target).join(merge.args["using"].copy(), on=merge.args["on"].copy())
    )
    text = (
        session.sql(matches) + f" GROUP BY {quoted(exact(place))}.rowid HAVING count(*) > 1 LIMIT 1"
    )
    if session.connection.execute(text).fetchall():
        raise SnowflakeError(100090, "42P18", "Duplicate row detected during DML action")


def _changed(kind: int, counts: dict[str, int]) -> Result:
    return Result(kind, counts=counts, total=sum(counts.values()))


def _name(session: Session, table: exp.Expr) -> str:
    found = table if isinstance(table, exp.Table) else table.find(exp.Table)
    if found is None:
        raise unsupported("a change of what is no table")
    return ".".join(session.path(found))


def _begin(session: Session, _: exp.Expr) -> Result:
    session.begin()
    return Result(OTHER)


def _commit(session: Session, _: exp.Expr) -> Result:
    session.commit()
    return Result(OTHER)


def _roll_back(session: Session, _: exp.Expr) -> Result:
    session.roll_back()
    return Result(OTHER)


def _comment(session: Session, tree: exp.Expr) -> Result:
    return recorded(session, tree.sql("snowflake"))


def _use(session: Session, tree: exp.Expr) -> Result:
    kind = str(tree.args["kind"].name).upper() if tree.args.get("kind") else ""
    name = exact(tree.this.this)
    if kind == "WAREHOUSE":
        if name not in session.account.warehouses:
            raise SnowflakeError(
                2043,
                "02000",
                "SQL compilation error:\nObject does not exist, or operation cannot be performed:"
                f" warehouse {name}",
            )
        session.warehouse = name
    elif kind == "ROLE":
        if name not in session.account.roles:
            raise SnowflakeError(
                3013,
                "42501",
                f"SQL access control error:\nRequested role '{name}' is not assigned to the"
                " executing user.",
            )
        session.role = name
    elif kind == "SCHEMA":
        session.define(f"USE {quoted(session.database, name)}")
        session.schema = name
    else:
        raise unsupported(tree.sql("snowflake"))
    return Result(OTHER)


_KINDS: dict[type[exp.Expr], Callable[[Session, exp.Expr], Result]] = {
    exp.Insert: _insert,
    exp.Update: _update,
    exp.Delete: _delete,
    exp.Merge: _merge,
    exp.Transaction: _begin,
    exp.Commit: _commit,
    exp.Rollback: _roll_back,
    exp.Comment: _comment,
    exp.Use: _use,
    exp.Create: catalog.create,
    exp.Drop: catalog.drop,
    exp.Alter: catalog.alter,
    exp.Describe: catalog.describe,
    exp.TruncateTable: catalog.truncate,
}
