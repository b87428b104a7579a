"""Describe one name of a project: a view, a feature, a service, an entity, a source or a training
set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from controlplane.api import catalogue, dataset
from controlplane.api.catalogue import FeatureEntry
from controlplane.base import naming
from controlplane.base.types import format_duration
from controlplane.control import migrations
from controlplane.errors import PlaneError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ServiceSpec, ViewSpec
from controlplane.monitor import status
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Description:
    """What is known of one name.

    Attributes:
        kind: `feature view`, `feature`, `feature service`, `entity`, `source` or `training set`.
        name: the name.
        facts: noun -> value, in the order of their weight; empty values are left out.
        features: those of a view or a service.
        sql: that of a view, as its author wrote it.
    """

    kind: str
    name: str
    facts: Mapping[str, Any]
    features: Sequence[FeatureEntry] = field(default_factory=list)
    sql: str = ""


def describe(project: Project, name: str) -> list[Description]:
    """See `ControlPlane.describe`."""
    manifest = compile_project(project)
    current = project.deployed()
    deployed = manifests.from_json(current.manifest) if current else None
    descriptions = list(_Describer(project, manifest, deployed).of(name))
    if not descriptions:
        names = [
            *(view.name for view in manifest.views),
            *(service.name for service in manifest.services),
            *(entity.name for entity in manifest.entities),
            *(source.name for source in manifest.sources),
        ]
        raise PlaneError(
            f"nothing is named {name!r}",
            hint=f"choose from: {', '.join(dict.fromkeys(names))}; `plane list features` lists"
            " features, `plane dataset list` training sets",
        )
    return descriptions


class _Describer:
    """Describes the names of one project."""

    def __init__(self, project: Project, manifest: Manifest, deployed: Manifest | None) -> None:
        self._project, self._manifest, self._deployed = project, manifest, deployed
        self._catalogue = catalogue.catalogue_of(manifest, deployed)

    def of(self, name: str) -> Iterator[Description]:
        """Describe everything of that name."""
        manifest = self._manifest
        yield from (self._view(view) for view in manifest.views if view.name == name)
        yield from (self._feature(f) for f in self._catalogue.features if f.name == name)
        yield from (self._service(s) for s in manifest.services if s.name == name)
        for entity in (e for e in self._catalogue.entities if e.name == name):
            facts = {
                "owner": entity.owner,
                "meaning": entity.description,
                "keys": entity.keys,
                "feature views": entity.views,
            }
            yield Description("entity", name, _known(facts))
        yield from self._sources(name)
        for created in dataset.existing(self._project):
            if created.name == name:
                made: dict[str, Any] = {
                    "version": created.version,
                    "table": created.table,
                    "service": created.service,
                    "rows": created.row_count,
                    "created": created.created_at,
                    "created by": created.created_by,
                }
                yield Description("training set", name, _known(made))

    def _view(self, view: ViewSpec) -> Description:
        facts = {
            "owner": view.owner,
            "meaning": view.description,
            "tags": view.tags,
            "keys": dict(view.keys),
            "entities": view.entities,
            "sources": view.sources,
            "schedule": format_duration(view.schedule),
            "settling delay": format_duration(view.delay),
            "time to live": format_duration(view.ttl) if view.ttl else "",
            "start": view.start,
            "end": view.end,
            "online": view.online,
            **self._freshness(view),
            "read by": self._consumers(view),
            "defined at": str(view.location),
        }
        features = [f for f in self._catalogue.features if f.name in _full_names(view)]
        return Description("feature view", view.name, _known(facts), features, view.sql)

    def _feature(self, feature: FeatureEntry) -> Description:
        facts = {
            "owner": feature.owner,
            "meaning": feature.meaning,
            "type": feature.type,
        }
        for view in self._manifest.views:
            if feature.name in _full_names(view):
                facts |= {"feature view": view.name, **self._freshness(view)}
        return Description("feature", feature.name, _known({**facts, "read by": feature.services}))

    def _service(self, service: ServiceSpec) -> Description:
        facts = {
            "owner": service.owner,
            "meaning": service.description,
            "request": {field.name: field.type for field in service.request},
            "defined at": str(service.location),
        }
        features = [f for f in self._catalogue.features if service.name in f.services]
        return Description("feature service", service.name, _known(facts), features)

    def _sources(self, name: str) -> Iterator[Description]:
        for source in self._manifest.sources:
            if source.name == name:
                views = [view.name for view in self._manifest.views if name in view.sources]
                facts = {
                    "owner": source.owner,
                    "meaning": source.description,
                    "table": source.table,
                    "time": source.time_sql or source.timestamp,
                    "settling delay": format_duration(source.settling_delay),
                    "columns": dict(source.columns),
                    "expectations": [expected.name for expected in source.expectations],
                    "read by": views,
                    "defined at": str(source.location),
                }
                yield Description("source", name, _known(facts))

    def _consumers(self, view: ViewSpec) -> list[str]:
        """List the services and the views that read a view."""
        services = [
            service.name
            for service in self._manifest.services
            if any(name == view.name for name, _ in service.features)
        ]
        return [*services, *(v.name for v in self._manifest.views if view.name in v.upstream)]

    def _freshness(self, view: ViewSpec) -> dict[str, Any]:
        """How fresh the deployed version of a view is."""
        deployed = self._deployed
        versions = {v.name: v.fingerprint for v in deployed.views} if deployed else {}
        state = catalogue.state_of(view, versions)
        if deployed is None or state == catalogue.NEW:
            return {"state": state}
        migrations.check(self._project.warehouse)
        alone = msgspec.structs.replace(deployed, views=(deployed.view(view.name),))
        [fresh] = status.status(alone, self._project.warehouse, None, self._project.now())
        through: datetime | None = fresh.frontier
        return {
            "state": f"{state}, {fresh.state}",
            "computed through": through,
            "last run": fresh.last_published_at,
            "last rows": fresh.last_rows,
        }


def _full_names(view: ViewSpec) -> set[str]:
    return {naming.feature(view.name, feature.name) for feature in view.features}


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out empty facts; False and 0 are facts."""
    return {noun: value for noun, value in facts.items() if value not in (None, "", (), [], {})}
