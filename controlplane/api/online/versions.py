"""List the versions of views that have values in the online store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controlplane.online.records import SyncCursor, read_pointers
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Version:
    """A version of a view that has values in the online store.

    Args:
        view: name of the feature view.
        fingerprint: fingerprint of the version.
        deployment: number of the last deployment that has the version.
        current: whether that is the current deployment.
        served: whether readers get this version.
        synced_at: start of the last sync of this version; None if it was never synced.
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
    listed = []
    for number, manifest, view in project.versions():
        cursor = SyncCursor(store, manifest.namespace, view.name, view.fingerprint).read()
        if cursor.version is not None:
            listed.append(
                Version(
                    view.name,
                    view.fingerprint,
                    deployment=number,
                    current=number == deployment.id,
                    served=pointers.get(view.name) == view.fingerprint,
                    synced_at=cursor.synced_at,
                )
            )
    return sorted(listed, key=lambda version: (version.view, -version.deployment))
