"""A session: its parameters, its transaction, and how one statement is run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from tests.endpoints.snowflake.account import SELECT, VERSION, Account, Query, Result
from tests.endpoints.snowflake.arrays import untyped
from tests.endpoints.snowflake.context import Context
from tests.endpoints.snowflake.errors import (
    SnowflakeError,
    cancelled,
    from_duckdb,
    timed_out,
    unsupported,
)
from tests.endpoints.snowflake.macros import definitions
from tests.endpoints.snowflake.names import quoted, readable, stored
from tests.endpoints.snowflake.translate import translated, written
from tests.endpoints.snowflake.types import column

# What a session may be told, and what it is unless told.
PARAMETERS: dict[str, object] = {
    "ABORT_DETACHED_QUERY": False,
    "AUTOCOMMIT": True,
    "CLIENT_APPLICATION_PATH": "",
    "CLIENT_COMPILER": "",
    "CLIENT_MEMORY_LIMIT": 1536,
    "BINARY_INPUT_FORMAT": "HEX",
    "BINARY_OUTPUT_FORMAT": "HEX",
    "CLIENT_PREFETCH_THREADS": 4,
    "CLIENT_REQUEST_MFA_TOKEN": False,
    "CLIENT_RUNTIME_NAME": "",
    "CLIENT_RUNTIME_VERSION": "",
    "CLIENT_SESSION_KEEP_ALIVE": False,
    "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY": 3600,
    "CLIENT_STORE_TEMPORARY_CREDENTIAL": False,
    "CLIENT_TELEMETRY_ENABLED": True,
    "CLIENT_VALIDATE_DEFAULT_PARAMETERS": False,
    "DATE_INPUT_FORMAT": "YYYYMMDD",
    "DATE_OUTPUT_FORMAT": "DD.MM.YYYY",
    "LOCK_TIMEOUT": 43_200,
    "QUERY_TAG": "",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": False,
    "STATEMENT_TIMEOUT_IN_SECONDS": 172_800,
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF3",
    "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
    "TIMEZONE": "America/Los_Angeles",
    "TIME_INPUT_FORMAT": "AUTO",
    "TIME_OUTPUT_FORMAT": "HH24:MI:SS",
    "TWO_DIGIT_CENTURY_START": 1970,
    "WEEK_OF_YEAR_POLICY": 1,
    "WEEK_START": 7,
}
_ONLY = {
    "QUOTED_IDENTIFIERS_IGNORE_CASE": {"false"},
    "TIMESTAMP_TYPE_MAPPING": {"timestamp_ntz"},
    "TIMEZONE": {"utc"},
}
"""Parameters that are known here with these values alone."""


class Session:
    """One login. Its statements run one after the other."""

    def __init__(
        self, account: Account, number: int, user: str, role: str, warehouse: str | None
    ) -> None:
        self.account = account
        self.number, self.user, self.role, self.warehouse = number, user, role, warehouse
        self.database, self.schema = account.database, "PUBLIC"
        self.parameters = dict(PARAMETERS)
        self.connection = account.open()
        self.connection.execute(definitions())
        self.connection.execute(f"USE {quoted(self.database, self.schema)}")
        self.functions: set[str] = set()
        self.in_transaction = False
        self.ended = False
        self._begun = False
        self._changes: list[str] = []
        self._one_at_a_time = threading.RLock()
        self._stopped = threading.Event()

    def set_parameter(self, name: str, value: object) -> None:
        """Set a parameter of the session.

        Raises:
            SnowflakeError: there is no such parameter, or its value is not known here.
        """
        if name.upper() not in PARAMETERS:
            raise SnowflakeError(1006, "22023", f"invalid session parameter '{name}'")
        if name.upper() in _ONLY and str(value).lower() not in _ONLY[name.upper()]:
            raise unsupported(f"{name} = {value}")
        self.parameters[name.upper()] = _typed(value, PARAMETERS[name.upper()])

    def run(self, query: Query, work: Callable[[Session, str], Result]) -> None:
        """Run a query to its end; what became of it stands in it."""
        query.stop = self.stop
        with self._one_at_a_time:
            self._stopped.clear()
            limit = int(str(self.parameters["STATEMENT_TIMEOUT_IN_SECONDS"]))
            late = threading.Event()

            def stop_late() -> None:
                late.set()
                self.stop()

            timer = threading.Timer(limit, stop_late)
            timer.daemon = True
            if limit < 3600:
                timer.start()
            try:
                query.result = self._ran(query, work)
            except SnowflakeError as error:
                query.error = timed_out(limit) if late.is_set() and error.number == 604 else error
            finally:
                timer.cancel()
                if not self.in_transaction:
                    self.account.locks.release(self)
                query.done.set()

    def _ran(self, query: Query, work: Callable[[Session, str], Result]) -> Result:
        faults = self.account.faults
        if slow := faults.take("slow", query.text):
            self._stopped.wait(slow.seconds)
        if (failing := faults.take("fail", query.text)) and failing.error is not None:
            raise failing.error
        if self._stopped.is_set():
            raise cancelled()
        result = self.guarded(work, query.text)
        if (cut := faults.take("truncate", query.text)) and result.rows is not None:
            result.rows = result.rows.slice(0, cut.rows)
        return result

    def guarded(self, work: Callable[[Session, str], Result], text: str) -> Result:
        """Work on a statement's text; whatever goes wrong is an error of Snowflake's."""
        with self._one_at_a_time:
            try:
                return work(self, text)
            except duckdb.Error as error:
                self._begin_again()  # an error ends DuckDB's transaction, and leaves Snowflake's open
                raise from_duckdb(error) from error
            except sqlglot.errors.ParseError as error:
                found = error.errors[0] if error.errors else {}
                where = f"syntax error line {found.get('line')} at position {found.get('col')}"
                text = f"SQL compilation error:\n{where} unexpected '{found.get('highlight')}'."
                raise SnowflakeError(1003, "42000", text) from error
            except sqlglot.errors.SqlglotError as error:
                raise unsupported(str(error)) from error

    def stop(self) -> None:
        """Stop what runs, from another thread."""
        self._stopped.set()
        self.connection.interrupt()

    def context(self, *, kept: bool = False) -> Context:
        says = {
            "ACCOUNT": "LOCAL", "DATABASE": self.database, "ROLE": self.role, "SCHEMA": self.schema,
            "SESSION": str(self.number), "USER": self.user, "VERSION": VERSION, "WAREHOUSE": self.warehouse,
        }  # fmt: skip
        return Context(says, kept=kept)

    def need_warehouse(self) -> None:
        compute = self.account.warehouses.get(self.warehouse or "")
        if compute is not None:
            compute.running = compute.running or compute.auto_resume
        if compute is None or not compute.running:
            text = "No active warehouse selected in the current session."
            raise SnowflakeError(606, "57P03", text)

    def sql(self, tree: exp.Expr, *, kept: bool = False) -> str:
        """DuckDB's text of a statement of Snowflake's."""
        return written(translated(tree, self.context(kept=kept)))

    def select(self, tree: exp.Expr, *, run: bool = True) -> Result:
        """A query's result, or its columns alone."""
        loose = untyped(tree)
        relation = self.connection.sql(self.sql(tree))
        names = [readable(name) for name in relation.columns]
        columns = [column(name, kind) for name, kind in zip(names, relation.types, strict=True)]
        for told in columns:
            if told["name"] in loose:
                told.pop("fields", None)
        if not run:
            return Result(SELECT, columns)
        if tree.find(exp.From) is not None:  # what the session itself knows needs no warehouse
            self.need_warehouse()
        rows = relation.to_arrow_table()
        return Result(SELECT, columns, rows, total=rows.num_rows)

    def begin(self) -> None:
        self.in_transaction = True

    def commit(self) -> None:
        if self._begun:
            self.connection.execute("COMMIT")
        self._over()

    def roll_back(self) -> None:
        if self._begun:
            self.connection.execute("ROLLBACK")
        self._over()

    def _over(self) -> None:
        self.in_transaction, self._begun, self._changes = False, False, []
        self.account.locks.release(self)

    def change(self, sql: str, locked: str | None) -> list[tuple[Any, ...]]:
        """Change rows, in the open transaction if there is one.

        `locked` is the table that only one may change.

        DuckDB shows a transaction what was there when it began, Snowflake each statement what was
        committed before it. So a transaction begins with its first change, and when another's
        commit is in the way, it is run again on top of that.
        """
        self.need_warehouse()
        seconds = float(str(self.parameters["LOCK_TIMEOUT"]))
        if locked is not None:
            self.account.locks.take(locked, self, seconds, self._stopped)
        until = time.monotonic() + seconds
        while True:
            if self._stopped.is_set():
                raise cancelled()
            try:
                return self._changed(sql)
            except duckdb.TransactionException as error:
                if "onflict" not in str(error) or time.monotonic() > until:
                    raise
                self._begin_again()
                time.sleep(0.005)

    def _changed(self, sql: str) -> list[tuple[Any, ...]]:
        if self.in_transaction and not self._begun:
            self.connection.execute("BEGIN TRANSACTION")
            self._begun = True
        rows: list[tuple[Any, ...]] = self.connection.execute(sql).fetchall()
        if self.in_transaction:
            self._changes.append(sql)
        return rows

    def _begin_again(self) -> None:
        if not self._begun:
            return
        self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN TRANSACTION")
        for sql in self._changes:
            self.connection.execute(sql)

    def define(self, *statements: str) -> None:
        """Change what there is: Snowflake commits an open transaction first."""
        if self.in_transaction:
            self.commit()
        for statement in statements:
            self.connection.execute(statement)

    def path(self, table: exp.Table) -> tuple[str, str, str]:
        """The exact names of a table: database, schema, name."""
        parts = [
            part.this if part.args.get("quoted") else part.this.upper() for part in table.parts
        ]
        database, schema, name = ([self.database, self.schema][: 3 - len(parts)] + parts)[-3:]
        return database, schema, name

    def is_there(self, kind: str, path: tuple[str, str, str]) -> bool:
        kept = [stored(name) for name in path]
        found = self.connection.execute(
            f"SELECT count(*) FROM duckdb_{kind}s() WHERE database_name = ? AND schema_name = ? AND"
            f" {kind}_name = ?",
            kept,
        ).fetchall()
        return bool(found[0][0])

    def end(self) -> None:
        """Log out: what was not committed is undone."""
        if self.ended:
            return
        self.ended = True
        self.stop()
        with self._one_at_a_time:
            if self._begun:
                self.connection.execute("ROLLBACK")
            self._over()
            self.connection.close()


def _typed(value: object, example: object) -> object:
    """A parameter's value in the type of another of its values; clients send texts too."""
    if isinstance(example, bool) and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if isinstance(example, int) and not isinstance(example, bool) and str(value).isdigit():
        return int(str(value))
    if isinstance(example, str) and isinstance(value, str):
        return value
    raise SnowflakeError(1008, "22023", f"invalid value [{value}] for parameter")


def asked_parameters(given: Mapping[str, object] | None) -> dict[str, object]:
    """Parameters of a login or of a statement, by their names in capitals."""
    return {name.upper(): value for name, value in (given or {}).items()}
