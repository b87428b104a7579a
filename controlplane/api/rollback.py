"""Deploy an earlier deployment again."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from controlplane.api.deploy import deploy
from controlplane.api.plan import plan
from controlplane.deploy import executor
from controlplane.manifest import stored as manifests
from controlplane.plan.plan import Plan
from controlplane.state import Deployment
from controlplane.workspace.project import Project


def rollback(
    project: Project,
    number: int | None,
    on_step: Callable[[str], None],
    approve: Callable[[Plan], bool],
) -> tuple[Plan, Deployment | None]:
    """See `ControlPlane.rollback`."""
    earlier = executor.earlier(project.state, project.environment.name, number)
    # `now` is a setting of the environment, not of the definitions: it is not rolled back.
    manifest = msgspec.structs.replace(
        manifests.from_json(earlier.manifest), now=project.environment.now
    )
    return deploy(project, plan(project, manifest, roll_back=True), on_step, approve)
