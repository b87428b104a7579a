"""The changes that a plan may hold: a closed union of frozen data.

`kind` is the tag of their JSON form.
"""

from __future__ import annotations

import msgspec

from controlplane.control.drift import Damage

ONLINE_STORE = "Redis"
"""The name of the damaged object in damages of the online store."""


class Change(msgspec.Struct, frozen=True):
    """One changed property, in words: its name, its old value and its new value."""

    name: str
    before: str
    after: str


# `cli.plans` reads a tag as a verb and a noun; a tag without a noun concerns the whole release.
class CreateView(msgspec.Struct, frozen=True, tag_field="kind", tag="create_view"):
    """A feature view is new: its tables are created."""

    view: str
    fingerprint: str
    features: tuple[str, ...]


class RedefineView(msgspec.Struct, frozen=True, tag_field="kind", tag="redefine_view"):
    """A view's values change: a new version is computed.

    The public views show the old version until the new one is complete.
    """

    view: str
    before: str
    after: str
    changes: tuple[Change, ...]


class UpdateView(msgspec.Struct, frozen=True, tag_field="kind", tag="update_view"):
    """A property of a view changes that doesn't affect its values, such as its owner."""

    view: str
    changes: tuple[Change, ...]


class DropView(msgspec.Struct, frozen=True, tag_field="kind", tag="drop_view"):
    """A view is no longer declared: its DAG and public views are removed, its tables stay."""

    view: str
    fingerprint: str


class CreateService(msgspec.Struct, frozen=True, tag_field="kind", tag="create_service"):
    """A feature service is new."""

    service: str
    features: tuple[str, ...]


class UpdateService(msgspec.Struct, frozen=True, tag_field="kind", tag="update_service"):
    """A feature service changes."""

    service: str
    changes: tuple[Change, ...]


class DropService(msgspec.Struct, frozen=True, tag_field="kind", tag="drop_service"):
    """A feature service is no longer declared."""

    service: str


class Rerender(msgspec.Struct, frozen=True, tag_field="kind", tag="rerender"):
    """Only the release's files change: by new settings, or another version of controlplane."""

    before: str
    after: str


class Repair(msgspec.Struct, frozen=True, tag_field="kind", tag="repair"):
    """Deployed objects are missing or altered: they are created again.

    `view` is empty for objects that all views share. `dropped` are altered tables, which are
    dropped first. With `recomputed`, the next run computes the version's intervals again.
    """

    view: str
    fingerprint: str
    damages: tuple[Damage, ...]
    dropped: tuple[str, ...] = ()
    recomputed: bool = False


Action = (
    CreateView
    | RedefineView
    | UpdateView
    | DropView
    | CreateService
    | UpdateService
    | DropService
    | Rerender
    | Repair
)
