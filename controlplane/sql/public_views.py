"""What users' views say of themselves, and who may read them."""

from __future__ import annotations

from controlplane.base import naming
from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified


class Doors:
    """The users' views of one feature view, as the template sees them.

    Attributes:
        comment: a literal: the description, the owner, the tags, and where it is defined.
        readable: statements that let the environment's readers read, as names with SQL.
    """

    def __init__(self, manifest: Manifest, view: ViewSpec) -> None:
        d = dialect(manifest.dialect)
        self._d, self._view = d, view
        tags = ", ".join(f"{name}={value}" for name, value in view.tags.items())
        said = [
            view.description or view.name,
            f"owner: {view.owner}",
            *([f"tags: {tags}"] if tags else []),
        ]
        self.comment = self._text(" | ".join([*said, f"defined at {view.location}"]))
        self.readable: list[tuple[str, str]] = []
        if role := manifest.reader_role:
            doors = [
                qualified(d, manifest.schema, naming.public_view(view.name, part))
                for part in ("", *naming.PARTS)
            ]
            self.readable = list(d.readable(d.quote(manifest.schema), doors, role).items())

    def comments(self, *ours: str) -> dict[str, str]:
        """The columns of a users' view in order, each with its comment, empty where there is none.

        `ours` stand between the keys and the features.
        """
        d, view = self._d, self._view
        features = {
            d.quote(one.name): self._text(one.description) if one.description else ""
            for one in view.features
        }
        return {**dict.fromkeys((*(d.quote(name) for name, _ in view.keys), *ours), ""), **features}

    def _text(self, said: str) -> str:
        """A literal in one line, in which Airflow finds nothing to fill in."""
        return self._d.text(" ".join(said.split()).replace("{", "{ ").replace("{  ", "{ "))
