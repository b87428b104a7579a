"""What one version of a view has in the warehouse: its tables and public views, with their columns.

The columns are those that `sql/setup.sql.j2` and `sql/doors.sql.j2` make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane import naming
from controlplane.registry.manifest import Manifest, ViewSpec
from controlplane.render.dialects import Dialect, dialect
from controlplane.render.tables import qualified
from controlplane.render.views import Extent, context

DERIVED = ("tiles", "rollups", "history", "latest", "head")
"""Tables that a run fills from the sources. What healing replaced can't be computed again."""


@dataclass(frozen=True)
class DataTable:
    """A table of one version of a view.

    Attributes:
        part: what it is, such as `history`.
        plain: `schema.table`, for people.
        quoted: the same in SQL text.
        columns: plain name -> type in the warehouse's SQL, in order.
    """

    part: str
    plain: str
    quoted: str
    columns: Mapping[str, str]

    @property
    def derived(self) -> bool:
        """Whether a run can fill it again."""
        return self.part in DERIVED


@dataclass(frozen=True)
class PublicView:
    """A view that SQL users read: its names, its columns in order, and the part that it shows."""

    plain: str
    quoted: str
    columns: tuple[str, ...]
    shows: str


def tables(manifest: Manifest, view: ViewSpec) -> list[DataTable]:
    """Return the tables of one version of a view."""
    d = dialect(manifest.dialect)
    # The templates' context has attributes of text, which only they know by name.
    texts: Any = context(manifest, view, Extent(), {})
    keys = {name: d.type(kind) for name, kind in view.keys}
    features = {feature.name: d.type(feature.type) for feature in view.features}
    timestamp, int64, bool_ = d.type("timestamp"), d.type("int64"), d.type("bool")
    since = {"valid_from": timestamp, "expires_at": timestamp}
    row = {**keys, **since, **features}
    parts: dict[str, dict[str, str]] = {
        "tiles": {**keys, "tile_start": timestamp, **_plain(d, texts.tile_columns)},
        "history": {**row, "version": int64, "recorded_from": timestamp},
        "history_replaced": {**row, "recorded_from": timestamp, "recorded_to": timestamp},
        "latest": {**row, "version": int64, "is_deleted": bool_},
    }
    if texts.rollups:
        rolled = {"tile_start": timestamp, "tile_end": timestamp}
        parts["rollups"] = {**keys, **rolled, **_plain(d, texts.rollups.columns)}
    names = {part: getattr(naming, part)(view.name, view.fingerprint) for part in parts}
    found = [
        DataTable(part, f"{manifest.schema}.{name}", qualified(d, manifest.schema, name), parts[part])
        for part, name in names.items()
    ]
    head = naming.head(manifest.schema, view.name, view.fingerprint)
    columns = {
        "version": int64,
        "frontier": timestamp,
        "earlier_frontier": timestamp,
        "run_id": d.type("string"),
    }
    control = naming.CONTROL_SCHEMA
    return [*found, DataTable("head", f"{control}.{head}", qualified(d, control, head), columns)]


def public_views(manifest: Manifest, view: ViewSpec, made: Iterable[DataTable]) -> list[PublicView]:
    """Return the public views that show one version of a view; `made` are its tables."""
    d = dialect(manifest.dialect)
    by_part = {table.part: tuple(table.columns) for table in made}
    keys = tuple(name for name, _ in view.keys)
    features = tuple(feature.name for feature in view.features)
    columns = {
        "": (*keys, "valid_from", "valid_to", *features),
        "latest": (*keys, "valid_from", "expires_at", *features),
    }
    found = []
    for part in ("", *naming.PARTS):
        name = naming.door(view.name, part)
        quoted = qualified(d, manifest.schema, name)
        shown = columns.get(part) or by_part[part]
        found.append(PublicView(f"{manifest.schema}.{name}", quoted, shown, part or "history"))
    return found


def _plain(d: Dialect, columns: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Columns by their plain names; the templates have them quoted."""
    mark = d.quote_mark
    plain = {}
    for name, kind in columns:
        quoted = name.startswith(mark)
        text = name[1:-1].replace(mark * 2, mark) if quoted else name
        # Snowflake's quoting writes small letters as capitals; its connector reads them back small.
        stored = d.name == "snowflake" and text == text.upper()
        plain[text.lower() if stored else text] = kind
    return plain
