"""A SQL text with several statements, each behind a line `-- @statement: <name>`, and back."""

from __future__ import annotations

from controlplane.base.ports import Statement

MARK = "-- @statement: "


def split(text: str) -> list[Statement]:
    """The statements of a rendered file, in order; what stands before the first mark is dropped."""
    statements: list[Statement] = []
    for part in ("\n" + text).split("\n" + MARK)[1:]:
        name, _, sql = part.partition("\n")
        statements.append(Statement(name.strip(), sql.strip().rstrip(";").rstrip()))
    return statements
