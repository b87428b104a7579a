"""Plans a deploy: what is declared, deployed, and really there, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import msgspec

from controlplane.api import ownership
from controlplane.base.naming import CONTROL_SCHEMA
from controlplane.control import drift, ledger, migrations
from controlplane.control.drift import Damage, Drift
from controlplane.deploy import preview, release_files
from controlplane.errors import PlaneError
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.online import claims, served
from controlplane.plan.actions import ONLINE_STORE, Repair
from controlplane.plan.forecast import covered_by
from controlplane.plan.plan import Plan, make_plan
from controlplane.plan.sequence import sequence
from controlplane.plan.steps import Step
from controlplane.release.release import Release, render_release
from controlplane.state import Deployment
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Planned:
    """A plan, the manifest and the release that it leads to, and the steps of its deploy.

    Attributes:
        plan: the changes.
        manifest: the manifest to deploy.
        release: its rendered files.
        before: the deployed manifest; None before the first deployment.
        drifts: the missing and altered objects in the warehouse.
        adopt: take over the schema from another environment or state database.
        roll_back: read and serve a version as soon as one of its intervals is computed.
    """

    plan: Plan
    manifest: Manifest
    release: Release
    before: Manifest | None
    drifts: Sequence[Drift]
    adopt: bool = False
    roll_back: bool = False

    @property
    def refused(self) -> bool:
        """Whether the schema has another owner and the plan does not adopt it."""
        return bool(self.plan.conflict) and not self.adopt

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the deploy, in order; see `plan.sequence`."""
        # Made when they are asked for: of 1,000 views they hold 20,000 statements, and most plans
        # are only looked at.
        return sequence(
            self.plan,
            self.manifest,
            self.release,
            before=self.before,
            drifts=self.drifts,
            adopt=self.adopt,
            roll_back=self.roll_back,
        )


def plan(
    project: Project, manifest: Manifest, *, adopt: bool = False, roll_back: bool = False
) -> Planned:
    """Return what a deploy of `manifest` would change and do, and what would be computed.

    Args:
        project: the environment.
        manifest: the manifest to deploy.
        adopt: take over the schema from another environment or state database.
        roll_back: read and serve a version as soon as one of its intervals is computed.
    """
    current = project.deployed()
    before = manifests.from_json(current.manifest) if current else None
    warehouse = project.warehouse
    schema_version = migrations.check(warehouse)
    conflict, remedy = ownership.conflict(project, manifest, current, before)
    entries = ledger.entries(warehouse)
    release = render_release(manifest)
    drifts: Sequence[Drift] = ()
    # In a schema of another owner, other definitions are no damage, and not ours to repair.
    if before and not conflict:
        drifts = _drifts(project, manifest, before, entries)
    if text := migrations.pending(schema_version):
        drifts = [Drift("", "", (Damage(CONTROL_SCHEMA, text),)), *drifts]
    # Intervals of lost tables count as missing, so that the forecast includes them.
    kept = drift.without_lost(entries, drifts, manifest.schema)
    covered = {key: ledger.covered(publications) for key, publications in kept.items()}
    drafted, _ = make_plan(
        manifest,
        (current.id, current.manifest, current.release) if current else None,
        covered_by(covered, manifest.schema),
        project.now(),
        release=release,
        drifts=drifts,
        damaged_release=_damaged_release(project, current, release),
    )
    explained = preview.explain(drafted, manifest, release, warehouse, project.now())
    explained = preview.from_runs(explained, manifest, entries)
    warnings, repairs = _online_drift(project, before) if before else ([], [])
    complete = msgspec.structs.replace(
        explained,
        actions=(*explained.actions, *repairs),
        warnings=(*explained.warnings, *warnings),
        conflict=conflict,
        remedy=remedy,
    )
    return Planned(complete, manifest, release, before, drifts, adopt, roll_back)


def _drifts(
    project: Project, manifest: Manifest, before: Manifest, entries: drift.Entries
) -> list[Drift]:
    """Return the objects that are missing or altered, of the versions that stay deployed."""
    # In another schema or on another kind of warehouse, everything is created anyway.
    if before.schema != manifest.schema or before.dialect != manifest.dialect:
        return []
    stay = {(view.name, view.fingerprint) for view in manifest.views}
    views = [view for view in before.views if (view.name, view.fingerprint) in stay]
    return drift.find(project.warehouse, before, views, entries, project.now())


def _damaged_release(project: Project, current: Deployment | None, release: Release) -> str:
    if current is None or current.release != release.digest:
        return ""
    return release_files.missing_files(project.environment.releases, release)


def _online_drift(project: Project, before: Manifest) -> tuple[list[str], list[Repair]]:
    """Return warnings about values of another warehouse, and repairs of lost pointers.

    The embedded store is not read: a plan starts no server, and no other warehouse writes to the
    store in the project's folder. `plane status` reports a store that does not answer.
    """
    if project.environment.online is None or project.environment.embedded_online:
        return [], []
    with suppress(PlaneError):
        store = project.online_store()
        if text := ownership.values_conflict(project, store, before):
            return [f"{text}: {claims.REMEDY}"], []
        shown = ledger.shown_versions(project.warehouse)
        lost = served.lost_pointers(store, before, shown)
        damages = {view: (Damage(ONLINE_STORE, problem),) for view, problem in lost.items()}
        return [], [Repair(view, "", damage) for view, damage in damages.items()]
    return [], []
