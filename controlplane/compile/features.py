"""The features of one view: names, windows and types, checked against the columns of its SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from controlplane.base import naming
from controlplane.base.types import format_duration, is_list, is_whole, parse_type
from controlplane.compile import transformation
from controlplane.compile.changeable import changeable
from controlplane.compile.grid import Grid
from controlplane.compile.problems import Collector, listing
from controlplane.compile.windows import compile_offset, compile_windows
from controlplane.definitions import Aggregate, Attribute, BatchFeatureView
from controlplane.manifest.functions import FUNCTIONS, LONGEST_LIST, Function
from controlplane.manifest.specs import AggregateSpec, AttributeSpec, Column, Feature
from controlplane.manifest.windows import SeriesWindow

KEY_TYPES = ("string", "int64", "bool", "date", "timestamp", "binary")
"""Types that keys may have."""
RESERVED = (
    "valid_from",
    "valid_to",
    "expires_at",
    "recorded_from",
    "recorded_to",
    "is_deleted",
    "version",
    "write_version",
    "tile_start",
    "tile_end",
    "event_time",
    "moment",
    "place",
    "is_point",
    "second",
)
"""Names of controlplane's own columns, in the same tables as keys and features."""


def conditions(view: BatchFeatureView, dialect: str) -> dict[str, str]:
    """Return the valid `where` conditions of the view's aggregates, by the name of a column."""
    condition_of_column: dict[str, str] = {}
    for index, feature in enumerate(view.features):
        if isinstance(feature, Aggregate) and feature.where is not None:
            try:
                transformation.canonical_condition(feature.where, dialect)
            except ValueError:
                continue  # noted by compile_features
            condition_of_column[_condition(index)] = feature.where
    return condition_of_column


def _condition(index: int) -> str:
    return f"plane_where_{index}"


def compile_features(
    view: BatchFeatureView,
    subject: str,
    grid: Grid,
    columns: Mapping[str, str],
    taken: set[str],
    dialect: str,
    collector: Collector,
) -> list[Feature]:
    """Return the valid features; note what is wrong with the others.

    Args:
        view: the definition.
        subject: what messages call it.
        grid: its checked time settings.
        columns: that its SQL returns, with one boolean column for each condition.
        taken: names of its keys, which no feature may have.
        dialect: of its SQL.
        collector: takes the problems.
    """
    specs: list[Feature] = []
    # Warehouses fold names: features that differ only in case would be one column.
    taken = {name.lower() for name in taken}
    if not view.features:
        collector.add(
            f"{subject} has no features",
            view.location,
            "give features=[Attribute(...) or Aggregate(...)]",
        )
    features: Sequence[object] = view.features  # a file may hold anything
    for index, feature in enumerate(features):
        if isinstance(feature, Attribute):
            candidates: list[Feature] = _attribute(feature, subject, columns, collector)
        elif isinstance(feature, Aggregate):
            condition = columns.get(_condition(index))
            candidates = _aggregates(feature, subject, grid, columns, condition, dialect, collector)
        else:
            text = f"{subject}: {feature!r:.60} is not a feature"
            collector.add(text, view.location, "use Attribute(...) or Aggregate(...)")
            continue
        for candidate in candidates:
            _check_name(candidate.name, subject, feature, taken, collector)
            taken.add(candidate.name.lower())
        specs.extend(candidates)
    return specs


def _check_name(
    name: str, subject: str, feature: Attribute | Aggregate, taken: set[str], collector: Collector
) -> None:
    if not naming.is_name(name):
        hint = naming.name_remedy(name)
        if isinstance(feature, Aggregate):
            hint += "; name= replaces the part before the window"
        collector.add(f"{subject}: {name!r} can't be a feature's name", feature.location, hint)
    elif name.lower() in RESERVED:
        collector.add(
            f"{subject}: {name!r} is a reserved name: {listing(RESERVED)}",
            feature.location,
            "choose another",
        )
    elif name.lower() in taken:
        text = f"{subject}: {name!r} is already the name of a key or of another feature"
        collector.add(text, feature.location, "give one of them another name=")


def _attribute(
    feature: Attribute, view_subject: str, columns: Mapping[str, str], collector: Collector
) -> list[Feature]:
    subject = f"{view_subject}, attribute {feature.name!r}"
    column = feature.column or feature.name
    declared = collector.parsed(subject, parse_type, feature.type, feature.location)
    if declared is None:
        return []
    actual = _column(subject, column, columns, feature, collector)
    if actual is None:
        return []
    if actual != declared:
        hint = f"declare {actual!r}, or cast it in the SQL"
        collector.add(
            f"{subject}: column {column!r} is {actual}, declared {declared}", feature.location, hint
        )
        return []
    return [AttributeSpec(feature.name, declared, column, feature.description)]


