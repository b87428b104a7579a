"""A column of a table that programs in other languages read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Column(NamedTuple):
    """A column: its name, its canonical type, whether it may be null, and what else is said of
    it."""

    name: str
    type: str
    nullable: bool
    metadata: Mapping[str, str] = {}
