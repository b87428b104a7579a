"""Run the steps of a plan, in order.

Every step may be repeated: the next deploy completes one that stopped anywhere.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Statement, Warehouse
from controlplane.control import identity, migrations, owners, repair
from controlplane.control.ledger import Versions
from controlplane.control.owners import Owner
from controlplane.deploy import release_files
from controlplane.errors import PlaneError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.online.served import serve_shown
from controlplane.plan import steps
from controlplane.plan.plan import Plan
from controlplane.plan.steps import Step
from controlplane.release.program import build
from controlplane.release.release import Release
from controlplane.sql.dialects import dialect
from controlplane.state import Deployment

if TYPE_CHECKING:
    from controlplane.state.store import StateStore

_SHOWN = 10


def user_name() -> str:
    """Return the name of the user of this process.

    It is `uid 12345` if the uid has no name, as in OpenShift's pods.
    """
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"


def holder() -> str:
    """Return the holder of a deploy's lock: `user@host:pid`."""
    return f"{_deployer()}:{os.getpid()}"


def _deployer() -> str:
    return f"{user_name()}@{socket.gethostname()}"


@dataclass(frozen=True)
class Target:
    """The stores that a deploy changes, and its clocks.

    Attributes:
        warehouse: holds the tables.
        online: opens the online store, or returns None if there is none; called only by the step
            that needs it.
        state: records the deployment.
        root: the folder from which Airflow reads releases.
        now: the environment's now.
        clock: the wall clock.
    """

    warehouse: Warehouse
    online: Callable[[], OnlineStore | None]
    state: StateStore
    root: Path
    now: datetime
    clock: Callable[[], datetime]


def deploy(
    plan: Plan,
    ordered: Sequence[Step],
    manifest: Manifest,
    release: Release,
    target: Target,
    *,
    on_step: Callable[[str], None] = lambda _: None,
) -> Deployment | None:
    """Run the plan's steps and return the deployment: the current one if the plan records none.

    Args:
        plan: the plan that the user approved.
        ordered: its steps, see `plan.sequence`.
        manifest: the manifest that it leads to.
        release: the rendered files.
        target: the stores to change.
        on_step: called with the title of each step before it begins.

    Raises:
        PlaneError: another deploy runs, or ended after the plan was made; or a folder can't be
            written; or the schema belongs to another environment.
    """
    with target.state.lock(
        manifest.environment, holder=holder(), purpose="deploy", now=target.clock
    ):
        current = target.state.current(manifest.environment)
        if (current.id if current else None) != plan.base:
            hint = "run `plane plan` again and look at what changed"
            raise PlaneError(
                "the plan is stale: somebody has deployed since it was made", hint=hint
            )
        if not plan.empty:
            release_files.check_folder(target.root, manifest)
        execution = _Execution(plan, manifest, release, target, on_step, current)
        for step in ordered:
            execution.run(step)
        return execution.deployment


