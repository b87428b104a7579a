"""Says what a deployed service takes and gives."""

from __future__ import annotations

from controlplane.serving import contracts
from controlplane.workspace.project import Project


def schema(project: Project, service: str) -> contracts.Contract:
    """See `ControlPlane.schema`."""
    return contracts.contract(project.current()[1], service)
