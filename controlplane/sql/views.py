"""The SQL of one feature view, rendered from the templates in `dag_templates/sql`.

`sql.statements` describes the format. The variables of a run stay open in the text, in Airflow's
delimiters: `plane.start` and `plane.end` (the interval), `plane.read_start` (the start of its
data), `plane.stage` (the stage's name) and `plane.run_id`.
"""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.manifest.specs import Manifest, ViewSpec
from controlplane.sql.extents import Extent
from controlplane.sql.view_context import ViewContext

# `doors` is an old name of the public views: releases of earlier versions of controlplane still run
# after an upgrade, and have a file of this name.
TASKS = ("stage", "check", "publish", "unstage", "sync", "doors")
"""The files that runs execute."""
FILES = ("setup", *TASKS)


@dataclass(frozen=True)
class ViewSql:
    """The texts of one view, by the names of `FILES`."""

    setup: str
    stage: str
    check: str
    publish: str
    unstage: str
    sync: str
    doors: str


def render_view(manifest: Manifest, view: ViewSpec) -> ViewSql:
    """Render all SQL of one view. Equal manifests give equal bytes."""
    v = ViewContext(manifest, view, Extent(), {})
    return ViewSql(**{name: v.render(name) for name in FILES})
