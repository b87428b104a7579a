"""The SQL of a preview: a view's values at one instant, computed from its sources.

It is the query of a training set from sources, over a spine with one row for each entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from controlplane.base import naming
from controlplane.base.types import micros
from controlplane.errors import Location
from controlplane.manifest.specs import Manifest, ServiceSpec, ViewSpec
from controlplane.sql import inline, training
from controlplane.sql.dialects import Dialect, dialect

_NAME = "preview"
_TIME = "plane__time"


def query(
    manifest: Manifest, view: ViewSpec, at: datetime, keys: Mapping[str, Any], entities: int
) -> str:
    """Render a query for the keys and features of some entities, as visible at an instant.

    Args:
        manifest: the declared project.
        view: one of its views.
        at: the instant.
        keys: key column -> value. With all keys it is one entity, which may be unknown; with fewer,
            or none, they are the first entities in the order of their keys that have these.
        entities: the most entities.
    """
    d = dialect(manifest.dialect)
    columns = [d.quote(name) for name, _ in view.keys]
    literals = {d.quote(n): _literal(d, keys[n], key) for n, key in view.keys if n in keys}
    if len(literals) == len(columns):
        selected = ", ".join(f"{literal} AS {name}" for name, literal in literals.items())
        entity_rows = f"SELECT {selected}"
    else:
        conditions = [f"{name} IS NOT NULL" for name in columns]
        conditions += [f"{name} = {literal}" for name, literal in literals.items()]
        entity_rows = inline.distinct_keys(manifest, view, at, conditions, entities)
    listed = ", ".join(columns)
    spine = f"SELECT {listed}, {d.instant(at)} AS {d.quote(_TIME)} FROM (\n{entity_rows}\n) AS e"
    service = ServiceSpec(
        _NAME, tuple((view.name, f.name) for f in view.features), view.owner, "", Location("")
    )
    dataset = training.Dataset(_NAME, 0, _NAME, spine, _TIME, "", through=at)
    alone = msgspec.structs.replace(manifest, services=(service,))
    values = training.query(alone, dataset, {**dict(view.keys), _TIME: "timestamp"})
    features = ", ".join(
        f"{d.quote(naming.feature(view.name, f.name))} AS {d.quote(f.name)}" for f in view.features
    )
    return f"SELECT {listed}, {features} FROM (\n{values}\n) AS previewed ORDER BY {listed}"


def _literal(d: Dialect, value: Any, key_type: str) -> str:  # noqa: ANN401 - keys of any type
    return d.literal(micros(value) if isinstance(value, datetime) else value, key_type)
