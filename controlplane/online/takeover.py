"""Replaces the values of another warehouse in an online store with those of this one.

Writes are compare-and-set on versions that come from a warehouse's clock, so values of another
warehouse may be newer than all values of this one. Therefore each head gets a version above the one
that the other warehouse's sync reached. Then every key is written, and every extra key is replaced
with a tombstone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from controlplane.base.ports import OnlineStore, Statement, Warehouse
from controlplane.base.progress import Progress
from controlplane.control import identity, ledger
from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.online import claims
from controlplane.online.reconcile import reconcile
from controlplane.online.records import Claim, SyncCursor, point, read_claim, write_claim
from controlplane.online.syncing import sync
from controlplane.release.program import Program, build
from controlplane.sql.dialects import dialect
from controlplane.sql.views import render_view


@dataclass(frozen=True)
class TakenOver:
    """One version of a view: the number of keys that were written, and of keys that are wrong."""

    view: str
    fingerprint: str
    written: int
    unhealed: int


def take_over(
    known: Iterable[tuple[Manifest, ViewSpec]],
    manifest: Manifest,
    warehouse: Warehouse,
    store: OnlineStore,
    *,
    clock: Callable[[], datetime],
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> tuple[Claim | None, list[TakenOver]]:
    """Record this warehouse as the owner of the namespace, and write all values that it serves.

    It may be repeated; a repetition finishes a take-over that was stopped. Versions that only the
    other warehouse has deployed stay until they expire, since their keys are not known here.

    Args:
        known: every version that was deployed, each with a manifest that has it.
        manifest: the deployed manifest.
        warehouse: the warehouse whose values are written.
        store: the online store.
        clock: the wall clock.
        on_progress: receives each version before it is written.

    Returns:
        The earlier claim on the values (None if nobody had one), and what was written.

    Raises:
        PlaneError: the warehouse has no identity yet.
    """
    ours = identity.read(warehouse)
    if ours is None:
        text = "the warehouse has no identity, so it can't own the values of an online store"
        raise PlaneError(text, hint="run `plane deploy` first: it creates the identity")
    before = read_claim(store, manifest.namespace)
    # Written first: from now on, syncs of the other warehouse are refused.
    write_claim(store, manifest.namespace, claims.own(ours, warehouse, manifest.schema, clock()))
    shown_versions = ledger.shown_versions(warehouse)
    served: list[tuple[Manifest, ViewSpec]] = []
    current = {(view.name, view.fingerprint) for view in manifest.views}
    for deployed, view in known:
        program = build(deployed, view)
        sync_cursor = SyncCursor(store, program.namespace, view.name, view.fingerprint)
        cursor = sync_cursor.read()
        version = (view.name, view.fingerprint)
        shown = shown_versions.get(program.feature_view) == view.fingerprint
        if not view.online or not (cursor.exists or shown or version in current):
            continue
        _raise_head(program, warehouse, cursor.reached)
        sync_cursor.reset(ours.id)
        if shown or version in current:
            served.append((deployed, view))
    taken = []
    for done, (deployed, view) in enumerate(served):
        on_progress(Progress(f"{view.name} {view.fingerprint}", "write", done, len(served)))
        taken.append(_rewritten(deployed, view, warehouse, store, clock))
    shown_views = {
        view.name: view.fingerprint
        for deployed, view in served
        if shown_versions.get(f"{deployed.schema}.{view.name}") == view.fingerprint
    }
    point(store, manifest.namespace, shown_views)
    return before, taken


def _raise_head(program: Program, warehouse: Warehouse, reached: int) -> None:
    """Give a version's head a number above `reached`."""
    d = dialect(warehouse.dialect)
    newest = d.greatest("version + 1", d.clock_micros(), str(reached + 1))
    run_id = d.text(f"take-over-{secrets.token_hex(4)}")
    sql = f"UPDATE {program.head} SET version = {newest}, run_id = {run_id}"
    name = f"update the head of {program.view}"
    warehouse.execute([Statement(name, sql)], tag=program.tag("take-over"))


def _rewritten(
    manifest: Manifest,
    view: ViewSpec,
    warehouse: Warehouse,
    store: OnlineStore,
    clock: Callable[[], datetime],
) -> TakenOver:
    program, sql = build(manifest, view), render_view(manifest, view).sync
    report = sync(program, warehouse, store, sql, clock=clock, full=True)
    healed = reconcile(program, warehouse, store, sql, served=True, clock=clock, heal=True)
    return TakenOver(view.name, view.fingerprint, report.written, healed.unhealed)