@dataclass
class _Execution:
    plan: Plan
    manifest: Manifest
    release: Release
    target: Target
    on_step: Callable[[str], None]
    deployment: Deployment | None

    def run(self, step: Step) -> None:
        manifest, target = self.manifest, self.target
        if isinstance(step, steps.ShowVersion) and not self._shows(step):
            return
        self.on_step(steps.title(step))
        match step:
            case steps.UpgradeControlTables():
                migrations.upgrade(target.warehouse, now=target.clock())
            case steps.TakeSchema(adopt=adopt):
                self._take_schema(adopt=adopt)
            case steps.RepairTables(view, statements):
                with repair.of_another_kind():
                    self._execute(statements, view)
            case steps.CreateTables(view, statements):
                self._execute(statements, view)
            case steps.WriteRelease():
                release_files.ensure_release(target.root, manifest, self.release)
            case steps.RecordVersions(statements):
                self._execute(statements, atomic=True)
            case steps.ShowVersion(view, _, statements):
                with repair.of_another_kind():
                    self._execute(statements, view, atomic=True)
            case steps.HidePublicViews(view, statements):
                self._execute(statements, view, atomic=True)
            case steps.ServeVersions():
                if (store := target.online()) is not None:
                    serve_shown(store, target.warehouse, manifest)
            case steps.RecordDeployment():
                self.deployment = self._record()
            case steps.RecordOwner():
                if self.deployment is not None:
                    self._record_owner(self.deployment)
            case _ as never:
                assert_never(never)

    def _execute(
        self, statements: Sequence[Statement], view: str = "", *, atomic: bool = False
    ) -> None:
        owner = next((v.owner for v in self.manifest.views if v.name == view), "")
        tag = naming.query_tag(
            self.manifest.project, self.manifest.environment, view, owner, "deploy"
        )
        self.target.warehouse.execute(statements, tag=tag, atomic=atomic)

    @cached_property
    def _versions(self) -> Versions:
        """The recorded versions, read once for all views."""
        # The first step that needs them comes after `RecordVersions`.
        return Versions(self.target.warehouse)

    def _shows(self, step: steps.ShowVersion) -> bool:
        """Whether the step changes anything now."""
        program = build(self.manifest, self.manifest.view(step.view))
        if self._versions.shows(program):
            return step.refresh
        return self._versions.may_show(program, self.target.now, step.requires)

    def _take_schema(self, *, adopt: bool) -> None:
        """Become the owner of the schema, unless it has another owner.

        Raises:
            PermanentError: another environment or project owns it.
        """
        manifest, warehouse, now = self.manifest, self.target.warehouse, self.target.clock()
        d = dialect(manifest.dialect)
        names = (manifest.schema, manifest.project, manifest.environment)
        first = Owner(*names, 0, self.release.digest, _deployer(), now)
        if adopt:
            self._execute([*owners.prepare(d), owners.record(d, first)])
        elif owners.check(warehouse, *names) is None:
            self._execute([*owners.prepare(d), owners.claim(d, first)])
            # Another first deploy may have claimed it at the same moment.
            owners.check(warehouse, *names)
        identity.ensure(warehouse, made_by=_deployer(), now=now)

    def _record(self) -> Deployment:
        return self.target.state.record(
            environment=self.manifest.environment,
            release=self.release.digest,
            manifest=manifests.to_json(self.manifest),
            digest=self.release.digest,
            deployed_by=_deployer(),
            expected=self.plan.base,
            now=self.target.clock(),
        )

    def _record_owner(self, deployment: Deployment) -> None:
        """Record the deployment in the warehouse, unless it is recorded there.

        The first deploy after an update of controlplane creates new control tables here.
        """
        manifest, warehouse = self.manifest, self.target.warehouse
        by, at = deployment.deployed_by, deployment.deployed_at
        identity.ensure(warehouse, made_by=by, now=at)
        names = (manifest.schema, manifest.project, manifest.environment)
        owner = Owner(*names, deployment.id, deployment.release, by, at)
        if owners.check(warehouse, *names) != owner:
            d = dialect(manifest.dialect)
            self._execute([*owners.prepare(d), owners.record(d, owner)])


def earlier(state: StateStore, environment: str, number: int | None) -> Deployment:
    """Find an earlier deployment by its number (default: the one before the current).

    Raises:
        PlaneError: there is no such deployment, or it is the current deployment.
    """
    current = state.current(environment)
    before = state.history(environment, limit=_SHOWN, before=current.id) if current else []
    if current is None or not before:
        raise PlaneError(
            f"environment {environment!r} has no earlier deployment", hint="deploy twice first"
        )
    if number is None:
        return before[0]
    # A history lists the deployments before a number, newest first.
    matches = [d for d in state.history(environment, limit=1, before=number + 1) if d.id == number]
    if matches and number != current.id:
        return matches[0]
    problem = (
        "is the current deployment" if matches else f"does not exist in environment {environment!r}"
    )
    numbers = ", ".join(str(deployment.id) for deployment in before)
    raise PlaneError(
        f"deployment {number} {problem}", hint=f"choose an earlier deployment: {numbers}"
    )
