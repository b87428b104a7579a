"""Checks for values outside their canonical types, which are narrower than a warehouse's types.

Snowflake's integers have 38 digits, and DuckDB's times may be infinite. Out-of-range values of a
stage are counted before anything is published. Values that are computed after that, or inside one
statement, stop the statement (see `checked`); `sql.range_errors` turns its message into an error.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from controlplane.base.types import FIRST, LAST, is_list, item_type
from controlplane.manifest.specs import Column
from controlplane.sql.dialects import Dialect

INT64 = (-(2**63), 2**63 - 1)
# A warehouse wraps the message in its own text: the two marks tell where it begins and ends.
MARK = "value out of range"
"""Begins the message of a statement that `checked` has stopped; `END` ends it."""
END = "(end)"


class Owner(msgspec.Struct, frozen=True):
    """The owner of computed values in errors: a label such as `feature view 'x'`, and its keys."""

    label: str
    keys: tuple[Column, ...] = ()


class Staged(msgspec.Struct, frozen=True):
    """A column of a stage: its label in errors, its quoted name, and its type."""

    label: str
    column: str
    type: str


def outside(x: str, canonical: str, d: Dialect) -> str:
    """Render the condition that a value is outside its canonical type.

    Empty where the warehouse's type is as narrow as the canonical one.
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


def checked(x: str, canonical: str, label: str, owner: Owner, d: Dialect, wrong: str = "") -> str:
    """Render a value in its canonical type, or an error that names the value and its key.

    Args:
        x: the value, perhaps of a wider type.
        canonical: the type that it must have.
        label: the value's name in the error.
        owner: the owner of the value.
        d: the dialect.
        wrong: the condition that the value is out of range (default: `outside`).
    """
    wrong = wrong or outside(x, canonical, d)
    if not wrong:
        return d.cast(x, canonical)
    message = message_sql(f"{owner.label}, {label}", shown(x, canonical, d), owner.keys, d)
    return f"CASE WHEN {wrong} THEN {d.failing(message, canonical)} ELSE {d.cast(x, canonical)} END"


def whole(x: str, canonical: str, label: str, owner: Owner, d: Dialect) -> str:
    """Render a whole number like `checked`.

    Empty for other types, and where the warehouse's integers have 64 bits.
    """
    wide = d.wide_integers and canonical.endswith(("int64", "int64>"))
    return checked(x, canonical, label, owner, d) if wide else ""


def message_sql(label: str, value: str, keys: Sequence[Column], d: Dialect) -> str:
    """Render the message, as SQL, that stops a statement."""
    parts = [d.text(f"{MARK}: {label}: "), value]
    for index, (name, key_type) in enumerate(keys):
        separator = ", " if index else " for "
        parts += [d.text(f"{separator}{name} = "), shown(d.quote(name), key_type, d)]
    return " || ".join([*parts, d.text(END)])


def shown(x: str, canonical: str, d: Dialect) -> str:
    """Render a value as text for a message."""
    if is_list(canonical):
        return d.text("an item of a list")
    return (
        f"coalesce({d.hex(x) if canonical == 'binary' else d.cast(x, 'string')}, {d.text('null')})"
    )


def counted(columns: Sequence[Staged], keys: Sequence[Column], d: Dialect) -> str:
    """Render an aggregate that describes the out-of-range values of a stage's columns.

    Its value is a text for people, empty where all values are in range.
    """
    parts = []
    for column in columns:
        wrong = outside(column.column, column.type, d)
        if wrong:
            rows = d.filtered("count", "1", wrong)
            key = " || ', ' || ".join(
                f"{d.text(f'{n} = ')} || {shown(d.quote(n), key_type, d)}" for n, key_type in keys
            )
            value = shown(column.column, column.type, d)
            sample = d.filtered("min", f"{value} || {d.text(' for ')} || {key}", wrong)
            label, example = d.text(f"{column.label} ({column.type}) in "), " rows, such as "
            text = f"{label} || {d.cast(rows, 'string')} || {d.text(example)}"
            parts.append(
                f"CASE WHEN {rows} > 0 THEN {text} || {sample} || {d.text('; ')} ELSE '' END"
            )
    return " || ".join(parts) or "''"
