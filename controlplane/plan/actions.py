"""The changes that a plan may hold: a closed union of frozen data.

`kind` is the tag of their JSON form.
"""

from __future__ import annotations

import msgspec

from controlplane.control.drift import Damage


class Change(msgspec.Struct, frozen=True):
    """One changed property, in words: its name, and what it was and becomes."""

    name: str
    before: str
    after: str


class CreateView(msgspec.Struct, frozen=True, tag_field="kind", tag="create_view"):
    """A feature view appears: its tables are created."""

    view: str
    fingerprint: str
    features: tuple[str, ...]


class RedefineView(msgspec.Struct, frozen=True, tag_field="kind", tag="redefine_view"):
    """A view's values change: a new version is computed beside the old one, which shows until the
    new is complete."""

    view: str
    before: str
    after: str
    changes: tuple[Change, ...]


class UpdateView(msgspec.Struct, frozen=True, tag_field="kind", tag="update_view"):
    """A view changes in a way that leaves its values alone, such as its owner."""

    view: str
    changes: tuple[Change, ...]


class DropView(msgspec.Struct, frozen=True, tag_field="kind", tag="drop_view"):
    """A view is no longer declared: its DAG and the users' views go, its tables stay."""

    view: str
    fingerprint: str


class CreateService(msgspec.Struct, frozen=True, tag_field="kind", tag="create_service"):
    """A feature service appears."""

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
    """Nothing that is declared changes, but the files that would be written do: settings, or
    another version of controlplane."""

    before: str
    after: str


class Repair(msgspec.Struct, frozen=True, tag_field="kind", tag="repair"):
    """Objects that were deployed are missing or altered: they are made again.

    `view` is empty for what all views share. `dropped` are altered tables, which are dropped first;
    with `recomputed` the version's intervals are computed again by the next run.
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
