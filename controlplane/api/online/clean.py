"""Remove the online values of versions that are neither deployed nor served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from controlplane.api import ownership
from controlplane.api.online.versions import Version, versions
from controlplane.base.progress import Progress
from controlplane.deploy import executor as deploying
from controlplane.errors import PermanentError
from controlplane.online import claims
from controlplane.online.removal import remove_version
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Cleaned:
    """A version, and how many of its keys were removed; None in a dry run."""

    version: Version
    keys: int | None


def clean(
    project: Project,
    *,
    keep: int = 1,
    dry_run: bool = False,
    keys_per_second: float | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[Cleaned]:
    """See `Online.clean`."""
    store, manifest = project.online_store(), project.current()[1]
    namespace = manifest.namespace
    if text := ownership.values_conflict(project, store, manifest):
        raise PermanentError(f"{text}; nothing was removed", hint=claims.REMEDY)
    # The lock of deploys: a rollback must not serve a version while its values are removed.
    with project.state.lock(
        project.environment.name, holder=deploying.holder(), purpose="clean", now=project.clock
    ):
        kept: dict[str, int] = {}
        unneeded = []
        for version in versions(project):
            # Versions of a view are listed newest first, so the first `keep` are the newest.
            if not (version.current or version.served):
                kept[version.view] = kept.get(version.view, 0) + 1
                if kept[version.view] > keep:
                    unneeded.append(version)
        if dry_run:
            return [Cleaned(version, None) for version in unneeded]
        cleaned = []
        for done, version in enumerate(unneeded):
            on_progress(
                Progress(f"{version.view} {version.fingerprint}", "remove", done, len(unneeded))
            )
            keys = remove_version(
                store, namespace, version.view, version.fingerprint, keys_per_second
            )
            cleaned.append(Cleaned(version, keys))
        return cleaned
