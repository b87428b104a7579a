"""Identifiers: exact and case-sensitive as in Snowflake, in a DuckDB that knows names without
regard to case.

A name with small letters is kept with the places of its small letters behind it, so that no two
differ in case alone.
"""

from __future__ import annotations

import re

from sqlglot import exp

MARK = "¦"


def stored(name: str) -> str:
    """The name that DuckDB keeps for an exact one."""
    small = sum(1 << place for place, letter in enumerate(name) if letter.islower())
    return f"{name}{MARK}{small:x}" if small else name


def readable(text: str) -> str:
    """A text of DuckDB's with the exact names in it."""
    return re.sub(f"{MARK}[0-9a-f]+", "", text)


def exact(identifier: exp.Identifier) -> str:
    """What an identifier names: in capitals unless it is quoted."""
    name: str = identifier.this
    return name if identifier.args.get("quoted") else name.upper()


def store_all(tree: exp.Expr) -> None:
    """Replace every identifier by the one that DuckDB keeps.

    An object's keys are texts, and stay.
    """
    for identifier in tree.find_all(exp.Identifier):
        if isinstance(identifier.parent, exp.PropertyEQ):
            continue
        identifier.set("this", stored(exact(identifier)))
        identifier.set("quoted", True)


def quoted(*parts: str) -> str:
    """Exact names as a path in DuckDB's SQL."""
    return ".".join('"' + stored(part).replace('"', '""') + '"' for part in parts)
