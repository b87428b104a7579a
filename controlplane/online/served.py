"""The versions that an online store serves: set pointers, and find lost pointers and cursors."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.control import identity, ledger
from controlplane.manifest.specs import Manifest
from controlplane.online import claims
from controlplane.online.records import SyncCursor, point, read_claim, read_pointers


def serve_shown(store: OnlineStore, warehouse: Warehouse, manifest: Manifest) -> None:
    """Point readers to the versions that public views show, all at once, if they were synced."""
    # Values of another warehouse keep their readers; the plan warns about the conflict.
    if claims.conflict(
        read_claim(store, manifest.namespace), identity.read(warehouse), manifest.schema
    ):
        return
    shown = ledger.shown_versions(warehouse)
    versions = {
        view.name: view.fingerprint
        for view in manifest.views
        if view.online
        and shown.get(f"{manifest.schema}.{view.name}") == view.fingerprint
        and SyncCursor(store, manifest.namespace, view.name, view.fingerprint).read().reached > 0
    }
    point(store, manifest.namespace, versions)


def lost_pointers(
    store: OnlineStore, manifest: Manifest, shown: Mapping[str, str]
) -> dict[str, str]:
    """Return the views whose readers get another version than the public views show, and why.

    A version that was never synced can't be served, so it is left out.

    Args:
        store: the online store.
        manifest: the deployed manifest.
        shown: `schema.view` -> fingerprint, see `control.ledger.shown_versions`.
    """
    pointers = read_pointers(store, manifest.namespace).versions
    problems = {}
    for view in manifest.views:
        fingerprint = shown.get(f"{manifest.schema}.{view.name}")
        pointer = pointers.get(view.name, "")
        if not view.online or fingerprint is None or pointer == fingerprint:
            continue
        if SyncCursor(store, manifest.namespace, view.name, fingerprint).read().reached > 0:
            instead = f"version {pointer}" if pointer else "no version"
            problems[view.name] = (
                f"points readers of {view.name} to {instead} instead of {fingerprint}, which is"
                " synced and shown"
            )
    return problems


def lost_cursors(store: OnlineStore, manifest: Manifest) -> dict[str, str]:
    """Return the views whose readers are served a version without a sync cursor, and why.

    Without a cursor, the next sync writes all keys.
    """
    # The cursor is stored next to the values: if it is lost, the values may be lost too.
    pointers = read_pointers(store, manifest.namespace).versions
    problems = {}
    for view in manifest.views:
        pointer = pointers.get(view.name, "")
        if not view.online or pointer != view.fingerprint:
            continue
        if not SyncCursor(store, manifest.namespace, view.name, pointer).read().exists:
            problems[view.name] = (
                f"has no sync cursor of {view.name} {pointer}, which readers are served: its "
                "values may be lost too, and `plane run` writes them again"
            )
    return problems
