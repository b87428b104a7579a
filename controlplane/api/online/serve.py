"""Points readers of the online store to the deployed versions."""

from __future__ import annotations

from controlplane.api import ownership
from controlplane.control import ledger
from controlplane.manifest.specs import Manifest
from controlplane.online.records import SyncCursor, point
from controlplane.release.program import build
from controlplane.workspace.project import Project


def serve(project: Project, manifest: Manifest) -> None:
    """Give readers the versions of `manifest` that users' views show, all at once, as far as they were synced."""
    store, warehouse = project.store, project.warehouse
    if store is None:
        return
    if ownership.values_conflict(project, store, manifest):
        return  # its readers are another warehouse's; the plan warned of it
    programs = [build(manifest, view) for view in manifest.views if view.online]
    shown = ledger.doors(warehouse) if programs else {}
    flipped = {
        program.view: program.fingerprint
        for program in programs
        if shown.get(program.feature_view) == program.fingerprint
        and SyncCursor(store, program.namespace, program.view, program.fingerprint).read().reached > 0
    }
    point(store, manifest.namespace, flipped)
