"""Queries for a spine's times, and for the rows of a training set without any feature value."""

from __future__ import annotations

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import inline
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified
from controlplane.sql.training import Dataset, instant, key_tables, table


def times_query(manifest: Manifest, dataset: Dataset, first: str, last: str) -> str:
    """Render a query for the first and the last time of the spine, limited to a range.

    It returns no row if the spine has no time.

    Args:
        manifest: the project.
        dataset: the training set.
        first: the earliest time to return, as SQL.
        last: the latest time to return, as SQL.
    """
    d = dialect(manifest.dialect)
    at = instant(d, dataset.time)
    ends = ", ".join(
        f"least(greatest({function}({at}), {first}), {last}) AS {name}"
        for function, name in (("min", "first_time"), ("max", "last_time"))
    )
    spine = f"({dataset.spine}\n) AS spine"
    return f"SELECT {ends} FROM {spine} WHERE {at} IS NOT NULL HAVING count(*) > 0"


def counts_query(manifest: Manifest, dataset: Dataset) -> str:
    """Render a query that counts the rows for which no feature of a view can have a value.

    Columns: `null_times` (also infinite ones), and for each index in `Manifest.views_of`
    `null_keys_<index>`, `unknown_keys_<index>` (the view has no row of the key by the spine's last
    time) and `early_times_<index>` (before the view's start).
    """
    d = dialect(manifest.dialect)
    views = manifest.views_of(manifest.service(dataset.service))
    made = table(manifest.dialect, dataset.name, dataset.version)
    tables = [f"spine AS (SELECT *, {instant(d, dataset.time)} AS plane_at FROM {made})"]
    if dataset.through is not None:
        keys, asked = key_tables(views, d)
        tables += [
            f"{name} AS (SELECT DISTINCT {', '.join(names)} FROM spine)" for name, names in keys
        ]
        if d.as_of_join != "on":
            tables += [
                f"{name}_asked AS (SELECT DISTINCT {', '.join(n)}, plane_at FROM spine)"
                for name, n in keys
            ]
        tables += inline.common_tables(
            manifest, views, dataset.through, inline.Asked("spine", asked)
        ).tables
    tables.append("plane_last AS (SELECT max(plane_at) AS plane_at FROM spine)")
    counts = ["count(*) - count(plane_at) AS null_times"]
    for index, view in enumerate(views):
        tables.append(f"plane_known_{index} AS ({_known(manifest, view, dataset, d)})")
        names = [d.quote(name) for name, _ in view.keys]
        missing = " OR ".join(f"{name} IS NULL" for name in names)
        present = " AND ".join(f"s.{name} IS NOT NULL" for name in names)
        same = " AND ".join(f"h.{name} = s.{name}" for name in names)
        known = f"SELECT 1 FROM plane_known_{index} AS h WHERE {same}"
        counts += [
            f"count(CASE WHEN {missing} THEN 1 END) AS null_keys_{index}",
            f"(SELECT count(*) FROM spine AS s WHERE {present} AND NOT EXISTS ({known}))"
            f" AS unknown_keys_{index}",
            f"count(CASE WHEN plane_at < {d.instant(view.start)} THEN 1 END)"
            f" AS early_times_{index}",
        ]
    selected, common = ",\n  ".join(counts), ",\n".join(tables)
    return f"WITH {common}\nSELECT\n  {selected}\nFROM spine"


def _known(manifest: Manifest, view: ViewSpec, dataset: Dataset, d: Dialect) -> str:
    """Render a query for the keys of which a view has a row by the spine's last time."""
    keys = ", ".join(f"h.{d.quote(name)}" for name, _ in view.keys)
    if dataset.through is not None:
        return f"SELECT DISTINCT {keys} FROM {inline.rows(view)} AS h"
    history = qualified(d, manifest.schema, naming.history(view.name, view.fingerprint))
    by_then = "CROSS JOIN plane_last AS p WHERE h.valid_from <= p.plane_at"
    return f"SELECT DISTINCT {keys} FROM {history} AS h {by_then}"
