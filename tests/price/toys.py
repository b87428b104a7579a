"""All toys, one for each kind of change that ARCHITECTURE.md gives a price."""

from __future__ import annotations

from tests.price import aggregate, command, connector, expectation, window

TOYS = (aggregate.TOY, command.TOY, expectation.TOY, window.TOY, connector.TOY)
