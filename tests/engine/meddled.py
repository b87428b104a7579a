"""A warehouse to whose statements something happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from controlplane.base.ports import Statement, Warehouse
from controlplane.errors import TransientError


class Meddled:
    """A warehouse without transactions: each statement is run for itself.

    Args:
        warehouse: what runs them.
        alter: what is run in place of a statement: any number of them.
        last: how many statements are run; all that follow fail.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        alter: Callable[[Statement], Sequence[Statement]] = lambda statement: [statement],
        last: int | None = None,
    ) -> None:
        self._warehouse = warehouse
        self._alter = alter
        self._last = last
        self.names: list[str] = []

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """See `Warehouse.execute`."""
        counts = []
        for statement in statements:
            if len(self.names) == self._last:
                raise TransientError("stopped")
            self.names.append(statement.name)
            counts.append(self._warehouse.execute(self._alter(statement), tag=tag)[-1])
            if not statement.goes_on(counts[-1]):
                break
        return counts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)
