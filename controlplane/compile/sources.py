"""One source: its time, which may be an expression, its lookback and its expectations."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from datetime import timedelta

import sqlglot
from sqlglot import exp

from controlplane.base.ports import Warehouse, described
from controlplane.compile.builtins import macros, unknown_calls
from controlplane.compile.changeable import changeable
from controlplane.compile.expectations import Relation, compile_expectations
from controlplane.compile.problems import Collector, listing
from controlplane.compile.reserved import is_reserved
from controlplane.compile.scalars import row_local
from controlplane.compile.transformation import NOT_PARSED
from controlplane.definitions import BatchSource
from controlplane.errors import PermanentError
from controlplane.manifest.expectations import Expected
from controlplane.manifest.specs import Pruning, SourceSpec

SOURCE_TIME = "source_time"
"""The column with the value of a source's time expression."""
UNBOUNDED = "unbounded"
_NAME = re.compile(r"\w+")
_NUMBERS = ("int64", "float64", "decimal")
# The parts of a second that a conversion takes, as a power of ten.
_SCALES = {
    "make_timestamp_ms": 3,
    "make_timestamp_ns": 9,
    "timestamp_seconds": 0,
    "timestamp_millis": 3,
    "timestamp_micros": 6,
}


def compile_source(
    source: BatchSource,
    columns: Mapping[str, str] | None,
    dialect: str,
    warehouse: Warehouse,
    collector: Collector,
) -> SourceSpec | None:
    """Return the checked source; None after its problems were noted.

    Args:
        source: the definition.
        columns: of its table; None: there is no such table; empty: it is the public view of a
            feature view in this project.
        dialect: of the warehouse.
        warehouse: describes expressions to get their types.
        collector: takes the problems.
    """
    subject = f"source {source.name!r}"
    if is_reserved(source.name, dialect):
        text = f"{subject}: {source.name.upper()} is a reserved word of {dialect}'s SQL"
        hint = (
            f"choose another name, such as {source.name}_rows; its table may keep the name it has"
        )
        collector.add(text, source.location, hint)
        return None
    delay = collector.duration(f"{subject}, settling_delay", source.settling_delay, source.location)
    lookback = None  # unbounded
    if source.lookback != UNBOUNDED:
        lookback = collector.duration(f"{subject}, lookback", source.lookback, source.location)
        if lookback is None:
            return None
    if columns is None or delay is None:
        return None
    time_sql, pruning = "", None
    if columns and source.timestamp is not None:
        if is_column(source.timestamp, columns):
            if not _check_time_column(source, subject, columns, collector):
                return None
        else:
            time_sql = source.timestamp
            if not _check_expression(source, subject, columns, dialect, warehouse, collector):
                return None
            pruning = _pruning(source, subject, columns, dialect, collector)
    if source.prune_by is not None and not time_sql:
        text = f"{subject}: prune_by is only for a timestamp that is an expression"
        collector.add(
            text, source.location, "remove it: the warehouse finds rows by the timestamp itself"
        )
    if source.timestamp is None and (delay or lookback != timedelta(0)):
        knob = "settling_delay" if delay else "lookback"
        text = f"{subject}: a table without a timestamp can't have a {knob}"
        collector.add(text, source.location, "remove it")
    expectations: tuple[Expected, ...] = ()
    if columns:
        rows = Relation(columns, "", source.table)
        expectations = compile_expectations(
            source.expectations, subject, source.location, rows, dialect, warehouse, collector
        )
    elif source.expectations:
        text = f"{subject} is a feature view of this project, which declares its own expectations"
        collector.add(
            text, source.location, "give them to the feature view, or to the source that it reads"
        )
    return SourceSpec(
        name=source.name,
        table=source.table,
        timestamp=SOURCE_TIME if time_sql else source.timestamp,
        settling_delay=delay or timedelta(0),
        columns=tuple(columns.items()),
        owner=source.owner,
        description=source.description,
        location=collector.located(source.location),
        expectations=expectations,
        lookback=lookback,
        time_sql=time_sql,
        pruning=pruning,
    )


def is_column(timestamp: str, columns: Container[str]) -> bool:
    """Tell whether a source's `timestamp` names a column; otherwise it is an expression."""
    return _NAME.fullmatch(timestamp) is not None or timestamp in columns


def _check_time_column(
    source: BatchSource, subject: str, columns: Mapping[str, str], collector: Collector
) -> bool:
    column_type = columns.get(str(source.timestamp))
    if column_type == "timestamp":
        return True
    if column_type is None:
        text = f"{subject}: {source.table} has no column {source.timestamp!r}"
        collector.add(text, source.location, f"its columns are: {listing(columns)}")
    else:
        text = f"{subject}: column {source.timestamp!r} is {column_type}, not a timestamp"
        hint = "name a column of a timestamp type, or give a SQL expression that converts it"
        collector.add(text, source.location, hint)
    return False


