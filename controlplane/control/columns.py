"""Compares a table's expected columns with those in the catalogue. No I/O is done here."""

from __future__ import annotations

from collections.abc import Mapping

Catalogue = Mapping[str, Mapping[str, str] | None]
"""Table -> its columns and their types in order; None if the table is missing."""


def differences(expected: Mapping[str, str], columns: Mapping[str, str]) -> str:
    """Say how a table's columns differ from the expected ones; empty if they don't.

    Args:
        expected: name -> type, in order.
        columns: name -> type in the warehouse, in order.
    """
    if [*expected.items()] == [*columns.items()]:
        return ""
    problems = []
    for name, column_type in expected.items():
        if name not in columns:
            problems.append(f"has lost its column {name}")
        elif columns[name] != column_type:
            problems.append(f"has column {name} of type {columns[name]} instead of {column_type}")
    problems += [f"has an additional column, {name}" for name in columns if name not in expected]
    # The order counts, too: some statements insert rows by position.
    return ", ".join(problems) or "has its columns in another order"
