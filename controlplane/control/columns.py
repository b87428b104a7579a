"""What differs between a table's columns as they were made and as the catalogue has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

Catalogue = Mapping[str, Mapping[str, str] | None]
"""Table -> its columns and their types in order; None: it is missing."""


def differences(expected: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Say how a table's columns differ from what was made; empty if they don't.

    Args:
        expected: name -> type, in order.
        columns: the same, as the warehouse has them.
    """
    if [*expected.items()] == [*columns.items()]:
        return ""
    problems = []
    for name, kind in expected.items():
        if name not in columns:
            problems.append(f"has lost its column {name}")
        elif columns[name] != kind:
            problems.append(f"has column {name} of type {columns[name]} instead of {kind}")
    problems += [f"has another column, {name}" for name in columns if name not in expected]
    return ", ".join(problems) or "has its columns in another order"
