"""The calculations and realtime features of one service: names, SQL or Python, and types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp

from controlplane.base.ports import Warehouse, described
from controlplane.base.types import is_list, parse_type
from controlplane.compile import transformation
from controlplane.compile.changeable import changeable
from controlplane.compile.problems import Collector, listing
from controlplane.compile.python import WITHOUT_LISTS, source_of
from controlplane.definitions import Calculation, RealtimeFeature
from controlplane.errors import PermanentError
from controlplane.manifest.specs import CalculationSpec


def compile_calculations(
    definitions: Sequence[Calculation | RealtimeFeature],
    service: str,
    features: Mapping[str, str],
    warehouse: Warehouse,
    dialect: str,
    collector: Collector,
) -> list[CalculationSpec]:
    """Return the valid calculations and realtime features; note what is wrong with the others.

    Args:
        definitions: the calculations and realtime features, in order.
        service: what messages call the service.
        features: name -> type of the service's request fields, and of its features by their full
            names.
        warehouse: describes expressions over these to get their types; nothing is read.
        dialect: of the expressions.
        collector: takes the problems.
    """
    # A copy, to which each calculation is added: later ones may use it.
    known, specs = dict(features), list[CalculationSpec]()
    taken = {name.lower() for name in features}
    for definition in definitions:
        subject = (
            f"{service},"
            f" {'calculation' if isinstance(definition, Calculation) else 'realtime feature'}"
            f" {definition.name!r}"
        )
        before = len(collector.problems)
        valid_name = collector.name(subject, definition.name, definition.location)
        if valid_name and definition.name.lower() in taken:
            collector.add(f"{subject} is listed twice", definition.location, "list it once")
        declared_type = collector.parsed(
            f"{subject}, type", parse_type, definition.type, definition.location
        )
        taken.add(str(definition.name).lower())
        if isinstance(definition, RealtimeFeature):
            python = _python(definition, subject, known, dialect, collector)
            expression = ""
            inputs = tuple(inspect.signature(definition.function).parameters) if python else ()
        else:
            python, inputs = "", _inputs(definition, subject, known, dialect, collector)
            if declared_type is not None and len(collector.problems) == before:
                _check_type(
                    definition, subject, declared_type, inputs, known, warehouse, dialect, collector
                )
            expression = str(definition.expression).strip()
        if declared_type is None:
            continue
        if len(collector.problems) == before:
            location = collector.located(definition.location)
            specs.append(
                CalculationSpec(
                    definition.name,
                    declared_type,
                    expression,
                    inputs,
                    definition.description,
                    location,
                    python,
                )
            )
        # Later calculations may name it even if it has problems of its own: those are noted once.
        known[str(definition.name)] = declared_type
    return specs


def _python(
    feature: RealtimeFeature,
    subject: str,
    known: Mapping[str, str],
    dialect: str,
    collector: Collector,
) -> str:
    """Return the canonical text of its function; empty after a problem was noted."""
    source = source_of(feature, subject, collector)
    if source is None:
        return ""
    names = inspect.signature(feature.function).parameters
    if unknown := [name for name in names if name not in known]:
        text = f"{subject}: there is no feature or request field {listing(unknown)} in this service"
        collector.add(text, feature.location, f"the service has: {listing(known)}")
        return ""
    lists = [name for name in names if is_list(known[name])]
    if dialect in WITHOUT_LISTS and (lists or is_list(str(feature.type))):
        text = (
            f"{subject}: on {dialect} a Python function can't take or return"
            f" lists{': ' * bool(lists)}{', '.join(lists)}"
        )
        collector.add(
            text, feature.location, "write it as a calculation, or give the function single values"
        )
        return ""
    if not names:
        collector.add(
            f"{subject}: its function has no parameters",
            feature.location,
            f"name its inputs: {listing(known)}",
        )
        return ""
    return source


def _inputs(
    calculation: Calculation,
    subject: str,
    known: Mapping[str, str],
    dialect: str,
    collector: Collector,
) -> tuple[str, ...]:
    """Return the features that the expression names, in the order of `known`; note problems."""
    try:
        tree = _parsed(calculation.expression, dialect)
    except ValueError as error:
        collector.add(
            f"{subject}: {error}",
            calculation.location,
            "write one SQL expression over the features of one row",
        )
        return ()
    refused_nodes: tuple[tuple[type[exp.Expr], str], ...] = (
        (exp.Query, "a subquery"),
        (exp.Window, "a window function"),
        (exp.AggFunc, "an aggregate"),
    )
    for node_type, words in refused_nodes:
        if tree.find(node_type) is not None:
            hint = "a calculation sees one row: compute that in a feature view"
            collector.add(f"{subject}: its expression contains {words}", calculation.location, hint)
            return ()
    if not isinstance(tree, exp.Paren) or tree.find(exp.Star, exp.Parameter, exp.Placeholder):
        hint = "write one SQL expression over the features of one row"
        collector.add(
            f"{subject}: it is not one expression over one row", calculation.location, hint
        )
        return ()
    if calls := changeable(calculation.expression, dialect):
        hint = "training and serving would differ: pass the value as a request field"
        text = (
            f"{subject}: the value of {listing(call.name for call in calls)} depends on more than"
            " features"
        )
        collector.add(text, calculation.location, hint)
    named = dict.fromkeys(
        column.sql() if column.table else column.name for column in tree.find_all(exp.Column)
    )
    unknown = [name for name in named if name not in known]
    if unknown:
        text = f"{subject}: there is no feature or request field {listing(unknown)} in this service"
        collector.add(text, calculation.location, f"the service has: {listing(known)}")
    return tuple(name for name in known if name in named)


def _parsed(expression: object, dialect: str) -> exp.Expr:
    if not isinstance(expression, str) or not expression.strip():
        raise ValueError("it has no expression")
    try:
        trees = sqlglot.parse(f"SELECT ({expression}\n)", dialect=dialect)
    except transformation.NOT_PARSED as error:
        raise ValueError(f"its expression does not parse: {transformation.plain(error)}") from None
    [tree] = trees if len(trees) == 1 else [None]
    if (
        not isinstance(tree, exp.Select)
        or len(tree.expressions) != 1
        or len([v for v in tree.args.values() if v]) > 1
    ):
        raise ValueError("it is not one expression")
    expression_tree: exp.Expr = tree.expressions[0]
    return expression_tree


def _check_type(
    calculation: Calculation,
    subject: str,
    declared_type: str,
    inputs: Sequence[str],
    known: Mapping[str, str],
    warehouse: Warehouse,
    dialect: str,
    collector: Collector,
) -> None:
    # A SELECT needs at least one column, also for an expression without inputs.
    rows = transformation.stand_in(
        [(name, known[name]) for name in inputs] or [("none", "bool")], dialect
    )
    value = f"({calculation.expression}\n)"
    try:
        [actual_type] = described(
            warehouse, f"SELECT {value} AS plane_value FROM ({rows}) AS plane_row"
        ).values()
    except PermanentError as error:
        text = f"{subject}: the warehouse refuses its expression: {error.message}"
        collector.add(text, calculation.location, error.hint)
        return
    try:
        # A second query: in WHERE, warehouses refuse aggregates and functions that return several
        # rows, also those that the parser does not know.
        described(
            warehouse, f"SELECT 1 AS plane_value FROM ({rows}) AS plane_row WHERE {value} IS NULL"
        )
    except PermanentError as error:
        text = f"{subject}: its expression is not one value of one row: {error.message}"
        collector.add(text, calculation.location, "compute that in a feature view")
        return
    if actual_type != declared_type:
        hint = f"cast it in the expression, or declare {actual_type!r}"
        collector.add(
            f"{subject} is {actual_type}, declared {declared_type}", calculation.location, hint
        )
