"""Create, find and drop training sets, and read their rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from controlplane.api.rows import Readable, Source
from controlplane.deploy import executor
from controlplane.errors import PlaneError
from controlplane.training import datasets, listed
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class TrainingSet(listed.Created, Readable):
    """A version of a training set; its rows can be read as long as the project is open."""

    _source: Source = field(kw_only=True, repr=False, compare=False)


def create(
    project: Project,
    name: str,
    *,
    service: str,
    spine: Any,  # noqa: ANN401 - a text, or a DataFrame of any library
    time: str,
    allow_gaps: bool = False,
    as_of: str = "scheduled",
    from_source: bool = False,
) -> TrainingSet:
    """See `ControlPlane.create_dataset`."""
    created = datasets.create(
        compile_project(project) if from_source else project.current()[1],
        project.warehouse,
        name=name,
        service=service,
        spine=spine,
        time=time,
        created_by=executor.user_name(),
        allow_gaps=allow_gaps,
        as_of=as_of,
        from_source=from_source,
        now=project.now(),
    )
    return _readable(project, created)


def existing(project: Project) -> list[TrainingSet]:
    """See `ControlPlane.datasets`."""
    return [_readable(project, created) for created in listed.existing(project.warehouse)]


def dataset(project: Project, name: str, version: int | None = None) -> TrainingSet:
    """See `ControlPlane.dataset`."""
    return versions(project, name, version)[-1]


def versions(project: Project, name: str, version: int | None = None) -> list[TrainingSet]:
    """Return the versions of a training set, or only one of them; the oldest is first.

    Raises:
        PlaneError: there is none.
    """
    known = existing(project)
    chosen = [c for c in known if c.name == name and version in (None, c.version)]
    if chosen:
        return sorted(chosen, key=lambda created: created.version)
    if numbers := [str(created.version) for created in known if created.name == name]:
        text = f"training set {name!r} has no version {version}"
        raise PlaneError(text, hint=f"choose from: {', '.join(numbers)}")
    names = ", ".join(dict.fromkeys(created.name for created in known))
    raise PlaneError(
        f"there is no training set {name!r}",
        hint=f"choose from: {names or '(none is created)'}",
    )


def drop(project: Project, training_set: TrainingSet) -> None:
    """See `ControlPlane.drop_dataset`."""
    listed.drop(project.warehouse, training_set, by=executor.user_name(), now=project.clock())


def _readable(project: Project, created: listed.Created) -> TrainingSet:
    source = Source(project.warehouse, f"SELECT * FROM {created.table}", "dataset")
    return TrainingSet(**vars(created), _source=source)