def _check_expression(
    source: BatchSource,
    subject: str,
    columns: Mapping[str, str],
    dialect: str,
    warehouse: Warehouse,
    collector: Collector,
) -> bool:
    """Check that a time expression returns a timestamp that depends on its own row alone."""
    text = str(source.timestamp)
    try:
        tree = parsed(text, dialect)
    except ValueError:
        collector.add(
            f"{subject}: its timestamp {text!r} is neither a column nor a SQL expression",
            source.location,
            f"its columns are: {listing(columns)}",
        )
        return False
    if changeable_calls := changeable(text, dialect):
        names = listing(call.name for call in changeable_calls)
        message = f"{subject}: the value of {names} in its timestamp depends on more than the row"
        collector.add(message, source.location, "give an expression over the table's columns alone")
        return False
    # First by the parser's classes, then by name: a class may also stand for functions of other
    # warehouses, whose names may be users' own functions here.
    strange = next((node.sql(dialect=dialect) for node in tree.walk() if not row_local(node)), "")
    if not strange and (calls := unknown_calls(text, tree, dialect, macros(warehouse))):
        strange = f"function {calls[0].name}()"
    if strange:
        message = f"{subject}: {strange!r} in its timestamp is not known to depend on the row alone"
        collector.add(message, source.location, "give an expression over the table's columns alone")
        return False
    if SOURCE_TIME in (name.lower() for name in columns):
        message = (
            f"{subject}: its timestamp is an expression, and {source.table} has a column"
            f" {SOURCE_TIME!r} already"
        )
        collector.add(
            message,
            source.location,
            "let the source read a view of the table in which the column has another name",
        )
        return False
    try:
        query = f"SELECT ({text}\n) AS {SOURCE_TIME} FROM {source.table}"
        [value_type] = described(warehouse, query).values()
    except PermanentError as error:
        message = f"{subject}: the warehouse refuses its timestamp {text!r}: {error.message}"
        collector.add(
            message, source.location, error.hint or f"its columns are: {listing(columns)}"
        )
        return False
    if value_type != "timestamp":
        message = f"{subject}: its timestamp {text!r} is {value_type}, not a timestamp"
        collector.add(message, source.location, "convert it within the expression")
        return False
    return True


def parsed(expression: str, dialect: str) -> exp.Expr:
    """Parse one expression over the columns of a row.

    Raises:
        ValueError: it does not parse, is more than one expression, or reads no column.
    """
    try:
        tree = sqlglot.parse_one(f"SELECT ({expression}\n)", dialect=dialect)
    except NOT_PARSED as error:
        raise ValueError(str(error)) from None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1 or tree.args.get("from_"):
        raise ValueError("it is not one expression")
    [expression_tree] = tree.expressions
    if not expression_tree.find(exp.Column) or expression_tree.find(exp.Query):
        raise ValueError("it reads no column of the row")
    inner: exp.Expr = (
        expression_tree.this if isinstance(expression_tree, exp.Paren) else expression_tree
    )
    return inner


def _pruning(
    source: BatchSource,
    subject: str,
    columns: Mapping[str, str],
    dialect: str,
    collector: Collector,
) -> Pruning | None:
    if source.prune_by is None:
        return None
    column_type = columns.get(source.prune_by)
    if column_type is None:
        text = f"{subject}: {source.table} has no column {source.prune_by!r} to prune by"
        collector.add(text, source.location, f"its columns are: {listing(columns)}")
        return None
    if column_type in {"date", "timestamp"}:
        return Pruning(source.prune_by, None)
    scale = _scale(parsed(str(source.timestamp), dialect), source.prune_by)
    if column_type.startswith(_NUMBERS) and scale is not None:
        return Pruning(source.prune_by, scale)
    collector.add(
        f"{subject}: it can't be pruned by {source.prune_by!r}, which is {column_type}",
        source.location,
        "name a date or timestamp column within two days of the event time, or the number of"
        " seconds that the timestamp converts, as in timestamp='to_timestamp(seconds)',"
        " prune_by='seconds'; or leave prune_by out",
    )
    return None


def _scale(tree: exp.Expr, column: str) -> int | None:
    """Return the scale of a conversion from a number to a timestamp; None for other expressions.

    The scale is the number of digits after the point of a second: 3 for milliseconds.
    """
    if isinstance(tree, exp.UnixToTime):
        scale = tree.args.get("scale")
        # Without a scale, sqlglot means seconds.
        number = 0 if scale is None else int(scale.name) if scale.name.isdigit() else None
        argument = tree.this
    elif isinstance(tree, exp.Anonymous) and len(tree.expressions) == 1:
        number = _SCALES.get(tree.name.lower())
        argument = tree.expressions[0]
    else:
        return None
    named = isinstance(argument, exp.Column) and argument.name.lower() == column.lower()
    return number if named and number in {0, 3, 6, 9} else None
