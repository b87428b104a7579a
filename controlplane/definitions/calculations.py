"""Calculations: features that are computed from other features of a service."""

from __future__ import annotations

from dataclasses import dataclass, field

from controlplane.definitions.location import caller
from controlplane.errors import Location


@dataclass(frozen=True)
class Calculation:
    """A feature from other features and request fields.

    `calculation` creates it. Its attributes are the arguments of that function.
    """

    name: str
    type: str
    expression: str
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)


def calculation(name: str, type: str, expression: str, *, description: str = "") -> Calculation:  # noqa: A002
    """Declare a feature computed from other features and request fields, in training and online.

    Add it to a feature service's `features`, together with the views that it needs.

    Args:
        name: the feature's name: letters, digits and single underscores.
        type: its type, which must be exactly the type of the expression (see
            `controlplane.base.types`).
        expression: SQL on one row, in the warehouse's dialect, over features of the service by
            their full names `view__feature`, over fields of its request, and over calculations that
            precede it in the service.
        description: one sentence for other users.
    """
    return Calculation(name, type, expression, description=description)
