"""Compute the values that a view would have, from its sources and without a deploy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import cached_property
from typing import Any

from controlplane.api.rows import Readable, Source
from controlplane.base.types import format_instant, utc
from controlplane.codec import Field, Layout, key_text, parse_key_text
from controlplane.errors import PlaneError
from controlplane.manifest.specs import ViewSpec
from controlplane.sql import inline
from controlplane.sql import preview as preview_sql
from controlplane.sql.range_errors import explained, long_sums
from controlplane.training.profile import FeatureProfile, profiles
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


class Preview(Readable):
    """The values of a view at an instant, one row for each entity.

    Attributes:
        view: the view.
        at: the instant.
        keys: its key columns with their types.
        features: its features with their types.
    """

    def __init__(self, view: ViewSpec, at: datetime, source: Source) -> None:
        self.view = view.name
        self.at = at
        self.keys: Mapping[str, str] = dict(view.keys)
        self.features: Mapping[str, str] = {f.name: f.type for f in view.features}
        self._source = source
        self._label = f"preview of feature view {view.name!r}"
        self._location, self._long_sums = view.location, long_sums(view)

    def _explained(self) -> AbstractContextManager[None]:
        return explained(self._label, self._location, self._long_sums)

    @cached_property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The rows as dictionaries; they are computed once."""
        return self.head(None)

    @cached_property
    def profiles(self) -> list[FeatureProfile]:
        """The nulls, the range and the histogram of each feature over these entities."""
        return profiles(self.features, self.rows)


def preview(
    project: Project,
    view: str,
    *,
    keys: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    rows: int = 100,
) -> Preview:
    """See `ControlPlane.preview`."""
    now = project.now()
    at = now if at is None else utc(at)
    if at > now:
        text = f"--at is in the future: {format_instant(at)}"
        raise PlaneError(text, hint=f"choose a time up to now, {format_instant(now)}")
    manifest = compile_project(project)
    spec = manifest.view(view)
    known = _typed(spec, keys or {})
    inline.check_together(manifest, [spec], "a preview", "look at its tables with `plane query`")
    sql = preview_sql.query(manifest, spec, at, known, rows)
    return Preview(spec, at, Source(project.warehouse, sql, f"preview {view}"))


def _typed(view: ViewSpec, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Convert keys that are texts, as on the command line, to the types of the view.

    Raises:
        PlaneError: the view has no such key, or a value is not of its type.
    """
    types = dict(view.keys)
    if unknown := [name for name in keys if name not in types]:
        text = f"feature view {view.name!r} has no key {unknown[0]!r}"
        raise PlaneError(text, hint=f"its keys are: {', '.join(types)}")
    texts = {name: value for name, value in keys.items() if isinstance(value, str)}
    typed = {**keys, **_parsed(types, texts)}
    for name, value in typed.items():
        key_text(name, types[name])(value)  # raises an error if it is of another type
    return typed


def _parsed(types: Mapping[str, str], texts: Mapping[str, str]) -> Mapping[str, Any]:
    if not texts:
        return {}
    keys = tuple((name, types[name]) for name in texts)
    # A layout must have a field; only its keys are used here.
    return parse_key_text(Layout(keys=keys, fields=(Field("any", "bool"),)), texts)
