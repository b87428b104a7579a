"""How fresh every feature view is, from the ledger: a quiet key is not a stale one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from controlplane import ledger, naming
from controlplane.control import claims, drift, identity, served
from controlplane.errors import PlaneError
from controlplane.ports import OnlineStore, Warehouse
from controlplane.registry.manifest import Manifest
from controlplane.render.program import Program, build
from controlplane.types import subtract

UP_TO_DATE, BEHIND, NOT_COMPUTED, NOT_DUE = "up to date", "behind", "not computed", "not due yet"
DAMAGED, REPLACED = "damaged", "replaced"


class ViewStatus(msgspec.Struct, frozen=True):
    """One view. `freshness` is how old, at now, the newest instant is that its values cover (None: not computed);
    `sync_lag` is how long after the last sync's data the newest publication came (None: never synced or no store).

    `problems` name what is missing or altered in the warehouse or in the online store, and who else deployed or wrote
    there: then the state is `damaged` or `replaced`.
    """

    view: str
    fingerprint: str
    owner: str
    state: str
    shown: bool
    frontier: datetime | None
    freshness: timedelta | None
    last_interval_start: datetime | None
    last_interval_end: datetime | None
    last_published_at: datetime | None
    last_rows: int | None
    last_dropped: int | None
    missing_intervals: int
    online: bool
    sync_lag: timedelta | None
    synced_at: datetime | None
    online_problem: str = ""
    problems: tuple[str, ...] = ()


def status(
    manifest: Manifest,
    warehouse: Warehouse,
    store: OnlineStore | None,
    now: datetime,
    *,
    conflict: str = "",
) -> list[ViewStatus]:
    """The status of every deployed view at `now`, in the manifest's order.

    Args:
        manifest: what is deployed.
        warehouse: the ledger is read there.
        store: asked for the cursors; one that does not answer is told per view, and the rest is still shown.
        now: the environment's now.
        conflict: who else deployed to the schema, in words; empty if nobody did.
    """
    if not manifest.views:
        return []
    programs = [build(manifest, view) for view in manifest.views]
    publications = ledger.entries(warehouse, programs[0].ledger)
    doors = ledger.doors(warehouse, programs[0].doors)
    problems = _Problems(manifest, warehouse, store, conflict)
    if not conflict:
        problems.compare_warehouse(publications, now)
    problems.compare_store(doors)
    found = []
    for program in programs:
        entries = publications.get((program.feature_view, program.fingerprint), [])
        shown = doors.get(program.feature_view) == program.fingerprint
        view = _view(program, entries, shown, store, now)
        found.append(problems.added_to(view))
    return found


class _Problems:
    """What is wrong in the warehouse and in the online store: of all views, and of each."""

    def __init__(self, manifest: Manifest, warehouse: Warehouse, store: OnlineStore | None, conflict: str) -> None:
        self._manifest, self._warehouse, self._store = manifest, warehouse, store
        self._state = REPLACED if conflict else DAMAGED
        self._shared = [conflict] if conflict else []
        self._by_view: dict[str, list[str]] = {}

    def compare_warehouse(self, entries: drift.Entries, now: datetime) -> None:
        """Compare the tables and public views with what was deployed."""
        views = self._manifest.views
        for found in drift.find(self._warehouse, self._manifest, views, entries, now):
            told = [str(damage) for damage in found.damages]
            if found.view:
                self._by_view.setdefault(found.view, []).extend(told)
            else:
                self._shared += told

    def compare_store(self, doors: Mapping[str, str]) -> None:
        """Compare whose values the online store holds, and its pointers."""
        store, manifest = self._store, self._manifest
        if store is None:
            return
        with suppress(PlaneError):  # a store that does not answer is told per view
            found = claims.read(store, manifest.namespace)
            ours = identity.read(self._warehouse)
            if text := claims.conflict(found, ours, manifest.schema):
                self._shared.append(text)
                return
            lost = served.lost_pointers(store, manifest, doors)
            lost |= served.lost_cursors(store, manifest)
            for view, problem in lost.items():
                self._by_view.setdefault(view, []).append(f"Redis {problem}")

    def added_to(self, view: ViewStatus) -> ViewStatus:
        """The view's status with its problems."""
        problems = (*self._shared, *self._by_view.get(view.view, ()))
        if not problems:
            return view
        return msgspec.structs.replace(view, state=self._state, problems=problems)


def _view(
    program: Program, entries: list[ledger.Entry], shown: bool, store: OnlineStore | None, now: datetime
) -> ViewStatus:
    due = program.timing.due(now)
    covered = ledger.covered(entries)
    missing = sum(gap.count(program.timing.schedule) for gap in subtract(due, covered)) if due else 0
    frontier = next((part.end for part in covered if part.start <= program.timing.start), None)
    newest = max(entries, key=lambda entry: (entry.interval.end, entry.version), default=None)
    state = UP_TO_DATE
    if missing:
        state = BEHIND if entries else NOT_COMPUTED
    elif due is None:
        state = NOT_DUE
    lag, synced_at, problem = _sync(program, entries, store)
    return ViewStatus(
        view=program.view,
        fingerprint=program.fingerprint,
        owner=program.owner,
        state=state,
        shown=shown,
        frontier=frontier,
        freshness=now - frontier if frontier else None,
        last_interval_start=newest.interval.start if newest else None,
        last_interval_end=newest.interval.end if newest else None,
        last_published_at=newest.published_at if newest else None,
        last_rows=newest.row_count if newest else None,
        last_dropped=newest.dropped_count if newest else None,
        missing_intervals=missing,
        online=program.online,
        sync_lag=lag,
        synced_at=synced_at,
        online_problem=problem,
    )


def _sync(
    program: Program, entries: list[ledger.Entry], store: OnlineStore | None
) -> tuple[timedelta | None, datetime | None, str]:
    if store is None or not program.online:
        return None, None, ""
    try:
        cursor = store.get_fields(naming.cursor_hash(program.namespace, program.view, program.fingerprint))
    except PlaneError as error:
        return None, None, error.message
    if b"synced_at" not in cursor:
        return None, None, ""
    newest = max((entry.version for entry in entries), default=0)
    behind = max(newest - int(cursor[b"version"]), 0)
    return timedelta(microseconds=behind), datetime.fromisoformat(cursor[b"synced_at"].decode()), ""
