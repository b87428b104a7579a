"""The calculations and realtime features of one service: names, SQL or Python, and types."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import sqlglot
from sqlglot import exp

from controlplane.base import naming
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
    wanted: Sequence[Calculation | RealtimeFeature],
    what: str,
    features: Mapping[str, str],
    warehouse: Warehouse,
    dialect: str,
    collector: Collector,
) -> list[CalculationSpec]:
    """The calculations and realtime features that are right.

    What is wrong with the others is noted.

    Args:
        wanted: the definitions, in order.
        what: how messages call the service.
        features: name -> type of the service's request fields, and of its features by their full
            names.
        warehouse: asked for the types of expressions over these; nothing is read.
        dialect: of the expressions.
        collector: takes the problems.
    """
    known, found = dict(features), list[CalculationSpec]()
    taken = {name.lower() for name in features}
    for one in wanted:
        called = (
            f"{what}, {'calculation' if isinstance(one, Calculation) else 'realtime feature'}"
            f" {one.name!r}"
        )
        before = len(collector.found)
        if not isinstance(one.name, str) or not naming.is_name(one.name):
            collector.add(
                f"{called}: that is not a name", one.location, naming.name_remedy(one.name)
            )
        elif one.name.lower() in taken:
            collector.add(f"{called} is named twice", one.location, "name it once")
        kind = collector.parsed(f"{called}, type", parse_type, one.type, one.location)
        taken.add(str(one.name).lower())
        if isinstance(one, RealtimeFeature):
            python = _python(one, called, known, dialect, collector)
            expression = ""
            inputs = tuple(inspect.signature(one.function).parameters) if python else ()
        else:
            python, inputs = "", _inputs(one, called, known, dialect, collector)
            if kind is not None and len(collector.found) == before:
                _check_type(one, called, kind, inputs, known, warehouse, dialect, collector)
            expression = str(one.expression).strip()
        if kind is None:
            continue
        if len(collector.found) == before:
            place = collector.located(one.location)
            found.append(
                CalculationSpec(one.name, kind, expression, inputs, one.description, place, python)
            )
        known[str(one.name)] = kind  # later ones may name it, whatever else is wrong with it
    return found


def _python(
    feature: RealtimeFeature,
    what: str,
    known: Mapping[str, str],
    dialect: str,
    collector: Collector,
) -> str:
    """The text of its function; empty where that is wrong."""
    source = source_of(feature, what, collector)
    if source is None:
        return ""
    names = inspect.signature(feature.function).parameters
    if unknown := [name for name in names if name not in known]:
        text = f"{what}: there is no feature or request field {listing(unknown)} in this service"
        collector.add(text, feature.location, f"it has: {listing(known)}")
        return ""
    lists = [name for name in names if is_list(known[name])]
    if dialect in WITHOUT_LISTS and (lists or is_list(str(feature.type))):
        text = (
            f"{what}: on {dialect} a Python function can't take or give"
            f" lists{': ' * bool(lists)}{', '.join(lists)}"
        )
        collector.add(
            text, feature.location, "write it as a calculation, or give the function single values"
        )
        return ""
    if not names:
        collector.add(
            f"{what}: its function takes nothing",
            feature.location,
            f"name inputs: {listing(known)}",
        )
        return ""
    return source


def _inputs(
    calculation: Calculation,
    what: str,
    known: Mapping[str, str],
    dialect: str,
    collector: Collector,
) -> tuple[str, ...]:
    """The features that the expression names, in the order of `known`.

    What is wrong with it is noted.
    """
    try:
        tree = _parsed(calculation.expression, dialect)
    except ValueError as error:
        collector.add(
            f"{what}: {error}",
            calculation.location,
            "write one SQL expression on the features of a row",
        )
        return ()
    kinds: tuple[tuple[type[exp.Expr], str], ...] = (
        (exp.Query, "a subquery"),
        (exp.Window, "a window function"),
        (exp.AggFunc, "an aggregate"),
    )
    for kind, words in kinds:
        if tree.find(kind) is not None:
            hint = "it has one row alone: compute that in a feature view"
            collector.add(f"{what}: its expression holds {words}", calculation.location, hint)
            return ()
    if not isinstance(tree, exp.Paren) or tree.find(exp.Star, exp.Parameter, exp.Placeholder):
        hint = "write one SQL expression on the features of a row"
        collector.add(f"{what}: its expression is not one on a row", calculation.location, hint)
        return ()
    if found := changeable(calculation.expression, dialect):
        hint = "training and serving would differ: give the value as a feature"
        text = (
            f"{what}: the value of {listing(one.name for one in found)} depends on more than"
            " features"
        )
        collector.add(text, calculation.location, hint)
    named = dict.fromkeys(
        column.sql() if column.table else column.name for column in tree.find_all(exp.Column)
    )
    unknown = [name for name in named if name not in known]
    if unknown:
        text = f"{what}: there is no feature or request field {listing(unknown)} in this service"
        collector.add(text, calculation.location, f"it has: {listing(known)}")
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
    found: exp.Expr = tree.expressions[0]
    return found


def _check_type(
    calculation: Calculation,
    what: str,
    kind: str,
    inputs: Sequence[str],
    known: Mapping[str, str],
    warehouse: Warehouse,
    dialect: str,
    collector: Collector,
) -> None:
    rows = transformation.stand_in(
        [(name, known[name]) for name in inputs] or [("none", "bool")], dialect
    )
    value = f"({calculation.expression}\n)"
    try:
        [actual] = described(
            warehouse, f"SELECT {value} AS plane_value FROM ({rows}) AS plane_row"
        ).values()
    except PermanentError as error:
        text = f"{what}: the warehouse refuses its expression: {error.message}"
        collector.add(text, calculation.location, error.hint)
        return
    try:
        # Conditions may not hold what needs more than one row, or gives more: also what the parser
        # has no name for.
        described(
            warehouse, f"SELECT 1 AS plane_value FROM ({rows}) AS plane_row WHERE {value} IS NULL"
        )
    except PermanentError as error:
        text = f"{what}: its expression is not one value of one row: {error.message}"
        collector.add(text, calculation.location, "compute that in a feature view")
        return
    if actual != kind:
        hint = f"cast it in the expression, or declare {actual!r}"
        collector.add(f"{what} is {actual}, declared {kind}", calculation.location, hint)
