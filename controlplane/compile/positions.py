"""Find the line of a user's file that a line of a view's SQL comes from."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path

from controlplane.definitions import BatchFeatureView
from controlplane.errors import Location


def position(view: BatchFeatureView, sql: str, line: int) -> Location:
    """Return the location of a line of a view's SQL; the view's own if that can't be known.

    Args:
        view: the definition.
        sql: its text, as `transformation.text_of` returns it.
        line: from 1; 0 if it is not known.
    """
    if view.sql_file is not None:
        return Location(str(Path(view.location.file).parent / view.sql_file), max(line, 1))
    if line < 1:
        return view.location
    try:
        lines, first = inspect.getsourcelines(view.transformation)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return view.location
    written = [
        node for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None
    ]
    if not written or written[-1].value is None:
        return view.location
    text = written[-1].value
    begins, height = text.lineno, (text.end_lineno or text.lineno) - text.lineno
    if sql.count("\n") == 0:
        return Location(view.location.file, first - 1 + begins)
    # A text in triple quotes usually begins with a line break, which `text_of` strips: then the SQL
    # begins one line below the quotes. Any other difference means that the text is computed.
    offset = height - sql.count("\n") - _closing(lines, text)
    if offset not in {0, 1}:
        return view.location
    return Location(view.location.file, first - 1 + begins + offset + line - 1)


def _closing(lines: list[str], text: ast.expr) -> int:
    """Return 1 if the closing quotes are on a line of their own, else 0."""
    last = lines[(text.end_lineno or text.lineno) - 1].strip()
    return 1 if last in {'"""', "'''", '""")', "''')"} else 0
