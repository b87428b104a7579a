"""A plan: the changes of a deploy, the computations after it, and a checksum of both ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from controlplane.control.drift import Damage, Drift
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.plan.actions import ONLINE_STORE, Action, DropView, Repair
from controlplane.plan.diff import diff
from controlplane.plan.forecast import Covered, Forecast, forecast
from controlplane.release.release import Release, render_release


class Plan(msgspec.Struct, frozen=True):
    """The plan of a deploy.

    Attributes:
        project: the project's name.
        environment: the environment's name.
        base: the number of the deployment that the plan starts from; None before the first.
        release: the digest of the files that a deploy would write.
        actions: the changes.
        forecasts: the computations of each view after the deploy.
        warnings: statements that the warehouse may refuse.
        conflict: the other owner of the schema; empty if there is none. A deploy is refused then,
            unless it adopts the schema.
        remedy: what to do about the conflict.
    """

    project: str
    environment: str
    # Compared under the deploy's lock: a plan is stale if somebody has deployed since it was made.
    base: int | None
    release: str
    actions: tuple[Action, ...]
    forecasts: tuple[Forecast, ...]
    warnings: tuple[str, ...] = ()
    conflict: str = ""
    remedy: str = ""

    @property
    def empty(self) -> bool:
        """Whether a deploy would change nothing."""
        return not self.actions and not self.conflict

    @property
    def repairs_alone(self) -> bool:
        """Whether a deploy would only repair objects that are deployed already."""
        return not self.conflict and all(isinstance(action, Repair) for action in self.actions)

    @property
    def repairs_online(self) -> bool:
        """Whether a deploy would repair the pointers of online readers."""
        repairs = (action for action in self.actions if isinstance(action, Repair))
        return any(damage.name == ONLINE_STORE for repair in repairs for damage in repair.damages)

    @property
    def altered(self) -> list[str]:
        """The altered tables that a deploy would drop and create again."""
        repairs = (action for action in self.actions if isinstance(action, Repair))
        return [table for repair in repairs for table in repair.dropped]

    @property
    def dropped(self) -> list[str]:
        """The feature views that a deploy would drop."""
        return [action.view for action in self.actions if isinstance(action, DropView)]


def make_plan(
    manifest: Manifest,
    deployed: tuple[int, str, str] | None,
    covered: Covered,
    now: datetime,
    *,
    release: Release | None = None,
    drifts: Sequence[Drift] = (),
    damaged_release: str = "",
) -> tuple[Plan, Release]:
    """Make the plan that leads to a manifest, and render its files.

    Args:
        manifest: the declared manifest.
        deployed: id, manifest JSON and release digest of the current deployment; None before the
            first.
        covered: returns the computed ranges of a version.
        now: the environment's now.
        release: the files, if they are rendered already.
        drifts: missing and altered objects of versions that stay deployed.
        damaged_release: the damage of the deployed release's files; empty if there is none.
    """
    release = release or render_release(manifest)
    base, before, earlier = deployed or (None, None, "")
    actions = diff(
        manifests.from_json(before) if before else None, manifest, earlier, release.digest
    )
    actions += _repairs(drifts)
    # A deploy of another release writes all its files, whatever became of the deployed ones.
    if damaged_release and release.digest == earlier:
        actions.append(Repair("", "", (Damage("release", damaged_release),)))
    plan = Plan(
        project=manifest.project,
        environment=manifest.environment,
        base=base,
        release=release.digest,
        actions=tuple(actions),
        forecasts=forecast(manifest, covered, now),
    )
    return plan, release


def _repairs(drifts: Iterable[Drift]) -> list[Action]:
    return [
        Repair(drift.view, drift.fingerprint, drift.damages, drift.dropped, drift.recomputed)
        for drift in drifts
    ]