def _aggregates(
    feature: Aggregate,
    view_subject: str,
    grid: Grid,
    columns: Mapping[str, str],
    condition: str | None,
    dialect: str,
    collector: Collector,
) -> list[Feature]:
    function = FUNCTIONS.get(feature.function)
    subject = f"{view_subject}, {feature.function}({feature.column or ''})"
    if function is None:
        text = f"{view_subject}: {feature.function!r} is not an aggregate function"
        collector.add(text, feature.location, f"choose from: {listing(FUNCTIONS)}")
        return []
    actual: str | None = None
    if feature.column is not None:
        actual = _column(subject, feature.column, columns, feature, collector)
        if actual is None:
            return []
        if not function.takes(actual):
            text = f"{subject}: column {feature.column!r} is {actual}"
            collector.add(
                text,
                feature.location,
                f"{feature.function} takes {function.accepts}; cast it in the SQL",
            )
            return []
    elif function.needs_column:
        collector.add(f"{subject} needs a column", feature.location, f"it takes {function.accepts}")
        return []
    if not _parameters_fit(feature, subject, function, collector):
        return []
    if feature.where is not None and not _condition_fits(
        feature, subject, condition, dialect, collector
    ):
        return []
    by = _second_key(feature, subject, columns, collector) if feature.by is not None else None
    if feature.by is not None and by is None:
        return []
    windows = compile_windows(feature, subject, grid, collector)
    offset = compile_offset(feature, subject, grid, collector)
    if offset is None:
        return []
    verb = _verb(feature)
    stem = feature.name or (f"{feature.column}_{verb}" if feature.column else verb)
    stem += f"_by_{feature.by}" if by else ""
    suffix = f"_offset_{format_duration(-offset)}" if offset else ""
    specs: list[Feature] = []
    # Every window is a feature of its own, so that a service can select it.
    for label, window in windows:
        value_type = function.gives(actual or "int64")
        values = AggregateSpec(
            name=f"{stem}_{label}{suffix}",
            type=f"array<{value_type}>" if by or isinstance(window, SeriesWindow) else value_type,
            function=feature.function,
            column=feature.column,
            column_type=actual,
            where=feature.where,
            window=window,
            offset=offset,
            description=feature.description,
            n=feature.n,
            q=feature.q,
            by=by,
        )
        if not _series_fits(values, subject, value_type, feature, collector):
            continue
        specs.append(values)
        if by:
            keys_of = {"name": f"{values.name}_keys", "type": f"array<{by[1]}>", "lists_keys": True}
            specs.append(msgspec.structs.replace(values, **keys_of))
    return specs


def _second_key(
    feature: Aggregate, subject: str, columns: Mapping[str, str], collector: Collector
) -> Column | None:
    name = feature.by or ""
    key_type = _column(f"{subject}, by", name, columns, feature, collector)
    if key_type is None:
        return None
    if key_type not in KEY_TYPES:
        collector.add(
            f"{subject}: by {name!r} is {key_type}",
            feature.location,
            f"use {listing(KEY_TYPES)}; cast in the SQL",
        )
        return None
    return name, key_type


def _series_fits(
    values: AggregateSpec, subject: str, value_type: str, feature: Aggregate, collector: Collector
) -> bool:
    if not isinstance(values.window, SeriesWindow) or not (values.by or is_list(value_type)):
        return True
    obstacle = "a second key" if values.by else "a function that returns lists"
    collector.add(
        f"{subject}: a series can't have {obstacle}",
        feature.location,
        "use windows with offsets instead",
    )
    return False


def _parameters_fit(
    feature: Aggregate, subject: str, function: Function, collector: Collector
) -> bool:
    for name, value in (("n", feature.n), ("q", feature.q)):
        if value is not None and function.parameter != name:
            collector.add(f"{subject} takes no {name}", feature.location, f"remove {name}=")
            return False
    if function.parameter == "n" and not is_whole(feature.n, 1, LONGEST_LIST):
        hint = f"give n=, a whole number from 1 to {LONGEST_LIST}"
        collector.add(f"{subject}: n is {feature.n!r}", feature.location, hint)
        return False
    if function.parameter == "q" and not (
        isinstance(feature.q, int | float) and 0 <= feature.q <= 1
    ):
        collector.add(
            f"{subject}: q is {feature.q!r}",
            feature.location,
            "give q=, from 0 to 1: 0.5 is the median",
        )
        return False
    return True


def _verb(feature: Aggregate) -> str:
    """Return a function's part of a feature's name: `last_5`, or `p95` for the 0.95 percentile."""
    if feature.n is not None:
        return f"{feature.function.removesuffix('_n')}_{feature.n}"
    if feature.q is not None:
        # Decimal, because with floats 0.07 * 100 is 7.000000000000001.
        percent = f"{Decimal(str(feature.q)) * 100:f}"
        percent = percent.rstrip("0").rstrip(".") if "." in percent else percent
        return feature.function.replace("percentile", "p" + percent.replace(".", "_"))
    return feature.function


def _column(
    subject: str,
    column: str,
    columns: Mapping[str, str],
    feature: Attribute | Aggregate,
    collector: Collector,
) -> str | None:
    """Return the canonical type of the column; None after a problem was noted."""
    actual = columns.get(column)
    if actual is None:
        hint = f"it returns: {listing(c for c in columns if not c.startswith('plane_where_'))}"
        collector.add(
            f"{subject}: column {column!r} is not returned by the view's SQL",
            feature.location,
            hint,
        )
        return None
    try:
        return parse_type(actual)
    except ValueError:
        hint = (
            "cast it in the SQL to one of: bool, int64, float64, string, binary, date, timestamp,"
            " decimal(p,s)"
        )
        collector.add(
            f"{subject}: column {column!r} is {actual}, which is not a supported type",
            feature.location,
            hint,
        )
        return None


def _condition_fits(
    feature: Aggregate, subject: str, condition: str | None, dialect: str, collector: Collector
) -> bool:
    try:
        transformation.canonical_condition(feature.where or "", dialect)
    except ValueError as error:
        collector.add(
            f"{subject}: {error}", feature.location, "write one condition, such as dep_delay > 0"
        )
        return False
    if calls := changeable(feature.where or "", dialect):
        text = (
            f"{subject}: in its condition the value of {listing(call.name for call in calls)}"
            " depends on more than the row"
        )
        collector.add(
            text,
            feature.location,
            "a second run would give other values: compare columns with each other",
        )
        return False
    # The warehouse has described the condition as a column of the view's query.
    if condition != "bool":
        collector.add(
            f"{subject}: its condition is {condition}, not bool",
            feature.location,
            "write a comparison, such as amount > 0",
        )
        return False
    return True
