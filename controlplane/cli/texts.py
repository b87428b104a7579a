"""Values and messages as text for a terminal."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from controlplane.base.types import format_instant


def printable(text: str, kept: str = "") -> str:
    r"""Escape the characters that are not printed, such as `\n` or `\x1b`.

    A terminal would obey them: a value of the warehouse could hide lines, or break a table.

    Args:
        text: may contain values of the warehouse.
        kept: the characters to leave as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in kept or unicodedata.category(c) == "Zs" else _escaped(c)
        for c in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def written(value: object) -> str:
    """Return a value as text for a line or a table."""
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return (
        "null"
        if value is None
        else format_instant(value)
        if isinstance(value, datetime)
        else printable(str(value))
    )
