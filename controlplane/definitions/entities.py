"""Entities: what features describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controlplane.definitions.location import caller
from controlplane.errors import Location


@dataclass(frozen=True)
class Entity:
    """A thing that features describe, such as an airport, and the columns that identify it.

    Args:
        name: letters, digits and single underscores.
        keys: column name -> type (see `controlplane.base.types`), in order; no key may be
            null.
        owner: the person or team responsible for it, preferably an e-mail address.
        description: one sentence for other users.
    """

    name: str
    keys: Mapping[str, str] = field(kw_only=True)
    owner: str = field(kw_only=True)
    description: str = field(default="", kw_only=True)
    # Not compared: a definition stays equal when its line moves.
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)
