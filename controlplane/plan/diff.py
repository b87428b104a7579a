"""Two manifests -> the actions that lead from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from controlplane import naming
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
from controlplane.registry.manifest import AggregateSpec, Feature, Manifest, ServiceSpec, SourceSpec, ViewSpec
from controlplane.types import format_duration, format_instant

_NOT_COMPARED = ("fingerprint", "place", "features", "name")


def diff(before: Manifest | None, after: Manifest, release_before: str, release_after: str) -> list[Action]:
    """What changes between what was deployed and what is declared; views first, in dependency order.

    Args:
        before: the deployed manifest; None if nothing was.
        after: the declared one.
        release_before: digest of the deployed release.
        release_after: digest of the one that would be written.
    """
    actions: list[Action] = [*_views(before, after), *_services(before, after)]
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
            changes.append(Change("features", ", ".join(_names(old)), ", ".join(_names(service))))
        if changes:
            yield UpdateService(service.name, tuple(changes))
    for service in known.values():
        yield DropService(service.name)


def _names(service: ServiceSpec) -> tuple[str, ...]:
    return tuple(naming.feature(view, feature) for view, feature in service.features)


def _view_changes(old: ViewSpec, new: ViewSpec, before: Manifest | None, after: Manifest) -> Iterator[Change]:
    for name in ViewSpec.__struct_fields__:
        if name not in _NOT_COMPARED and getattr(old, name) != getattr(new, name):
            yield Change(name, text(getattr(old, name)), text(getattr(new, name)))
    features = {f.name: f for f in old.features}
    for feature in new.features:
        earlier = features.pop(feature.name, None)
        if earlier is None:
            yield Change(f"feature {feature.name}", "", describe(feature))
        elif earlier != feature:
            yield Change(f"feature {feature.name}", describe(earlier), describe(feature))
    for feature in features.values():
        yield Change(f"feature {feature.name}", describe(feature), "")
    sources = {name: before.source(name) for name in old.sources} if before else {}
    for name in new.sources:
        was, becomes = sources.get(name), after.source(name)
        if was is not None:
            yield from _source_changes(was, becomes)


def _source_changes(old: SourceSpec, new: SourceSpec) -> Iterator[Change]:
    for part in ("table", "timestamp"):
        if getattr(old, part) != getattr(new, part):
            yield Change(f"source {new.name} {part}", text(getattr(old, part)), text(getattr(new, part)))
    were, are = dict(old.columns), dict(new.columns)
    for column in {**were, **are}:
        if were.get(column) != are.get(column):
            yield Change(f"source {new.name} column {column}", were.get(column, ""), are.get(column, ""))


def describe(feature: Feature) -> str:
    """A feature in a few words: `mean(dep_delay) over 24h where dep_delay > 0: float64`."""
    if not isinstance(feature, AggregateSpec):
        return f"last {feature.column}: {feature.type}" + (f" ({feature.description})" if feature.description else "")
    parameters = [str(p) for p in (feature.column, feature.n, feature.q) if p is not None]
    words = f"{feature.function}({', '.join(parameters)}) over {format_duration(feature.window)}"
    words += f" offset -{format_duration(-feature.offset)}" if feature.offset else ""
    words += f" where {feature.where}" if feature.where else ""
    return f"{words}: {feature.type}" + (f" ({feature.description})" if feature.description else "")


def text(value: object) -> str:
    """A property's value as a person would write it."""
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
