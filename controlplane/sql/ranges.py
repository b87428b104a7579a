"""Values that their types don't hold: a warehouse's own types are wider than ours.

Snowflake's integers have 38 digits, and DuckDB's times may be infinite. What a run stages is
counted before anything is published; what is computed behind that, or inside one statement, stops
the statement (see `checked`). What such a statement says is put into words by `sql.range_errors`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from controlplane.base.types import FIRST, LAST, is_list, item_type
from controlplane.manifest.specs import Column
from controlplane.sql.dialects import Dialect

INT64 = (-(2**63), 2**63 - 1)
MARK = "value out of range"
"""Begins what a statement says that `checked` has stopped; `END` ends it."""
END = "(end)"


class Owner(msgspec.Struct, frozen=True):
    """Whose values are computed: a view's name, or a service's in words, and its keys."""

    what: str
    keys: tuple[Column, ...] = ()


class Staged(msgspec.Struct, frozen=True):
    """A column of a stage: what a user calls it, its quoted name, and its type."""

    label: str
    column: str
    type: str


def outside(x: str, canonical: str, d: Dialect) -> str:
    """The condition that a value lies outside its type.

    Empty where the warehouse's type holds no more than ours.
    """
    if is_list(canonical):
        inside = outside("item", item_type(canonical), d)
        return d.any_item(x, "item", inside) if inside else ""
    if canonical == "int64" and d.wide_integers:
        return f"({x} < {INT64[0]} OR {x} > {INT64[1]})"
    if canonical == "timestamp":
        return f"({x} < {d.instant(FIRST)} OR {x} > {d.instant(LAST)})"
    if canonical == "date":
        first, last = (
            d.cast(d.text(moment.date().isoformat()), "date") for moment in (FIRST, LAST)
        )
        return f"({x} < {first} OR {x} > {last})"
    return ""


def checked(x: str, canonical: str, what: str, owner: Owner, d: Dialect, wrong: str = "") -> str:
    """The value in its type, or an error that names it and its key.

    Args:
        x: the value, perhaps of a wider type.
        canonical: the type that it must have.
        what: what a user calls the value.
        owner: whose it is.
        d: the dialect.
        wrong: the condition that it lies outside its type; `outside` unless given.
    """
    wrong = wrong or outside(x, canonical, d)
    if not wrong:
        return d.cast(x, canonical)
    message = said(f"{owner.what}, {what}", shown(x, canonical, d), owner.keys, d)
    return f"CASE WHEN {wrong} THEN {d.failing(message, canonical)} ELSE {d.cast(x, canonical)} END"


def whole(x: str, canonical: str, what: str, owner: Owner, d: Dialect) -> str:
    """A whole number as `checked` has it; empty for other types and where integers have 64 bits."""
    wide = d.wide_integers and canonical.endswith(("int64", "int64>"))
    return checked(x, canonical, what, owner, d) if wide else ""


def said(what: str, value: str, keys: Sequence[Column], d: Dialect) -> str:
    """The text, in SQL, with which a statement is stopped."""
    parts = [d.text(f"{MARK}: {what}: "), value]
    for place, (name, kind) in enumerate(keys):
        parts += [d.text(f"{', ' if place else ' for '}{name} = "), shown(d.quote(name), kind, d)]
    return " || ".join([*parts, d.text(END)])


def shown(x: str, canonical: str, d: Dialect) -> str:
    """A value as a text in SQL."""
    if is_list(canonical):
        return d.text("an item of a list")
    return (
        f"coalesce({d.hex(x) if canonical == 'binary' else d.cast(x, 'string')}, {d.text('null')})"
    )


def counted(columns: Sequence[Staged], keys: Sequence[Column], d: Dialect) -> str:
    """Aggregate: what lies outside the types of a stage's columns, as a text for people.

    Empty where nothing does.
    """
    parts = []
    for one in columns:
        wrong = outside(one.column, one.type, d)
        if wrong:
            rows = d.filtered("count", "1", wrong)
            key = " || ', ' || ".join(
                f"{d.text(f'{n} = ')} || {shown(d.quote(n), kind, d)}" for n, kind in keys
            )
            sample = d.filtered(
                "min", f"{shown(one.column, one.type, d)} || {d.text(' for ')} || {key}", wrong
            )
            text = (
                f"{d.text(f'{one.label} ({one.type}) in ')} || {d.cast(rows, 'string')} ||"
                f" {d.text(' rows, such as ')}"
            )
            parts.append(
                f"CASE WHEN {rows} > 0 THEN {text} || {sample} || {d.text('; ')} ELSE '' END"
            )
    return " || ".join(parts) or "''"
