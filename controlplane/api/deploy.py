"""Applies a plan."""

from __future__ import annotations

from collections.abc import Callable

from controlplane.api.online.serve import serve
from controlplane.api.plan import POINTERS, Planned
from controlplane.control import migrations
from controlplane.deploy import executor
from controlplane.errors import PlaneError
from controlplane.plan.actions import Repair
from controlplane.plan.plan import Plan
from controlplane.state import Deployment
from controlplane.workspace.project import Project


def deploy(
    project: Project,
    planned: Planned,
    on_step: Callable[[str], None],
    approve: Callable[[Plan], bool],
    *,
    at_once: Callable[[], None] | None = None,
    adopt: bool = False,
) -> tuple[Plan, Deployment | None]:
    """Apply a plan; see `ControlPlane.deploy`, and `deploy.executor.deploy` for `at_once`.

    An empty plan deploys nothing, and one of repairs alone records no deployment: then it is None.

    Raises:
        PlaneError: the plan was not approved, or can't be applied.
    """
    plan, manifest, release = planned.plan, planned.manifest, planned.release
    if plan.conflict and not adopt:
        raise PlaneError(f"{plan.conflict}; nothing was deployed", hint=plan.remedy)
    if not approve(plan):
        dropped = [*plan.dropped, *plan.altered]
        what = f": it drops {', '.join(dropped)}" if dropped else ""
        hint = "deploy with --yes, or restore what is dropped"
        raise PlaneError(f"the plan was not approved{what}; nothing was deployed", hint=hint)
    current = project.deployed()
    if plan.empty:
        migrations.upgrade(project.warehouse, now=project.clock())
        executor.check_release(project.environment.releases, manifest, release)
        project.close_releases()
        if current is not None:
            executor.settle(project.warehouse, manifest, current)
        if at_once:
            at_once()
        return plan, None
    deployment = executor.deploy(
        plan,
        manifest,
        release,
        warehouse=project.warehouse,
        state=project.state,
        root=project.environment.releases,
        now=project.now(),
        clock=project.clock,
        on_step=on_step,
        at_once=at_once,
        drifts=planned.drifts,
        adopt=adopt,
    )
    project.close_releases()
    if any(d.name == POINTERS for a in plan.actions if isinstance(a, Repair) for d in a.damages):
        on_step("online values")
        serve(project, manifest)
    return plan, None if plan.repairs_alone else deployment
