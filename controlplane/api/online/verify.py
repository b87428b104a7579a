"""Compare the online values with the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.base.ports import OnlineStore
from controlplane.base.progress import Progress
from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest
from controlplane.online.reconcile import Reconciled, reconcile
from controlplane.online.records import SyncCursor, read_pointers
from controlplane.release.program import Program, build
from controlplane.sql.views import render_view
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Verified:
    """The comparison of each version; `unhealed` is the number of keys that still differ."""

    versions: Sequence[Reconciled]
    unhealed: int


def verify(
    project: Project,
    views: Sequence[str] = (),
    *,
    heal: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Verified:
    """See `Online.verify`."""
    store = project.online_store()
    reconciled = []
    for manifest, program, served in _compared(project, store, views):
        view = manifest.view(program.view)
        name = f"{program.view} {program.fingerprint}"

        # `name` is bound as a default: a closure would see the name of the last version.
        def report(done: int, total: int, name: str = name) -> None:
            on_progress(Progress(name, "compare", done, total))

        reconciled.append(
            reconcile(
                program,
                project.warehouse,
                store,
                render_view(manifest, view).sync,
                served=served,
                clock=project.clock,
                heal=heal,
                on_rows=report,
            )
        )
    return Verified(reconciled, sum(version.unhealed for version in reconciled))


def _compared(
    project: Project, store: OnlineStore, views: Sequence[str]
) -> list[tuple[Manifest, Program, bool]]:
    """Return each version that is served, should be served, or was synced, and if it is served."""
    deployment, current = project.current()
    for view in views:
        if not current.view(view).online:
            hint = "declare online=True and deploy"
            raise PlaneError(f"feature view {view!r} is not kept online", hint=hint)
    pointers = read_pointers(store, current.namespace).versions
    versions = []
    for number, manifest, spec in project.versions():
        if not spec.online or (views and spec.name not in views):
            continue
        served = pointers.get(spec.name) == spec.fingerprint
        first = number == deployment.id and spec.name not in pointers
        cursor = SyncCursor(store, manifest.namespace, spec.name, spec.fingerprint)
        # Versions that are no longer served count too: a rollback may serve them again.
        if served or first or cursor.read().reached > 0:
            versions.append((manifest, build(manifest, spec), served))
    return versions
