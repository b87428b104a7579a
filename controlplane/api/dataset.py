"""Create training sets."""

from __future__ import annotations

from typing import Any

from controlplane.deploy import executor
from controlplane.training import datasets
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


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
) -> datasets.Created:
    """See `ControlPlane.create_dataset`."""
    return datasets.create(
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
