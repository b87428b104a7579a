"""The actions that lead from one manifest to another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import assert_never

import msgspec

from controlplane.base import naming
from controlplane.base.types import format_duration, format_instant
from controlplane.manifest import windows
from controlplane.manifest.expectations import Expected
from controlplane.manifest.specs import (
    AggregateSpec,
    CalculationSpec,
    Feature,
    IntervalByInterval,
    Manifest,
    RowByRow,
    ServiceSpec,
    SourceSpec,
    ViewSpec,
)
from controlplane.plan.actions import (
    Action,
    Change,
    CreateService,
    CreateView,
    DropService,
    DropView,
    RedefineView,
    Rerender,
    UpdateService,
    UpdateView,
)

# `location` too: a view that only moved to another line of its file is no update.
_NOT_COMPARED = frozenset(
    ["fingerprint", "location", "features", "name", "expectations", "evaluation", "bounds"]
)
"""The fields of a view that are no property to its owner, or that are compared part by part."""


def diff(
    before: Manifest | None, after: Manifest, release_before: str, release_after: str
) -> list[Action]:
    """List the changes from the deployed manifest to the declared one.

    Views come first, in dependency order.

    Args:
        before: the deployed manifest; None before the first deployment.
        after: the declared manifest.
        release_before: the digest of the deployed release.
        release_after: the digest of the release that a deploy would write.
    """
    actions: list[Action] = [*_views(before, after), *_services(before, after)]
    # Every other change renders other files too, so `Rerender` would add nothing to it.
    if not actions and release_before != release_after:
        actions.append(Rerender(release_before, release_after))
    return actions


def _views(before: Manifest | None, after: Manifest) -> Iterator[Action]:
    known = {view.name: view for view in before.views} if before else {}
    for view in after.views:
        old = known.pop(view.name, None)
        if old is None:
            yield CreateView(view.name, view.fingerprint, tuple(f.name for f in view.features))
            continue
        changes = tuple(_view_changes(old, view, before, after))
        if old.fingerprint != view.fingerprint:
            yield RedefineView(view.name, old.fingerprint, view.fingerprint, changes)
        elif changes:
            yield UpdateView(view.name, changes)
    for view in known.values():
        yield DropView(view.name, view.fingerprint)


def _services(before: Manifest | None, after: Manifest) -> Iterator[Action]:
    known = {service.name: service for service in before.services} if before else {}
    for service in after.services:
        old = known.pop(service.name, None)
        if old is None:
            yield CreateService(service.name, _names(service))
            continue
        changes = [
            Change(name, text(getattr(old, name)), text(getattr(service, name)))
            for name in ("owner", "description")
            if getattr(old, name) != getattr(service, name)
        ]
        if old.features != service.features:
            were, are = (
                ", ".join(naming.feature(*feature) for feature in s.features)
                for s in (old, service)
            )
            changes.append(Change("features", were, are))
        if old.request != service.request:
            changes.append(Change("request", _requested(old), _requested(service)))
        changes += _calculation_changes(old, service)
        if changes:
            yield UpdateService(service.name, tuple(changes))
    for service in known.values():
        yield DropService(service.name)


def _requested(service: ServiceSpec) -> str:
    return ", ".join(
        f"{f.name} {f.type}{' or null' if f.nullable else ''}" for f in service.request
    )


def _calculation_changes(old: ServiceSpec, new: ServiceSpec) -> Iterator[Change]:
    were, are = ({c.name: _calculated(c) for c in service.calculations} for service in (old, new))
    for name in {**were, **are}:
        if were.get(name) != are.get(name):
            yield Change(f"calculation {name}", were.get(name, ""), are.get(name, ""))
    # Dictionaries are equal in any order, but a calculation may read only those that precede it.
    if were == are and list(were) != list(are):
        yield Change("calculations", ", ".join(were), ", ".join(are))


def _calculated(calculation: CalculationSpec) -> str:
    # The text of a function is too long for a plan: its digest shows that it changed.
    code = f"Python {_digest(calculation.python)}" if calculation.python else calculation.expression
    words = f"{code}: {calculation.type}"
    return words + (f" ({calculation.description})" if calculation.description else "")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _names(service: ServiceSpec) -> tuple[str, ...]:
    features = (naming.feature(view, feature) for view, feature in service.features)
    return (*features, *(c.name for c in service.calculations))


def _view_changes(
    old: ViewSpec, new: ViewSpec, before: Manifest | None, after: Manifest
) -> Iterator[Change]:
    for name in new.__struct_fields__:
        if name not in _NOT_COMPARED and getattr(old, name) != getattr(new, name):
            yield Change(name, text(getattr(old, name)), text(getattr(new, name)))
    for name, describe_part in (("computed", _evaluated), ("event_time_bounds", _bounded)):
        if describe_part(old) != describe_part(new):
            yield Change(name, describe_part(old), describe_part(new))
    # The fingerprint of an upstream view is part of the view's own: without this change, nothing
    # would explain why a view with an unchanged definition is computed again.
    for name in new.upstream:
        version, now = (
            m.view(name).fingerprint if m and name in old.upstream else "" for m in (before, after)
        )
        if version != now:
            yield Change(f"version of {name}, which it reads", version, now)
    features = {f.name: f for f in old.features}
    for feature in new.features:
        earlier = features.pop(feature.name, None)
        if earlier is None:
            yield Change(f"feature {feature.name}", "", describe(feature))
        elif earlier != feature:
            yield Change(f"feature {feature.name}", describe(earlier), describe(feature))
    for feature in features.values():
        yield Change(f"feature {feature.name}", describe(feature), "")
    yield from _expectation_changes("expectation", old.expectations, new.expectations)
    sources = {name: before.source(name) for name in old.sources} if before else {}
    for name in new.sources:
        was, becomes = sources.get(name), after.source(name)
        # A source that the view did not read before is listed by the change of `sources`.
        if was is not None:
            yield from _source_changes(was, becomes)


def _evaluated(view: ViewSpec) -> str:
    match view.evaluation:
        case RowByRow():
            return "row by row"
        case IntervalByInterval(construct):
            return f"interval by interval ({construct})"
        case _ as never:
            assert_never(never)


def _bounded(view: ViewSpec) -> str:
    return f"{_signed(view.bounds.low)} to {_signed(view.bounds.high)}" if view.bounds else ""


def _signed(duration: timedelta) -> str:
    return (
        f"-{format_duration(-duration)}" if duration < timedelta(0) else format_duration(duration)
    )


def _source_changes(old: SourceSpec, new: SourceSpec) -> Iterator[Change]:
    for part, was, becomes in (
        ("table", old.table, new.table),
        ("timestamp", old.time_sql or text(old.timestamp), new.time_sql or text(new.timestamp)),
        ("prune_by", *(s.pruning.column if s.pruning else "" for s in (old, new))),
        (
            "lookback",
            *("unbounded" if s.lookback is None else text(s.lookback) for s in (old, new)),
        ),
    ):
        if was != becomes:
            yield Change(f"source {new.name} {part}", was, becomes)
    yield from _expectation_changes(
        f"source {new.name} expectation", old.expectations, new.expectations
    )
    were, are = dict(old.columns), dict(new.columns)
    for column in {**were, **are}:
        if were.get(column) != are.get(column):
            yield Change(
                f"source {new.name} column {column}", were.get(column, ""), are.get(column, "")
            )


def _expectation_changes(
    subject: str, old: Sequence[Expected], new: Sequence[Expected]
) -> Iterator[Change]:
    were, are = ({e.name: e for e in expectations} for expectations in (old, new))
    for name in {**were, **are}:
        before, after = were.get(name), are.get(name)
        if before != after:
            yield Change(
                f"{subject} {name}",
                *("" if e is None else _expected(e) for e in (before, after)),
            )


def _expected(expectation: Expected) -> str:
    """Describe an expectation in a few words: `error, one_of(origin), values EWR, JFK`."""
    may_fail = expectation.may_fail
    words = [expectation.severity, *([f"{may_fail * 100:g}% may fail"] if may_fail else [])]
    for name in type(expectation).__struct_fields__:
        value = getattr(expectation, name)
        # Without a name of its own, a condition is the expectation's name already.
        if name in ("low", "high", "values", "condition", "at_least", "at_most") and value not in (
            None,
            expectation.name,
        ):
            words.append(f"{name} {', '.join(value) if isinstance(value, tuple) else value}")
    return ", ".join(words)


def describe(feature: Feature) -> str:
    """Describe a feature: `mean(dep_delay) over 24h where dep_delay > 0: float64`."""
    if not isinstance(feature, AggregateSpec):
        return f"last {feature.column}: {feature.type}" + (
            f" ({feature.description})" if feature.description else ""
        )
    parameters = [str(p) for p in (feature.column, feature.n, feature.q) if p is not None]
    words = f"{feature.function}({', '.join(parameters)}) over {windows.words(feature.window)}"
    words += f" offset -{format_duration(-feature.offset)}" if feature.offset else ""
    words += (
        f" by {feature.by[0]}{', its values' if feature.lists_keys else ''}" if feature.by else ""
    )
    words += f" where {feature.where}" if feature.where else ""
    return f"{words}: {feature.type}" + (f" ({feature.description})" if feature.description else "")


def text(value: object) -> str:
    """Format a property's value for people."""
    match value:
        case None:
            return ""
        case timedelta():
            return format_duration(value)
        case datetime():
            return format_instant(value)
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case _:
            return msgspec.json.encode(value).decode()
