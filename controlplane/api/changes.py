"""Plans and deploys one environment: what is declared, deployed, and really there, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from controlplane.api.online import Online
from controlplane.base.naming import CONTROL_SCHEMA
from controlplane.control import drift, identity, ledger, migrations, owners
from controlplane.control.drift import Damage, Drift
from controlplane.deploy import executor as deploying
from controlplane.deploy import preview
from controlplane.errors import PermanentError, PlaneError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.online import claims, served
from controlplane.online.records import read_claim
from controlplane.plan.actions import Repair
from controlplane.plan.forecast import covered_by
from controlplane.plan.plan import Plan, make_plan
from controlplane.release.release import Release, render_release
from controlplane.state import Deployment
from controlplane.workspace.project import Project

POINTERS = "Redis"
"""The name of damages that stand in the online store."""
_LOST = "run `plane deploy`, which makes it again; the next `plane run` computes what it held"


@dataclass(frozen=True)
class Planned:
    """A plan, what it leads to, and what its deploy makes again."""

    plan: Plan
    manifest: Manifest
    release: Release
    drifts: Sequence[Drift] = field(default=())


class Changes:
    """Plans and deploys of one environment."""

    def __init__(self, project: Project, online: Online) -> None:
        self._project, self._online = project, online

    def plan(self, manifest: Manifest) -> Planned:
        """Return what a deploy of `manifest` would change, and what would then be computed."""
        project = self._project
        current = project.deployed()
        before = manifests.from_json(current.manifest) if current else None
        warehouse = project.warehouse
        schema_version = migrations.check(warehouse)
        conflict, remedy = self._conflict(manifest, current, before)
        entries = ledger.entries(warehouse)
        release = render_release(manifest)
        drifts: Sequence[Drift] = ()
        if before and not conflict:
            drifts = self._drifts(manifest, before, entries, release)
        if text := migrations.pending(schema_version):
            drifts = [Drift("", "", (Damage(CONTROL_SCHEMA, text),)), *drifts]
        kept = drift.without_lost(entries, drifts, manifest.schema)
        covered = {key: ledger.covered(publications) for key, publications in kept.items()}
        plan, _ = make_plan(
            manifest,
            (current.id, current.manifest, current.release) if current else None,
            covered_by(covered, manifest.schema),
            project.now(),
            release=release,
            drifts=drifts,
            damaged_release=self._damaged_release(current, release),
        )
        plan = preview.explain(plan, manifest, release, warehouse, project.now())
        plan = preview.from_runs(plan, manifest, entries)
        warnings, repairs = self._online_drift(before) if before else ([], [])
        plan = msgspec.structs.replace(
            plan,
            actions=(*plan.actions, *repairs),
            warnings=(*plan.warnings, *warnings),
            conflict=conflict,
            remedy=remedy,
        )
        return Planned(plan, manifest, release, drifts)

    def deploy(
        self,
        planned: Planned,
        on_step: Callable[[str], None],
        approve: Callable[[Plan], bool],
        *,
        at_once: Callable[[], None] | None = None,
        adopt: bool = False,
    ) -> tuple[Plan, Deployment | None]:
        """Make the plan true, and return it and the new deployment.

        An empty plan deploys nothing, and one of repairs alone records no deployment: then it is
        None.

        Args:
            planned: what `plan` returned.
            on_step: told each step before it begins.
            approve: shown the plan; what it does not approve is not deployed.
            at_once: see `deploy.executor.deploy`.
            adopt: take the schema over from another environment or state database.

        Raises:
            PlaneError: the plan was not approved, or can't be made true.
        """
        plan, manifest, release = planned.plan, planned.manifest, planned.release
        project = self._project
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
            deploying.check_release(project.environment.releases, manifest, release)
            project.close_releases()
            if current is not None:
                deploying.settle(project.warehouse, manifest, current)
            if at_once:
                at_once()
            return plan, None
        deployment = deploying.deploy(
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
        if any(
            d.name == POINTERS for a in plan.actions if isinstance(a, Repair) for d in a.damages
        ):
            on_step("online values")
            self._online.serve(manifest)
        return plan, None if plan.repairs_alone else deployment

    def conflict(
        self, manifest: Manifest, current: Deployment | None, before: Manifest | None
    ) -> tuple[str, str]:
        """Say who else deployed to the schema of `manifest`, and the remedy; both empty if nobody.

        Args:
            manifest: what is to be deployed, or is.
            current: the current deployment as this project's state has it.
            before: its manifest.

        Raises:
            PermanentError: the control tables can't be read, see `control.migrations.check`.
        """
        migrations.check(self._project.warehouse)
        return self._conflict(manifest, current, before)

    def _conflict(
        self, manifest: Manifest, current: Deployment | None, before: Manifest | None
    ) -> tuple[str, str]:
        warehouse = self._project.warehouse
        owner = owners.read(warehouse, manifest.schema)
        names = (manifest.schema, manifest.project, manifest.environment)
        if text := owners.conflict(owner, *names):
            return text, owners.OTHER_SCHEMA
        versions: Mapping[str, str] = {}
        if owner is None:
            prefix = f"{manifest.schema}."
            versions = {
                name.removeprefix(prefix): fingerprint
                for name, fingerprint in ledger.deployed_versions(warehouse) or ()
                if name.startswith(prefix)
            }
        known = {view.name: view.fingerprint for view in before.views} if before else {}
        text = owners.unknown_deployment(
            owner, self._recorded(owner, current), versions.items(), known.items()
        )
        return text, owners.OTHER_STATE if text else ""

    def _recorded(self, owner: owners.Owner | None, current: Deployment | None) -> bool:
        """Whether the state has the deployment that the warehouse names."""
        if owner is None or current is None:
            return False
        if owner.deployment >= current.id:
            found = [current]
        else:
            # A deploy was stopped before it told the warehouse, or another state is older.
            name = self._project.environment.name
            found = self._project.state.history(name, limit=1, before=owner.deployment + 1)
        return (owner.deployment, owner.deployed_at) in [(d.id, d.deployed_at) for d in found]

    def lost(
        self, manifest: Manifest, views: Sequence[ViewSpec], entries: drift.Entries
    ) -> tuple[set[str], list[PlaneError]]:
        """Look for what went missing of deployed views before a run: without it, all seems
        computed.

        Args:
            manifest: the deployed one.
            views: those to be computed.
            entries: of the ledger.

        Returns:
            The views that can't be computed before a deploy, and an error for each object.
        """
        project = self._project
        found = drift.find(project.warehouse, manifest, views, entries, project.now())
        blocked: set[str] = set()
        problems: list[PlaneError] = []
        for one in found:
            if not one.view and any(damage.problem == drift.MISSING for damage in one.damages):
                blocked.update(view.name for view in views)
            elif one.recomputed or one.dropped:
                blocked.add(one.view)
            elif one.computed_through is not None:
                continue  # the run itself writes what the ledger has lost
            where = manifest.view(one.view).location if one.view else None
            what = f"feature view {one.view!r}: " if one.view else ""
            damages = [damage for damage in one.damages if not damage.outdated]
            problems += [PermanentError(f"{what}{d}", where=where, hint=_LOST) for d in damages]
        return blocked, problems

    def _drifts(
        self, manifest: Manifest, before: Manifest, entries: drift.Entries, release: Release
    ) -> list[Drift]:
        """What is missing or altered of the versions that stay deployed."""
        if before.schema != manifest.schema or before.dialect != manifest.dialect:
            return []
        stay = {(view.name, view.fingerprint) for view in manifest.views}
        views = [view for view in before.views if (view.name, view.fingerprint) in stay]
        setups = {view.name: release.files[f"sql/{view.name}.setup.sql"] for view in views}
        project = self._project
        return drift.find(project.warehouse, before, views, entries, project.now(), setups)

    def _damaged_release(self, current: Deployment | None, release: Release) -> str:
        if current is None or current.release != release.digest:
            return ""
        return deploying.missing_files(self._project.environment.releases, release)

    def _online_drift(self, before: Manifest) -> tuple[list[str], list[Repair]]:
        """What the online store says: whose values it holds, and pointers that went missing.

        The embedded store is not asked: a plan starts no server, and no other warehouse writes to
        the one in the project's folder. A store that does not answer is told by `plane status`.
        """
        project = self._project
        if project.environment.online is None or project.environment.embedded_online:
            return [], []
        warehouse = project.warehouse
        with suppress(PlaneError):
            store = self._online.store()
            found = read_claim(store, before.namespace)
            if text := claims.conflict(found, identity.read(warehouse), before.schema):
                return [f"{text}: {claims.REMEDY}"], []
            shown = ledger.doors(warehouse)
            lost = served.lost_pointers(store, before, shown)
            damages = {view: (Damage(POINTERS, problem),) for view, problem in lost.items()}
            return [], [Repair(view, "", damage) for view, damage in damages.items()]
        return [], []
