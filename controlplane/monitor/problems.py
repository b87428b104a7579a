"""What is missing or altered of what was deployed, in the warehouse and in the online store, view
by view."""

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
    """What is wrong in the warehouse and in the online store: of all views, and of each."""

    def __init__(self, manifest: Manifest, warehouse: Warehouse) -> None:
        self._manifest, self._warehouse = manifest, warehouse
        self._shared: list[str] = []
        self._by_view: dict[str, list[str]] = {}

    def compare_warehouse(self, entries: drift.Entries, now: datetime) -> None:
        """Compare the tables and public views with what was deployed."""
        views = self._manifest.views
        for found in drift.find(self._warehouse, self._manifest, views, entries, now):
            told = [str(damage) for damage in found.damages if not damage.outdated]
            if found.view:
                self._by_view.setdefault(found.view, []).extend(told)
            else:
                self._shared += told

    def compare_store(self, store: OnlineStore, doors: Mapping[str, str]) -> None:
        """Compare whose values the online store holds, and its pointers."""
        manifest = self._manifest
        with suppress(PlaneError):  # a store that does not answer is told per view
            found = read_claim(store, manifest.namespace)
            if text := claims.conflict(found, identity.read(self._warehouse), manifest.schema):
                self._shared.append(text)
                return
            lost = served.lost_pointers(store, manifest, doors)
            lost |= served.lost_cursors(store, manifest)
            for view, problem in lost.items():
                self._by_view.setdefault(view, []).append(f"Redis {problem}")

    def of(self, view: str) -> list[str]:
        """What is wrong with a view, that of all views first."""
        return [*self._shared, *self._by_view.get(view, ())]
