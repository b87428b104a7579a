"""Tells how fresh every feature view is.

It reads the ledger, not the newest rows: a key without new rows is not stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import subtract
from controlplane.control import ledger
from controlplane.errors import PlaneError, TransientError
from controlplane.manifest.specs import Manifest
from controlplane.monitor.problems import ViewProblems
from controlplane.online.records import SyncCursor
from controlplane.release.program import Program, build

UP_TO_DATE, BEHIND, NOT_COMPUTED, NOT_DUE = "up to date", "behind", "not computed", "not due yet"
DAMAGED, REPLACED = "damaged", "replaced"


class ViewStatus(msgspec.Struct, frozen=True):
    """How fresh one view is.

    Attributes:
        frontier: the watermark: the end of the intervals that are computed without a gap.
        freshness: the time since the watermark; None if nothing is computed.
        last_interval_start: the start of the last publication's range, which may have several
            intervals.
        last_interval_end: the end of that range.
        last_intervals: the number of intervals in that range. The ledger counts rows by
            publication, so the rows of each interval are not known.
        last_rows: the number of rows in the whole range.
        last_dropped: the number of rows in the range without a key or a time.
        online: whether the view is kept online; None if the environment has no online store.
        sync_lag: how much newer the newest publication is than the last synced one; None if nothing
            is synced or there is no online store.
        problems: what is missing or altered in the warehouse or in the online store, and who else
            deployed or wrote to them. The state is then `damaged` or `replaced`.
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
    last_intervals: int | None
    last_published_at: datetime | None
    last_rows: int | None
    last_dropped: int | None
    missing_intervals: int
    online: bool | None
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
    online_problem: str = "",
    conflict: str = "",
) -> list[ViewStatus]:
    """Return the status of every deployed view at `now`, in the manifest's order.

    Args:
        manifest: the deployed manifest.
        warehouse: the warehouse with the ledger.
        store: the online store with the sync cursors. If it does not answer, each view says so, and
            the rest is still reported.
        now: the environment's current time.
        online_problem: why there is no `store` although the environment has one; each view says so.
        conflict: who else deployed to the schema, in words; empty if nobody did.
    """
    if not manifest.views:
        return []
    programs = [build(manifest, view) for view in manifest.views]
    publications = ledger.entries(warehouse)
    shown_versions = ledger.shown_versions(warehouse)
    statuses: list[ViewStatus] = []
    store_problem = online_problem if store is None else ""
    stored = store is not None or bool(online_problem)
    for program in programs:
        entries = publications.get((program.feature_view, program.fingerprint), [])
        shown = shown_versions.get(program.feature_view) == program.fingerprint
        # A view that is not kept online has no problem with the store.
        problem = store_problem if program.online else ""
        synced = _Synced(problem=problem) if problem else _synced(program, entries, store)
        store_problem = synced.problem if synced.unreachable else store_problem
        statuses.append(_view(program, entries, shown, synced, now, stored=stored))
    view_problems = ViewProblems(manifest, warehouse)
    if not conflict:
        view_problems.compare_warehouse(publications, now)
    if store is not None and not store_problem:
        view_problems.compare_store(store, shown_versions)
    return [_with_problems(view, conflict, view_problems.of(view.view)) for view in statuses]


def _with_problems(view: ViewStatus, conflict: str, problems: Sequence[str]) -> ViewStatus:
    """Add the problems to the view's status."""
    all_problems = (*([conflict] if conflict else []), *problems)
    if not all_problems:
        return view
    return msgspec.structs.replace(
        view, state=REPLACED if conflict else DAMAGED, problems=all_problems
    )


class _Synced(NamedTuple):
    """What the online store knows of one view's sync.

    `unreachable` is whether the store did not answer, so that other views need not ask it.
    """

    lag: timedelta | None = None
    at: datetime | None = None
    problem: str = ""
    unreachable: bool = False


def _view(
    program: Program,
    entries: list[ledger.Entry],
    shown: bool,
    synced: _Synced,
    now: datetime,
    *,
    stored: bool,
) -> ViewStatus:
    due = program.timing.due(now)
    covered = ledger.covered(entries)
    missing = (
        sum(gap.count(program.timing.schedule) for gap in subtract(due, covered)) if due else 0
    )
    # The parts are merged, so the one that contains the view's start has no gap before its end.
    watermark = next((part.end for part in covered if part.start <= program.timing.start), None)
    # A recomputation is newer than the intervals after it, but says nothing about freshness.
    newest = max(entries, key=lambda entry: (entry.interval.end, entry.version), default=None)
    state = UP_TO_DATE
    if missing:
        state = BEHIND if entries else NOT_COMPUTED
    elif due is None:
        state = NOT_DUE
    return ViewStatus(
        view=program.view,
        fingerprint=program.fingerprint,
        owner=program.owner,
        state=state,
        shown=shown,
        frontier=watermark,
        freshness=now - watermark if watermark else None,
        last_interval_start=newest.interval.start if newest else None,
        last_interval_end=newest.interval.end if newest else None,
        last_intervals=newest.interval.count(program.timing.schedule) if newest else None,
        last_published_at=newest.published_at if newest else None,
        last_rows=newest.row_count if newest else None,
        last_dropped=newest.dropped_count if newest else None,
        missing_intervals=missing,
        online=program.online if stored else None,
        sync_lag=synced.lag,
        synced_at=synced.at,
        online_problem=synced.problem if program.online else "",
    )


def _synced(program: Program, entries: list[ledger.Entry], store: OnlineStore | None) -> _Synced:
    if store is None or not program.online:
        return _Synced()
    try:
        cursor = SyncCursor(store, program.namespace, program.view, program.fingerprint).read()
    except PlaneError as error:
        # Asking again for each view would wait for the timeout each time.
        return _Synced(problem=error.message, unreachable=isinstance(error, TransientError))
    if cursor.synced_at is None:
        return _Synced()
    newest = max((entry.version for entry in entries), default=0)
    # Versions are times in microseconds. A store with newer values is not behind.
    behind = timedelta(microseconds=max(newest - cursor.reached, 0))
    return _Synced(behind, cursor.synced_at)
