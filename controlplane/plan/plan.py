"""A plan: what a deploy would change, what will then be computed, and a checksum of both ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from controlplane.control.drift import Damage, Drift
from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.plan.actions import Action, DropView, Repair
from controlplane.plan.diff import diff
from controlplane.plan.forecast import Covered, Forecast, forecast
from controlplane.release.release import Release, render_release


class Plan(msgspec.Struct, frozen=True):
    """What a deploy would do. `base` is the deployment that it starts from (None: the first),
    `release` the digest of the files that it would write; `warnings` are what the warehouse may not
    take. `conflict` says who else has deployed to the schema, `remedy` what to do: then a deploy is
    refused unless it adopts the schema."""

    project: str
    environment: str
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
        """Whether a deploy would only make again what is deployed already."""
        return not self.conflict and all(isinstance(action, Repair) for action in self.actions)

    @property
    def altered(self) -> list[str]:
        """The altered tables that a deploy would drop and make again."""
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
    """The plan that leads to `manifest`, and the rendered files.

    Args:
        manifest: what is declared.
        deployed: id, manifest JSON and release digest of the current deployment; None before the
            first.
        covered: what is computed already.
        now: the environment's now.
        release: the files, where they are rendered already.
        drifts: what went missing or was altered of versions that stay deployed.
        damaged_release: what is wrong with the files of the deployed release.
    """
    release = release or render_release(manifest)
    base, before, earlier = deployed or (None, None, "")
    actions = diff(
        manifests.from_json(before) if before else None, manifest, earlier, release.digest
    )
    actions += _repairs(drifts)
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
