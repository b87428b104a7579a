"""List what a project declares: views, features, services, entities and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.base import naming
from controlplane.base.types import format_duration
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ServiceSpec, ViewSpec
from controlplane.plan import diff
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project

DEPLOYED, EDITED, NEW, REMOVED = "deployed", "edited", "new", "removed"


@dataclass(frozen=True)
class ViewEntry:
    """A feature view.

    `state` compares the definition files with the current deployment: `deployed`, `edited`, `new`,
    or `removed` from the files.
    """

    name: str
    state: str
    keys: Sequence[str]
    sources: Sequence[str]
    features: int
    schedule: str
    online: bool
    owner: str
    description: str


@dataclass(frozen=True)
class FeatureEntry:
    """A feature by its full name, or a calculation of a service; `meaning` says how it is made."""

    name: str
    type: str
    meaning: str
    owner: str
    services: Sequence[str]


@dataclass(frozen=True)
class ServiceEntry:
    """A feature service: its views, the number of its features, and the fields of its requests."""

    name: str
    views: Sequence[str]
    features: int
    request: Mapping[str, str]
    owner: str
    description: str


@dataclass(frozen=True)
class EntityEntry:
    """An entity: its key columns with their types, and the views that have it."""

    name: str
    keys: Mapping[str, str]
    views: Sequence[str]
    owner: str
    description: str


@dataclass(frozen=True)
class SourceEntry:
    """A source: its table, its time, and the views that read it."""

    name: str
    table: str
    timestamp: str | None
    settling_delay: str
    views: Sequence[str]
    owner: str
    description: str


@dataclass(frozen=True)
class Catalogue:
    """What a project declares; all lists are in the order of the definition files."""

    views: Sequence[ViewEntry]
    features: Sequence[FeatureEntry]
    services: Sequence[ServiceEntry]
    entities: Sequence[EntityEntry]
    sources: Sequence[SourceEntry]


def catalogue(project: Project) -> Catalogue:
    """See `ControlPlane.catalogue`."""
    current = project.deployed()
    deployed = manifests.from_json(current.manifest) if current else None
    return catalogue_of(compile_project(project), deployed)


def catalogue_of(manifest: Manifest, deployed: Manifest | None) -> Catalogue:
    """Return the catalogue of a manifest; `deployed` is the manifest of the last deployment."""
    versions = {view.name: view.fingerprint for view in deployed.views} if deployed else {}
    declared = {view.name for view in manifest.views}
    removed = [v for v in (deployed.views if deployed else ()) if v.name not in declared]
    return Catalogue(
        views=[
            *(_view(view, state_of(view, versions)) for view in manifest.views),
            *(_view(view, REMOVED) for view in removed),
        ],
        features=features_of(manifest),
        services=[_service(manifest, service) for service in manifest.services],
        entities=[
            EntityEntry(
                entity.name,
                dict(entity.keys),
                [view.name for view in manifest.views if entity.name in view.entities],
                entity.owner,
                entity.description,
            )
            for entity in manifest.entities
        ],
        sources=[
            SourceEntry(
                source.name,
                source.table,
                source.timestamp,
                format_duration(source.settling_delay),
                [view.name for view in manifest.views if source.name in view.sources],
                source.owner,
                source.description,
            )
            for source in manifest.sources
        ],
    )


def state_of(view: ViewSpec, versions: Mapping[str, str]) -> str:
    """Compare a view with the deployed versions: name -> fingerprint."""
    if view.name not in versions:
        return NEW
    return DEPLOYED if versions[view.name] == view.fingerprint else EDITED


def features_of(manifest: Manifest) -> list[FeatureEntry]:
    """List all features of views, then all calculations of services."""
    readers: dict[tuple[str, str], list[str]] = {}
    for service in manifest.services:
        for reference in service.features:
            readers.setdefault(reference, []).append(service.name)
    features = [
        FeatureEntry(
            naming.feature(view.name, feature.name),
            feature.type,
            diff.describe(feature),
            view.owner,
            readers.get((view.name, feature.name), []),
        )
        for view in manifest.views
        for feature in view.features
    ]
    calculated = [
        FeatureEntry(
            calculation.name,
            calculation.type,
            calculation.expression or f"Python function of {', '.join(calculation.inputs)}",
            service.owner,
            [service.name],
        )
        for service in manifest.services
        for calculation in service.calculations
    ]
    return [*features, *calculated]


def _view(view: ViewSpec, state: str) -> ViewEntry:
    return ViewEntry(
        view.name,
        state,
        [name for name, _ in view.keys],
        view.sources,
        len(view.features),
        format_duration(view.schedule),
        view.online,
        view.owner,
        view.description,
    )


def _service(manifest: Manifest, service: ServiceSpec) -> ServiceEntry:
    return ServiceEntry(
        service.name,
        [view.name for view in manifest.views_of(service)],
        len(service.features) + len(service.calculations),
        {field.name: field.type for field in service.request},
        service.owner,
        service.description,
    )
