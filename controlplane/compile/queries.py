"""The queries whose columns a warehouse describes when a view is compiled."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from controlplane.base import naming
from controlplane.compile import transformation
from controlplane.manifest.specs import SourceSpec


def relations(
    sources: Sequence[SourceSpec], schema: str, views: Collection[str], dialect: str
) -> dict[str, str]:
    """Return the SELECT for each source, by its name.

    Args:
        sources: of the view.
        schema: of the public views.
        views: names of the project's feature views. Their public views may not exist yet: a SELECT
            without rows stands in for them.
        dialect: of the warehouse.
    """
    selects = {}
    for source in sources:
        exists = naming.view_of_table(schema, source.table) not in views
        time = f", ({source.time_sql}\n) AS {source.timestamp}" if source.time_sql else ""
        selects[source.name] = (
            f"SELECT *{time} FROM {source.table}"
            if exists
            else transformation.stand_in(source.columns, dialect)
        )
    return selects


def with_conditions(framed: str, conditions: Mapping[str, str]) -> str:
    """Select the columns of a view's SQL, and a boolean column for each condition.

    Args:
        framed: the SQL behind its sources, see `transformation.framed`.
        conditions: column name -> condition.
    """
    extra = "".join(f", ({text}\n) AS {name}" for name, text in conditions.items())
    return f"{framed}\nSELECT *{extra} FROM {transformation.OUTPUT}"


def may_be_renamed(columns: Collection[str]) -> bool:
    """Tell whether the warehouse may have renamed one of two columns with equal names.

    DuckDB returns them as `status` and `status_1`.
    """
    known = {name.lower() for name in columns}
    bases = (re.fullmatch(r"(.+)_\d+", name) for name in known if name[-1:].isdigit())
    return any(base is not None and base[1] in known for base in bases)
