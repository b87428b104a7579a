"""The comments of public views, and the grants that let readers use them."""

from __future__ import annotations

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified


class PublicViews:
    """The public views of one feature view, as the template sees them.

    Attributes:
        comment: a literal: description, owner, tags, and location of the definition.
        readable: the grants to the environment's reader role, as names with SQL.
    """

    def __init__(self, manifest: Manifest, view: ViewSpec) -> None:
        d = dialect(manifest.dialect)
        self._d, self._view = d, view
        tags = ", ".join(f"{name}={value}" for name, value in view.tags.items())
        facts = [
            view.description or view.name,
            f"owner: {view.owner}",
            *([f"tags: {tags}"] if tags else []),
            f"defined at {view.location}",
        ]
        self.comment = self._text(" | ".join(facts))
        self.readable: list[tuple[str, str]] = []
        if role := manifest.reader_role:
            names = [
                qualified(d, manifest.schema, naming.public_view(view.name, part))
                for part in ("", *naming.PARTS)
            ]
            self.readable = list(d.readable(d.quote(manifest.schema), names, role).items())

    def comments(self, *time_columns: str) -> dict[str, str]:
        """Return the columns of a public view in order, each with its comment or an empty text.

        The time columns follow the keys and precede the features.
        """
        d, view = self._d, self._view
        keys = (d.quote(name) for name, _ in view.keys)
        features = {
            d.quote(feature.name): self._text(feature.description) if feature.description else ""
            for feature in view.features
        }
        return {**dict.fromkeys((*keys, *time_columns), ""), **features}

    def _text(self, comment: str) -> str:
        """Render a one-line literal in which Airflow finds no variable to fill in."""
        return self._d.text(" ".join(comment.split()).replace("{", "{ ").replace("{  ", "{ "))
