"""Removes the entries of a damaged version, so that a run computes what it lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from controlplane.base.ports import Statement
from controlplane.control.drift import Drift
from controlplane.errors import PermanentError
from controlplane.manifest.specs import Manifest
from controlplane.sql import control_tables
from controlplane.sql.control_tables import LEDGER
from controlplane.sql.dialects import dialect


def prepare(manifest: Manifest, drift: Drift, missing: Collection[str]) -> list[Statement]:
    """Return the statements that come before the setup, which creates the missing objects again.

    Afterwards the ledger and the head claim only what exists. The tables are dropped last, so that
    the next deploy finds and repeats a repair that was stopped.

    Args:
        manifest: the deployed manifest.
        drift: the drift of one of its views.
        missing: `schema.table` of all missing objects, of any view.
    """
    d = dialect(manifest.dialect)
    view = manifest.view(drift.view)
    statements = []
    if drift.recomputed and LEDGER.plain not in missing:
        where = (
            f"feature_view = {d.text(f'{manifest.schema}.{view.name}')} AND fingerprint ="
            f" {d.text(view.fingerprint)}"
        )
        sql = f"DELETE FROM {LEDGER.quoted(d)} WHERE {where}"
        statements.append(Statement("clear the ledger", sql))
    head = control_tables.head(manifest.schema, view.name, view.fingerprint)
    quoted = head.quoted(d)
    if drift.computed_through and head.plain not in missing and quoted not in drift.dropped:
        through = d.instant(drift.computed_through)
        # A new version, so that a concurrent publication fails.
        sql = (
            f"UPDATE {quoted} SET version = greatest(version + 1, {d.clock_micros()}), "
            f"frontier = {through}, earlier_frontier = {through}, run_id = {d.text('repair')}"
        )
        statements.append(Statement("set the watermark back", sql))
    for wide in drift.widened:
        widening = d.widen(wide.table, wide.column, wide.type, wide.members)
        statements += [Statement(f"widen {wide.column} of {wide.table}", sql) for sql in widening]
    statements += [
        Statement(f"drop {table}", f"DROP TABLE IF EXISTS {table}") for table in drift.dropped
    ]
    return statements


@contextmanager
def of_another_kind() -> Iterator[None]:
    """Add a remedy to the error of a statement that meets another kind of object under a name.

    A user's table in place of a public view is not dropped, since it may hold the user's data.

    Raises:
        PermanentError: the warehouse's error, with the remedy.
    """
    try:
        yield
    except PermanentError as error:
        error.hint = error.hint or (
            "if the warehouse has another kind of object under this name, such as a table instead"
            " of a view, drop or rename it, then run `plane deploy` again"
        )
        raise
