"""The steps of a plan's deploy, in order.

New tables come before the release that fills them, and the release before the public views. The
record in the state database comes after all steps that matter: a deploy that stopped before it is
repeated from the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from controlplane.base import naming
from controlplane.base.ports import Statement
from controlplane.control import repair
from controlplane.control.drift import MISSING, Drift
from controlplane.control.ledger import Requirement
from controlplane.manifest.specs import Manifest
from controlplane.plan import steps
from controlplane.plan.actions import UpdateView
from controlplane.plan.plan import Plan
from controlplane.plan.steps import Step
from controlplane.release.release import Release
from controlplane.sql.control_tables import DEPLOYED, PUBLIC_VIEWS, create_schema
from controlplane.sql.dialects import dialect
from controlplane.sql.statements import read
from controlplane.sql.tables import qualified


def sequence(
    plan: Plan,
    manifest: Manifest,
    release: Release,
    *,
    before: Manifest | None,
    drifts: Sequence[Drift],
    adopt: bool = False,
    roll_back: bool = False,
) -> tuple[Step, ...]:
    """List the steps that apply a plan.

    A plan without changes has steps too: they repair damage that a plan doesn't look for, such as
    changed bytes of the release's files.

    Args:
        plan: the plan.
        manifest: the manifest that it leads to.
        release: the rendered files.
        before: the deployed manifest; None before the first deployment.
        drifts: missing and altered objects in the warehouse, see `control.drift.find`.
        adopt: take the schema over from another environment.
        roll_back: show and serve each version as soon as its first interval is computed.
    """
    # First, since later steps read and write the control tables in their newest form.
    ordered: list[Step] = [steps.UpgradeControlTables()]
    if not plan.empty:
        ordered.append(steps.TakeSchema(manifest.schema, adopt))
        ordered += _repairs(manifest, drifts)
        # Tables of unchanged views may be missing too; CREATE ... IF NOT EXISTS is cheap.
        for view in manifest.views:
            setup = read(release.files[f"sql/{view.name}.setup.sql"])
            ordered.append(steps.CreateTables(view.name, tuple(setup)))
    ordered.append(steps.WriteRelease(release.digest))
    if not plan.empty:
        ordered.append(steps.RecordVersions(tuple(_versions(plan, manifest))))
        ordered += _shown(plan, manifest, release, before, drifts, roll_back)
        ordered += [
            steps.HidePublicViews(name, tuple(_hidden(manifest, name))) for name in plan.dropped
        ]
    # Before the record: a rollback without a number goes back from the recorded deployment, so one
    # that was stopped here and is repeated must find the same deployment recorded.
    if roll_back or plan.repairs_online:
        ordered.append(steps.ServeVersions())
    if not plan.repairs_alone:
        ordered.append(steps.RecordDeployment())
    ordered.append(steps.RecordOwner(manifest.schema))
    return tuple(ordered)


def _repairs(manifest: Manifest, drifts: Sequence[Drift]) -> Iterator[Step]:
    missing = {
        damage.name for drift in drifts for damage in drift.damages if damage.problem == MISSING
    }
    for drift in drifts:
        if drift.view and (statements := repair.prepare(manifest, drift, missing)):
            yield steps.RepairTables(drift.view, tuple(statements))


def _shown(
    plan: Plan,
    manifest: Manifest,
    release: Release,
    before: Manifest | None,
    drifts: Sequence[Drift],
    roll_back: bool,
) -> Iterator[Step]:
    """Yield a step for each view that shows its version."""
    # Also for an unchanged view: its version may have become ready since its last run.
    reopened = {drift.view for drift in drifts if drift.reopened}
    # The statements of public views hold comments and grants, which change without a new version.
    changed = {action.view for action in plan.actions if isinstance(action, UpdateView)}
    if before is not None and before.reader_role != manifest.reader_role:
        changed = {view.name for view in manifest.views}
    for view in manifest.views:
        requires: Requirement = "first_interval" if roll_back else "all_due"
        if view.name in reopened:
            requires = "nothing"
        yield steps.ShowVersion(
            view.name,
            view.fingerprint,
            tuple(read(release.files[f"sql/{view.name}.doors.sql"])),
            requires,
            refresh=view.name in reopened or view.name in changed,
        )


def _hidden(manifest: Manifest, view: str) -> list[Statement]:
    d = dialect(manifest.dialect)
    names = [
        qualified(d, manifest.schema, naming.public_view(view, part))
        for part in ("", *naming.PARTS)
    ]
    # Their tables stay, so that a rollback can show them again.
    dropped = [Statement(f"drop {name}", f"DROP VIEW IF EXISTS {name}") for name in names]
    feature_view = d.text(f"{manifest.schema}.{view}")
    forget = f"DELETE FROM {PUBLIC_VIEWS.quoted(d)} WHERE feature_view = {feature_view}"
    return [*dropped, Statement("remove the view's record", forget)]


def _versions(plan: Plan, manifest: Manifest) -> list[Statement]:
    d = dialect(manifest.dialect)
    table = DEPLOYED.quoted(d)
    # Dropped views too: a run of an earlier release that is under way must not show them again.
    names = [view.name for view in manifest.views] + plan.dropped
    ours = ", ".join(d.text(f"{manifest.schema}.{name}") for name in names)
    rows = ", ".join(
        f"({d.text(f'{manifest.schema}.{v.name}')}, {d.text(v.fingerprint)})"
        for v in manifest.views
    )
    statements = [create_schema(d), DEPLOYED.create(d)]
    gone, noted = f"DELETE FROM {table} WHERE feature_view IN ({ours})", f"INSERT INTO {table}"
    if rows and not d.transactional:
        # One statement: between a DELETE and an INSERT, a run would find no deployed version.
        replaced = f"{noted} REPLACE WHERE feature_view IN ({ours}) VALUES {rows}"
        return [*statements, Statement("record the versions", replaced)]
    if names:
        statements.append(Statement("remove the records of earlier versions", gone))
    if rows:
        statements.append(Statement("record the versions", f"{noted} VALUES {rows}"))
    return statements
