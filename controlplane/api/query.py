"""Read rows of the environment's warehouse."""

from __future__ import annotations

from controlplane.api.rows import Rows, Source
from controlplane.compile import transformation
from controlplane.errors import PermanentError, PlaneError
from controlplane.workspace.project import Project

_DESCRIBES = ("DESC", "DESCRIBE", "SHOW", "SUMMARIZE")
_CATALOGUE = (
    'read the catalogue, as in "SELECT * FROM information_schema.columns", or run `plane describe`'
)


def query(project: Project, sql: str) -> Rows:
    """See `ControlPlane.query`."""
    dialect = project.environment.dialect
    try:
        transformation.check_reads_only(sql, dialect)
    except ValueError as error:
        first, *_ = [*sql.upper().split(), ""]
        hint = _CATALOGUE if first in _DESCRIBES else "write one SELECT, which changes nothing"
        raise PlaneError(f"the query can't be run: {error}", hint=hint) from None
    # Without a semicolon or a comment at its end, the query can be a part of another statement.
    source = Source(project.warehouse, transformation.one_statement(sql, dialect), "query")
    try:
        source.columns  # noqa: B018 - asks the warehouse, so that an error shows here
    except PermanentError as error:
        text = f"the warehouse refuses the query: {error.message}"
        raise PlaneError(text, hint=error.hint) from None
    return Rows(source)
