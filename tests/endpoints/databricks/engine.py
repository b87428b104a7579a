"""Runs statements on a local Spark with Delta Lake: sessions, statements that run in the
background, what they left."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession, functions
from pyspark.sql import types as spark_types

from tests.endpoints.databricks import python_functions

RECORDED = re.compile(
    r"\s*(GRANT|REVOKE)\b"
    r"|\s*ALTER\s+(TABLE|VIEW|SCHEMA|CATALOG)\s+\S+\s+"
    r"((ALTER\s+COLUMN\s+\S+\s+)?(UN)?SET\s+TAGS|(SET\s+)?OWNER\s+TO|CLUSTER\s+BY\s+AUTO)\b"
    r"|\s*(UN)?SET\s+TAG\b",
    re.IGNORECASE,
)
"""What only Unity Catalog understands: such statements are kept for tests to look at, and change
nothing."""
USE_CATALOG = re.compile(r"\s*USE\s+CATALOG\s+(.*)", re.IGNORECASE | re.DOTALL)
CURRENT_VERSION = re.compile(r"\bcurrent_version\s*\(", re.IGNORECASE)
SESSION_SETTINGS = {
    "timezone": "spark.sql.session.timeZone",
    "ansi_mode": "spark.sql.ansi.enabled",
    "legacy_time_parser_policy": "spark.sql.legacy.timeParserPolicy",
}
OWN_SETTINGS = {
    "statement_timeout",
    "query_tags",
    "spark.thriftserver.arrowbasedrowset.timestampasstring",
}
WRITES = ("AppendData", "OverwriteByExpression", "OverwritePartitionsDynamic")


class SqlError(Exception):
    """A statement that failed, as Spark says it: `[ERROR_CLASS] message`."""

    def __init__(self, message: str, state: str = "HY000") -> None:
        super().__init__(message)
        self.state = state


def sql_error(error: Exception) -> SqlError:
    """What Spark raised, without its stack."""
    if isinstance(error, SqlError):
        return error
    if told := python_functions.failure(str(error)):
        return SqlError(told, "39000")
    if isinstance(error, Py4JJavaError):
        cause = error.java_exception
        while cause.getCause() is not None:
            cause = cause.getCause()
        return SqlError(str(cause.getMessage()))
    if isinstance(error, PySparkException):
        message = getattr(error, "_desc", None) or str(error)
        return SqlError(
            message.split("\n\tat ")[0].split("\nJVM stacktrace")[0], error.getSqlState() or "HY000"
        )
    return SqlError(f"[INTERNAL_ERROR] {type(error).__name__}: {error}", "XX000")


@dataclass(eq=False)
class Session:
    """One session: its own settings, temporary views and current schema.

    Catalog and tables are everybody's.
    """

    spark: SparkSession
    caller: str
    settings: Mapping[str, str]
    timeout: float | None
    id: uuid.UUID = field(default_factory=uuid.uuid4)


@dataclass(eq=False)
class Operation:
    """One statement from its arrival to its last row."""

    session: Session
    sql: str
    tags: str
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    state: str = "RUNNING"
    error: SqlError | None = None
    rows: pa.Table = field(default_factory=lambda: pa.table({}))
    schema: spark_types.StructType = field(default_factory=spark_types.StructType)
    modified: int | None = None
    done: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.time)
    delay: float = 0.0
    offset: int = 0
    short_by: int = 0
    form: Mapping[str, bool] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """What the history keeps of it."""
        return {
            "caller": self.session.caller,
            "sql": self.sql,
            "tags": self.tags,
            "settings": dict(self.session.settings),
            "state": self.state,
            "error": str(self.error) if self.error else None,
            "rows": self.rows.num_rows,
            "modified": self.modified,
            "milliseconds": round(1000 * (time.time() - self.started)),
        }


class Engine:
    """All sessions and statements of one Spark."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.sessions: dict[uuid.UUID, Session] = {}
        self.operations: dict[uuid.UUID, Operation] = {}
        self.history: list[dict[str, Any]] = []
        self.recorded: list[tuple[str, str]] = []
        self._workers = ThreadPoolExecutor(16)
        self._finishing = threading.Lock()

    def open_session(
        self,
        caller: str,
        settings: Mapping[str, str],
        catalog: str | None = None,
        schema: str | None = None,
    ) -> Session:
        """A new session; `caller` is the token that its history is kept under.

        Raises:
            SqlError: a setting, the catalog or the schema is unknown.
        """
        spark = self.spark.newSession()
        lowered = {name.lower(): value for name, value in settings.items()}
        for name, value in lowered.items():
            if name in SESSION_SETTINGS or name.startswith("spark.sql."):
                spark.conf.set(SESSION_SETTINGS.get(name, name), value)
            elif name not in OWN_SETTINGS:
                raise SqlError(
                    f"[CONFIG_NOT_AVAILABLE] Configuration {name} is not available.", "42K0I"
                )
        timeout = lowered.get("statement_timeout")
        session = Session(spark, caller, settings, float(timeout) if timeout else None)
        for statement in (
            f"SET CATALOG `{catalog}`" if catalog else "",
            f"USE `{schema}`" if schema else "",
        ):
            if statement:
                spark.sql(statement)
        self.sessions[session.id] = session
        return session

    def close_session(self, session_id: uuid.UUID) -> None:
        """Forget a session and its statements."""
        session = self.sessions.pop(session_id, None)
        for operation in [
            operation for operation in self.operations.values() if operation.session is session
        ]:
            self.cancel(operation.id)
            self.operations.pop(operation.id, None)

    def submit(self, session: Session, sql: str, tags: str = "", delay: float = 0.0) -> Operation:
        """Start a statement."""
        operation = Operation(session, sql, tags, delay=delay)
        self.operations[operation.id] = operation
        self._workers.submit(self._run, operation)
        if session.timeout:
            timer = threading.Timer(session.timeout, self._stop, (operation, "TIMED_OUT"))
            timer.daemon = True
            timer.start()
        return operation

    def cancel(self, operation_id: uuid.UUID) -> None:
        """Stop a statement, if it still runs."""
        if operation := self.operations.get(operation_id):
            self._stop(operation, "CANCELED")

    def _stop(self, operation: Operation, state: str) -> None:
        if operation.done.is_set():
            return
        operation.state = state
        if state == "TIMED_OUT":
            seconds = operation.session.timeout
            text = "Query execution was cancelled due to exceeding the timeout"
            operation.error = SqlError(
                f"[QUERY_EXECUTION_TIMEOUT_EXCEEDED] {text} ({seconds:g}s).", "57KD0"
            )
        # Future jobs too: the statement may not have come to its first one yet.
        self.spark.sparkContext._jsc.sc().cancelJobGroupAndFutureJobs(str(operation.id))
        self._finish(operation)

    def _finish(self, operation: Operation) -> None:
        with self._finishing:
            if not operation.done.is_set():
                self.history.append(operation.summary())
                operation.done.set()

    def _run(self, operation: Operation) -> None:
        try:
            if operation.delay:
                operation.done.wait(operation.delay)
            if operation.state == "RUNNING":
                self.spark.sparkContext.setJobGroup(
                    str(operation.id), operation.sql[:80], interruptOnCancel=True
                )
                self._execute(operation)
        except (PySparkException, Py4JJavaError, SqlError, ValueError) as error:
            if operation.state == "RUNNING":
                operation.error, operation.state = sql_error(error), "ERROR"
        except BaseException as error:
            operation.error, operation.state = (
                SqlError(f"[INTERNAL_ERROR] {error!r}", "XX000"),
                "ERROR",
            )
            raise
        finally:
            if operation.state == "RUNNING":
                operation.state = "FINISHED"
            self._finish(operation)

    def _execute(self, operation: Operation) -> None:
        sql = operation.sql.strip()
        if RECORDED.match(sql):
            self.recorded.append((operation.session.caller, sql))
            return
        if made := python_functions.CREATE.fullmatch(sql):
            python_functions.create(operation.session.spark, made)
            return
        if catalog := USE_CATALOG.match(sql):
            sql = f"SET CATALOG {catalog[1]}"
        frame = operation.session.spark.sql(sql)
        operation.schema = frame.schema
        if frame.schema.fields:
            operation.rows = _shown(frame).toArrow()
        names = frame.schema.names
        if names[:1] == ["num_affected_rows"]:
            operation.modified = operation.rows.column(0)[0].as_py()
        elif (written := _rows_written(frame)) is not None:
            # Databricks answers an INSERT as Delta's own commands do.
            operation.modified = written
            counts = ("num_affected_rows", "num_inserted_rows")
            operation.schema = spark_types.StructType(
                [spark_types.StructField(name, spark_types.LongType()) for name in counts]
            )
            operation.rows = pa.table({name: [written] for name in counts})


