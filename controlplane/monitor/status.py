"""How fresh every feature view is, from the ledger: a quiet key is not a stale one."""

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
        freshness: how old, at now, the newest instant is that its values cover; None: not computed.
        last_interval_start: where the last publication's range begins, which may hold several
            intervals.
        last_interval_end: where that range ends.
        last_intervals: how many intervals that range holds. The ledger counts rows by publication,
            so that nothing is known of each of them.
        last_rows: the rows of the whole range.
        last_dropped: rows of the range without a key or a time.
        online: whether the view is kept online; None where the environment has no online store.
        sync_lag: how long after the last sync's data the newest publication came; None: never
            synced, or no store.
        problems: what is missing or altered in the warehouse or in the online store, and who else
            deployed or wrote there: then the state is `damaged` or `replaced`.
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
    """The status of every deployed view at `now`, in the manifest's order.

    Args:
        manifest: what is deployed.
        warehouse: the ledger is read there.
        store: asked for the cursors; one that does not answer is told per view, and the rest is
            still shown.
        now: the environment's now.
        online_problem: why there is no `store`, where there should be one; it is told per view.
        conflict: who else deployed to the schema, in words; empty if nobody did.
    """
    if not manifest.views:
        return []
    programs = [build(manifest, view) for view in manifest.views]
    publications = ledger.entries(warehouse)
    doors = ledger.shown_versions(warehouse)
    found: list[ViewStatus] = []
    away = online_problem if store is None else ""
    stored = store is not None or bool(online_problem)
    for program in programs:
        entries = publications.get((program.feature_view, program.fingerprint), [])
        shown = doors.get(program.feature_view) == program.fingerprint
        unseen = away if program.online else ""
        synced = _Synced(problem=unseen) if unseen else _synced(program, entries, store)
        away = synced.problem if synced.away else away
        found.append(_view(program, entries, shown, synced, now, stored=stored))
    problems = ViewProblems(manifest, warehouse)
    if not conflict:
        problems.compare_warehouse(publications, now)
    if store is not None and not away:
        problems.compare_store(store, doors)
    return [_with_problems(view, conflict, problems.of(view.view)) for view in found]


def _with_problems(view: ViewStatus, conflict: str, problems: Sequence[str]) -> ViewStatus:
    """The view's status with what is wrong with it."""
    told = (*([conflict] if conflict else []), *problems)
    if not told:
        return view
    return msgspec.structs.replace(view, state=REPLACED if conflict else DAMAGED, problems=told)


class _Synced(NamedTuple):
    """What the online store says of one view.

    `away` is whether it said nothing, and will not to others.
    """

    lag: timedelta | None = None
    at: datetime | None = None
    problem: str = ""
    away: bool = False


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
    frontier = next((part.end for part in covered if part.start <= program.timing.start), None)
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
        frontier=frontier,
        freshness=now - frontier if frontier else None,
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
        # Each view would wait for it as long again.
        return _Synced(problem=error.message, away=isinstance(error, TransientError))
    if cursor.synced_at is None:
        return _Synced()
    newest = max((entry.version for entry in entries), default=0)
    behind = timedelta(microseconds=max(newest - cursor.reached, 0))
    return _Synced(behind, cursor.synced_at)
