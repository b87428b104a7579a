"""Apply a plan."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.api.plan import Planned
from controlplane.deploy import executor
from controlplane.errors import PlaneError
from controlplane.plan.plan import Plan
from controlplane.state import Deployment
from controlplane.workspace.project import Project


def deploy(
    project: Project,
    planned: Planned,
    on_step: Callable[[str], None],
    approve: Callable[[Plan], bool],
) -> tuple[Plan, Deployment | None]:
    """Run the plan's steps, and return the plan and the new deployment.

    A plan that is empty or only repairs records no deployment; the deployment is then None.

    Args:
        project: the environment.
        planned: what `plan` returned.
        on_step: called with the name of each step before the step begins.
        approve: called with the plan; a plan that it does not approve is not deployed.

    Raises:
        PlaneError: the plan was not approved, or a step failed.
    """
    plan = planned.plan
    if planned.refused:
        raise PlaneError(f"{plan.conflict}; nothing was deployed", hint=plan.remedy)
    if not approve(plan):
        dropped = [*plan.dropped, *plan.altered]
        detail = f": it drops {', '.join(dropped)}" if dropped else ""
        hint = "deploy with --yes, or restore the definitions of what is dropped"
        raise PlaneError(f"the plan was not approved{detail}; nothing was deployed", hint=hint)
    target = executor.Target(
        warehouse=project.warehouse,
        # Opened by the step that needs it: opening may start the embedded server.
        online=lambda: project.store,
        state=project.state,
        root=project.environment.releases,
        now=project.now(),  # may be fixed by plane.toml
        clock=project.clock,  # the wall clock, for locks and records
    )
    deployment = executor.deploy(
        plan, planned.steps, planned.manifest, planned.release, target, on_step=on_step
    )
    project.close_releases()
    return plan, None if plan.repairs_alone else deployment
