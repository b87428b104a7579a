"""Lists the versions of views that the online store holds values of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.online.records import SyncCursor, read_pointers
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Version:
    """One version of a view of which the store holds values.

    Args:
        view: the feature view.
        fingerprint: its version.
        deployment: the number of the last deployment that has it.
        current: whether that is the current deployment.
        served: whether readers are given this version.
        synced_at: when a sync last brought it in step.
    """

    view: str
    fingerprint: str
    deployment: int
    current: bool
    served: bool
    synced_at: datetime | None


def versions(project: Project) -> list[Version]:
    """See `Online.versions`."""
    store, (deployment, current) = project.online_store(), project.current()
    pointers = read_pointers(store, current.namespace).versions
    found = []
    for number, manifest, view in project.versions():
        cursor = SyncCursor(store, manifest.namespace, view.name, view.fingerprint).read()
        if cursor.version is not None:
            found.append(
                Version(
                    view.name,
                    view.fingerprint,
                    deployment=number,
                    current=number == deployment.id,
                    served=pointers.get(view.name) == view.fingerprint,
                    synced_at=cursor.synced_at,
                )
            )
    return sorted(found, key=lambda one: (one.view, -one.deployment))
