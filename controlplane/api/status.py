"""Report how fresh every deployed view is."""

from __future__ import annotations

from controlplane.api import ownership
from controlplane.control import migrations
from controlplane.monitor import status as monitor
from controlplane.monitor.status import ViewStatus
from controlplane.workspace.project import Project


def status(project: Project) -> list[ViewStatus]:
    """See `ControlPlane.status`."""
    deployment, manifest = project.current()
    migrations.check(project.warehouse)
    conflict, _ = ownership.conflict(project, manifest, deployment, manifest)
    store, problem = project.store_or_problem()
    return monitor.status(
        manifest, project.warehouse, store, project.now(), online_problem=problem, conflict=conflict
    )
