"""The errors of statements that an out-of-range value stopped, for users; see `sql.ranges`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.errors import CheckFailed, Location, PermanentError
from controlplane.sql.ranges import END, MARK

HINT = (
    "int64 holds -2**63 to 2**63 - 1, dates and timestamps hold year 1 to year 9999: "
    "correct the rows, or cast or filter them in the view's SQL"
)
_SAID = re.compile(rf"{re.escape(MARK)}: (.*?){re.escape(END)}", re.DOTALL)


@contextmanager
def explained(subject: str, where: Location | None = None) -> Iterator[None]:
    """Name the subject of a statement in an error of the warehouse.

    Args:
        subject: the object that the statement computes, such as a feature view.
        where: its location in the definitions.

    Raises:
        CheckFailed: a value is out of range; the message names it and its key.
        PermanentError: the warehouse's error, after the subject.
    """
    try:
        yield
    except PermanentError as error:
        if said := _SAID.search(error.message):
            text = f"{said[1]} is out of range: nothing was written"
            raise CheckFailed(text, where=where, hint=HINT) from None
        # A subclass, such as `CheckFailed`, has been made for users already.
        if subject in error.message or type(error) is not PermanentError:
            raise
        raise PermanentError(
            f"{subject}: {error.message}", where=error.where or where, hint=error.hint
        ) from None
