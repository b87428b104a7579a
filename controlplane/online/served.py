"""Whether an online store serves what the warehouse shows: pointers and cursors that went
missing."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.base.ports import OnlineStore
from controlplane.manifest.specs import Manifest
from controlplane.online.records import SyncCursor, read_pointers


def lost_pointers(
    store: OnlineStore, manifest: Manifest, shown: Mapping[str, str]
) -> dict[str, str]:
    """Return the views whose readers are not given the version that public views show, and why.

    A version that was never synced can't be served, so it is not among them.

    Args:
        store: asked for the serving hash, and for the cursors of views that it lacks.
        manifest: the deployed one.
        shown: `schema.view` -> fingerprint, see `control.ledger.doors`.
    """
    pointers = read_pointers(store, manifest.namespace).versions
    found = {}
    for view in manifest.views:
        fingerprint = shown.get(f"{manifest.schema}.{view.name}")
        pointer = pointers.get(view.name, "")
        if not view.online or fingerprint is None or pointer == fingerprint:
            continue
        if SyncCursor(store, manifest.namespace, view.name, fingerprint).read().reached > 0:
            instead = f"version {pointer}" if pointer else "no version"
            found[view.name] = (
                f"points readers of {view.name} to {instead} instead of {fingerprint}, which is"
                " synced and shown"
            )
    return found


def lost_cursors(store: OnlineStore, manifest: Manifest) -> dict[str, str]:
    """Return the views whose readers are served a version that has no sync cursor any more.

    The cursor lies beside the values and is lost with them; the next sync writes all keys.
    """
    pointers = read_pointers(store, manifest.namespace).versions
    found = {}
    for view in manifest.views:
        pointer = pointers.get(view.name, "")
        if not view.online or pointer != view.fingerprint:
            continue
        if not SyncCursor(store, manifest.namespace, view.name, pointer).read().exists:
            found[view.name] = (
                f"has no sync cursor of {view.name} {pointer}, which readers are served: its "
                "values may be lost too, and `plane run` writes them again"
            )
    return found
