"""Read and write a manifest's JSON, as deployments and releases store it.

The JSON of earlier versions is migrated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from controlplane.errors import PlaneError
from controlplane.manifest.specs import FORMAT, Manifest


class _Head(msgspec.Struct):
    format: int = 1


def to_json(manifest: Manifest) -> str:
    """Write a manifest as JSON; equal manifests have equal texts."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2).decode()


def from_json(text: str) -> Manifest:
    """Read what `to_json` wrote, now or in an earlier version.

    Raises:
        PlaneError: the text is not a manifest, or a later version wrote it.
    """
    try:
        # Only the format at first: the rest may not fit the types of this version.
        form = msgspec.json.decode(text, type=_Head).format
        if form == FORMAT:
            return msgspec.json.decode(text, type=Manifest)
        if form > FORMAT:
            raise PlaneError(
                f"the recorded manifest has format {form}; this version of controlplane reads up to"
                f" {FORMAT}",
                hint="a later version deployed this project: install that version",
            )
        tree = msgspec.json.decode(text)
        # One format after the other: each migration knows only the next one.
        for number in range(form, FORMAT):
            tree = _MIGRATIONS[number](tree)
        return msgspec.convert(tree, type=Manifest)
    except msgspec.DecodeError as error:
        raise PlaneError(
            f"the recorded manifest can't be read: {error}",
            hint="the state store is damaged: restore it from a backup",
        ) from None


def _name_locations(manifest: Any) -> Any:  # noqa: ANN401 - JSON
    """Rename `place` of format 1, a file and a line, to `location`."""

    def named(tree: Any) -> Any:  # noqa: ANN401 - JSON
        match tree:
            case {"place": {"file": _, "line": _} as location, **others}:
                return {
                    "location": location,
                    **{key: named(value) for key, value in others.items()},
                }
            case dict():
                return {key: named(value) for key, value in tree.items()}
            case list():
                return [named(value) for value in tree]
            case _:
                return tree

    return {**named(manifest), "format": 2}


def _tag_views(manifest: Any) -> Any:  # noqa: ANN401 - JSON
    """Add the kind of each view: in format 2, a static view was a view without an event time."""

    def tagged(view: Any) -> Any:  # noqa: ANN401 - JSON
        match view:
            case {"timestamp": timestamp}:
                return {**view, "kind": "static" if timestamp is None else "batch"}
            case _:
                return view

    match manifest:
        case {"views": list(views)}:
            return {**manifest, "views": [tagged(view) for view in views], "format": 3}
        case _:
            return manifest


_MIGRATIONS: Mapping[int, Callable[[Any], Any]] = MappingProxyType(
    {1: _name_locations, 2: _tag_views}
)
"""From each earlier format to the next one."""
