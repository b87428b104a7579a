"""Return the request and response schema of a deployed service."""

from __future__ import annotations

from controlplane.serving import contracts
from controlplane.workspace.project import Project


def schema(project: Project, service: str) -> contracts.Contract:
    """See `ControlPlane.schema`."""
    return contracts.contract(project.current()[1], service)
