"""Show the SQL that a deploy would render for a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.base.ports import Statement
from controlplane.errors import PlaneError
from controlplane.sql import statements
from controlplane.sql.views import FILES, render_view
from controlplane.workspace.compiling import compile_project
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class ViewStatement:
    """A statement of a view: its task, its name, its text with the variables of a run open."""

    task: str
    name: str
    sql: str


def sql(project: Project, view: str, statement: str | None = None) -> list[ViewStatement]:
    """See `ControlPlane.sql`."""
    manifest = compile_project(project)
    rendered = render_view(manifest, manifest.view(view))
    every = [
        ViewStatement(task, parsed.name, parsed.sql)
        for task in FILES
        for parsed in _parsed(getattr(rendered, task))
    ]
    if statement is None:
        return every
    chosen = [s for s in every if statement in (s.task, s.name)]
    if not chosen:
        names = dict.fromkeys(name for s in every for name in (s.task, repr(s.name)))
        raise PlaneError(
            f"feature view {view!r} has no statement {statement!r}",
            hint=f"choose from: {', '.join(names)}",
        )
    return chosen


def _parsed(text: str) -> Sequence[Statement]:
    # The file of a sync is one query, to which each sync adds its conditions.
    return statements.read(text) or [Statement("read the newest rows", text.strip(), "select")]