def _shown(frame: DataFrame) -> DataFrame:
    """With text for what Databricks, too, sends as text."""
    texts = {
        spark_types.VariantType: functions.to_json,
        spark_types.DayTimeIntervalType: lambda column: column.cast("string"),
        spark_types.YearMonthIntervalType: lambda column: column.cast("string"),
    }
    if not any(type(column.dataType) in texts for column in frame.schema.fields):
        return frame
    named = [(functions.col("`" + c.name.replace("`", "``") + "`"), c) for c in frame.schema.fields]
    return frame.select(
        *(texts.get(type(c.dataType), lambda column: column)(it).alias(c.name) for it, c in named)
    )


def _rows_written(frame: DataFrame) -> int | None:
    """How many rows an INSERT wrote, as Delta notes it in the commit.

    None if the statement was no INSERT.
    """
    plan = frame._jdf.queryExecution().commandExecuted()
    if plan.getClass().getSimpleName() != "CommandResult":
        return None
    physical = plan.commandPhysicalPlan()
    if not physical.nodeName().startswith(WRITES):
        return None
    log = Path(physical.table().path().toUri().getPath()) / "_delta_log"
    newest = max(log.glob("*.json"))
    for line in newest.read_text(encoding="utf-8").splitlines():
        if info := json.loads(line).get("commitInfo"):
            # Missing where rows that stay were written anew with those that came, as REPLACE WHERE
            # does.
            written = info["operationMetrics"].get("numOutputRows")
            return None if written is None else int(written)
    return None
