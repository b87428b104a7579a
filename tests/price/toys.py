"""All toys, one for each kind of change that ARCHITECTURE.md gives a price."""

from __future__ import annotations

from tests.price import aggregate

TOYS = (aggregate.TOY,)
