"""Takes back what a damaged version claims to have, so that a run computes what it lost."""

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
    """Statements that come before the setup, which makes again what is missing.

    Afterwards nothing claims more than there is. The tables go last: a repair that was stopped
    before is found and repeated by the next deploy.

    Args:
        manifest: the one that is deployed.
        drift: of one of its views.
        missing: `schema.table` of everything that is missing, whatever view it is of.
    """
    d = dialect(manifest.dialect)
    view = manifest.view(drift.view)
    found = []
    if drift.recomputed and LEDGER.plain not in missing:
        where = (
            f"feature_view = {d.text(f'{manifest.schema}.{view.name}')} AND fingerprint ="
            f" {d.text(view.fingerprint)}"
        )
        sql = f"DELETE FROM {LEDGER.quoted(d)} WHERE {where}"
        found.append(Statement("clear the ledger", sql))
    head = control_tables.head(manifest.schema, view.name, view.fingerprint)
    quoted = head.quoted(d)
    if drift.computed_through and head.plain not in missing and quoted not in drift.dropped:
        through = d.instant(drift.computed_through)
        # A new version, so that a publication under way gives up.
        sql = (
            f"UPDATE {quoted} SET version = greatest(version + 1, {d.clock_micros()}), "
            f"frontier = {through}, earlier_frontier = {through}, run_id = {d.text('repair')}"
        )
        found.append(Statement("take the frontier back", sql))
    for wide in drift.widened:
        statements = d.widen(wide.table, wide.column, wide.type, wide.members)
        found += [Statement(f"widen {wide.column} of {wide.table}", sql) for sql in statements]
    found += [
        Statement(f"drop {table}", f"DROP TABLE IF EXISTS {table}") for table in drift.dropped
    ]
    return found


@contextmanager
def of_another_kind() -> Iterator[None]:
    """Give a remedy where a statement that replaces or drops an object of ours meets another kind
    of it.

    A user's table in place of a public view is not dropped: nobody knows what it holds.

    Raises:
        PermanentError: the warehouse's own, with the remedy.
    """
    try:
        yield
    except PermanentError as error:
        error.hint = error.hint or (
            "if the warehouse has another kind of object under this name, such as a table instead"
            " of a view, drop or rename it, then run `plane deploy` again"
        )
        raise
