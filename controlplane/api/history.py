"""List the deployments of an environment: who deployed what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.state import Deployment
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class HistoryEntry:
    """A deployment, with the views and services that it changed since the one before.

    Attributes:
        number: of the deployment, for `plane rollback`.
        deployed_at: when it was recorded.
        deployed_by: the user.
        release: the digest of its files.
        created: new views and services.
        redefined: views whose values changed.
        dropped: views and services that it no longer has.
    """

    number: int
    deployed_at: datetime
    deployed_by: str
    release: str
    created: Sequence[str]
    redefined: Sequence[str]
    dropped: Sequence[str]


def history(project: Project, limit: int = 20) -> list[HistoryEntry]:
    """See `ControlPlane.history`."""
    # One more, to compare the oldest with the one before it.
    deployments = project.deployments(limit + 1)
    pairs = list(zip_longest(deployments, deployments[1:]))[:limit]
    return [_entry(deployment, before) for deployment, before in pairs if deployment]


def _entry(deployment: Deployment, before: Deployment | None) -> HistoryEntry:
    versions = _versions(manifests.from_json(deployment.manifest))
    earlier = _versions(manifests.from_json(before.manifest)) if before else {}
    return HistoryEntry(
        deployment.id,
        deployment.deployed_at,
        deployment.deployed_by,
        deployment.release,
        created=[name for name in versions if name not in earlier],
        redefined=[n for n in versions if n in earlier and versions[n] != earlier[n]],
        dropped=[name for name in earlier if name not in versions],
    )


def _versions(manifest: Manifest) -> dict[str, str]:
    """Map views to their fingerprints; services have none."""
    views = {view.name: view.fingerprint for view in manifest.views}
    return {service.name: "" for service in manifest.services} | views
