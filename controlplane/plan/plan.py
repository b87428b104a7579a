"""A plan: what a deploy would change, what will then be computed, and a checksum of both ends."""

from __future__ import annotations

from datetime import datetime

import msgspec

from controlplane.plan.actions import Action, DropView
from controlplane.plan.diff import diff
from controlplane.plan.forecast import Covered, Forecast, forecast
from controlplane.registry import manifest as manifests
from controlplane.registry.manifest import Manifest
from controlplane.render.release import Release, render_release


class Plan(msgspec.Struct, frozen=True):
    """What a deploy would do. `base` is the deployment that it starts from (None: the first), `release` the digest of
    the files that it would write; `warnings` are what the warehouse may not take."""

    project: str
    environment: str
    base: int | None
    release: str
    actions: tuple[Action, ...]
    forecasts: tuple[Forecast, ...]
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether a deploy would change nothing."""
        return not self.actions

    @property
    def dropped(self) -> list[str]:
        """The feature views that a deploy would drop."""
        return [action.view for action in self.actions if isinstance(action, DropView)]


def make_plan(
    manifest: Manifest, deployed: tuple[int, str, str] | None, covered: Covered, now: datetime
) -> tuple[Plan, Release]:
    """The plan that leads to `manifest`, and the rendered files.

    Args:
        manifest: what is declared.
        deployed: id, manifest JSON and release digest of the current deployment; None before the first.
        covered: what is computed already.
        now: the environment's now.
    """
    release = render_release(manifest)
    base, before, earlier = deployed or (None, None, "")
    actions = diff(manifests.from_json(before) if before else None, manifest, earlier, release.digest)
    plan = Plan(
        project=manifest.project,
        environment=manifest.environment,
        base=base,
        release=release.digest,
        actions=tuple(actions),
        forecasts=forecast(manifest, covered, now),
    )
    return plan, release
