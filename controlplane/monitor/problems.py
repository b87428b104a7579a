"""Finds what is missing or altered in the warehouse and in the online store, by view."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.control import drift, identity
from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest
from controlplane.online import claims, served
from controlplane.online.records import read_claim


class ViewProblems:
    """Collects the problems of the warehouse and the online store, of all views and of each."""

    def __init__(self, manifest: Manifest, warehouse: Warehouse) -> None:
        self._manifest, self._warehouse = manifest, warehouse
        self._shared: list[str] = []
        self._by_view: dict[str, list[str]] = {}

    def compare_warehouse(self, entries: drift.Entries, now: datetime) -> None:
        """Compare the tables and public views with the deployed ones."""
        views = self._manifest.views
        for damaged in drift.find(self._warehouse, self._manifest, views, entries, now):
            damages = [str(damage) for damage in damaged.damages if not damage.outdated]
            if damaged.view:
                self._by_view.setdefault(damaged.view, []).extend(damages)
            else:
                self._shared += damages

    def compare_store(self, store: OnlineStore, doors: Mapping[str, str]) -> None:
        """Compare the online store's owner, its pointers and its sync cursors."""
        manifest = self._manifest
        with suppress(PlaneError):  # `status` reports a store that does not answer, by view
            claim = read_claim(store, manifest.namespace)
            if text := claims.conflict(claim, identity.read(self._warehouse), manifest.schema):
                self._shared.append(text)
                return
            lost = served.lost_pointers(store, manifest, doors)
            lost |= served.lost_cursors(store, manifest)
            for view, problem in lost.items():
                self._by_view.setdefault(view, []).append(f"Redis {problem}")

    def of(self, view: str) -> list[str]:
        """Return the problems of a view, after those of all views."""
        return [*self._shared, *self._by_view.get(view, ())]
