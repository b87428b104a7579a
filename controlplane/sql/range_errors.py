"""What a statement says that a value has stopped, in words: see `sql.ranges`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.errors import CheckFailed, Location, PermanentError
from controlplane.sql.ranges import END, MARK

HINT = (
    "int64 goes from -2**63 to 2**63 - 1, dates and timestamps from year 1 to year 9999: "
    "correct the rows, or cast or filter them in the view's SQL"
)
_SAID = re.compile(rf"{re.escape(MARK)}: (.*?){re.escape(END)}", re.DOTALL)


@contextmanager
def explained(what: str, where: Location | None = None) -> Iterator[None]:
    """Name what a statement computes in an error of the warehouse.

    Args:
        what: what is computed, such as a feature view.
        where: its place in the definitions.

    Raises:
        CheckFailed: a value is out of range; the message names it and its key.
        PermanentError: the warehouse's error, with `what` before it.
    """
    try:
        yield
    except PermanentError as error:
        if said := _SAID.search(error.message):
            text = f"{said[1]} is out of range: nothing was written"
            raise CheckFailed(text, where=where, hint=HINT) from None
        if what in error.message or type(error) is not PermanentError:
            raise
        raise PermanentError(
            f"{what}: {error.message}", where=error.where or where, hint=error.hint
        ) from None
