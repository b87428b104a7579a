"""The paths of a view's files in a release, relative to the release's folder."""

from __future__ import annotations


def dag_path(view: str) -> str:
    """Return the path of the view's DAG."""
    return f"{view}.py"


def program_path(view: str) -> str:
    """Return the path of the view's program."""
    return f"{view}.json"


def sql_path(view: str, name: str) -> str:
    """Return the path of one of the view's SQL files, whose names are `FILES` of `sql.views`."""
    return f"sql/{view}.{name}.sql"
