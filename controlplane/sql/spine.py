"""The SQL of a spine's times, and of the rows of a training set that no feature can have a value
for."""

from __future__ import annotations

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql import inline
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified
from controlplane.sql.training import Dataset, instant, key_tables, table, views_of


def times_query(manifest: Manifest, dataset: Dataset, first: str, last: str) -> str:
    """A query for the first and the last time of the spine, no farther away than two instants.

    No row: it has none.
    """
    d = dialect(manifest.dialect)
    at = instant(d, dataset.time)
    ends = ", ".join(
        f"least(greatest({function}({at}), {first}), {last}) AS {name}"
        for function, name in (("min", "first_time"), ("max", "last_time"))
    )
    return (
        f"SELECT {ends} FROM ({dataset.spine}\n) AS spine WHERE {at} IS NOT NULL HAVING"
        " count(*) > 0"
    )


def counts_query(manifest: Manifest, dataset: Dataset) -> str:
    """A query that counts the rows of a training set for which no feature, or none of a view, has a
    value.

    Columns: `null_times` (also infinite ones), and for the view at each place of `views_of`
    `null_keys_<place>`, `unknown_keys_<place>` (of which the view has no row by the spine's last
    time) and `early_times_<place>` (before the view's start).
    """
    d = dialect(manifest.dialect)
    views = views_of(manifest, manifest.service(dataset.service))
    made = table(manifest.dialect, dataset.name, dataset.version)
    tables = [f"spine AS (SELECT *, {instant(d, dataset.time)} AS plane_at FROM {made})"]
    if dataset.through is not None:
        keys, asked = key_tables(views, d)
        tables += [
            f"{name} AS (SELECT DISTINCT {', '.join(names)} FROM spine)" for name, names in keys
        ]
        if not d.framed:
            tables += [
                f"{name}_asked AS (SELECT DISTINCT {', '.join(n)}, plane_at FROM spine)"
                for name, n in keys
            ]
        tables += inline.common_tables(
            manifest, views, dataset.through, inline.Asked("spine", asked)
        ).tables
    tables.append("plane_last AS (SELECT max(plane_at) AS plane_at FROM spine)")
    counts = ["count(*) - count(plane_at) AS null_times"]
    for place, view in enumerate(views):
        tables.append(f"plane_known_{place} AS ({_known(manifest, view, dataset, d)})")
        names = [d.quote(name) for name, _ in view.keys]
        missing = " OR ".join(f"{name} IS NULL" for name in names)
        present = " AND ".join(f"s.{name} IS NOT NULL" for name in names)
        same = " AND ".join(f"h.{name} = s.{name}" for name in names)
        known = f"SELECT 1 FROM plane_known_{place} AS h WHERE {same}"
        counts += [
            f"count(CASE WHEN {missing} THEN 1 END) AS null_keys_{place}",
            (
                f"(SELECT count(*) FROM spine AS s WHERE {present} AND NOT EXISTS ({known})) AS"
                f" unknown_keys_{place}"
            ),
            (
                f"count(CASE WHEN plane_at < {d.instant(view.start)} THEN 1 END) AS"
                f" early_times_{place}"
            ),
        ]
    selected, common = ",\n  ".join(counts), ",\n".join(tables)
    return f"WITH {common}\nSELECT\n  {selected}\nFROM spine"


def _known(manifest: Manifest, view: ViewSpec, dataset: Dataset, d: Dialect) -> str:
    """A query for the keys of which a view has a row by the spine's last time."""
    keys = ", ".join(f"h.{d.quote(name)}" for name, _ in view.keys)
    if dataset.through is not None:
        return f"SELECT DISTINCT {keys} FROM {inline.rows(view)} AS h"
    history = qualified(d, manifest.schema, naming.history(view.name, view.fingerprint))
    return (
        f"SELECT DISTINCT {keys} FROM {history} AS h CROSS JOIN plane_last AS p WHERE h.valid_from"
        " <= p.plane_at"
    )
