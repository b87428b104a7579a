"""The errors of statements that an out-of-range value stopped, for users; see `sql.ranges`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from controlplane.errors import CheckFailed, Location, PermanentError
from controlplane.manifest.functions import DIGITS, sum_fits
from controlplane.manifest.specs import ViewSpec
from controlplane.sql.ranges import END, MARK

HINT = (
    "int64 holds -2**63 to 2**63 - 1, dates and timestamps hold year 1 to year 9999: "
    "correct the rows, or cast or filter them in the view's SQL"
)
_TOO_LONG = (
    "cast the column to float64 or to a decimal of fewer digits in the view's SQL, or filter the"
    " rows there"
)
# What DuckDB, Spark and Snowflake say of a sum that their widest decimal does not hold.
_OVERFLOW = re.compile(
    r"Overflow in (?:HUGEINT addition|SUM of DECIMAL|sum of decimals)"
    r"|Number out of representable range: type FIXED"
)
_SAID = re.compile(rf"{re.escape(MARK)}: (.*?){re.escape(END)}", re.DOTALL)


def long_sums(view: ViewSpec) -> tuple[str, ...]:
    """Return the names of the features whose sums may be too long for any decimal."""
    return tuple(
        aggregate.name
        for aggregate in view.aggregates
        if aggregate.function == "sum"
        and aggregate.column_type is not None
        and not sum_fits(aggregate.column_type)
    )


@contextmanager
def explained(
    subject: str, where: Location | None = None, long_sums: Sequence[str] = ()
) -> Iterator[None]:
    """Name the subject of a statement in an error of the warehouse.

    Args:
        subject: the object that the statement computes, such as a feature view.
        where: its location in the definitions.
        long_sums: the features that the statement computes whose sums may be too long. No
            warehouse names the column of such a sum.

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
        if long_sums and _OVERFLOW.search(error.message):
            names = " or ".join(repr(name) for name in long_sums)
            text = f"{subject}: the sum of feature {names} has more than {DIGITS} digits"
            raise PermanentError(text, where=where, hint=_TOO_LONG) from None
        # A subclass, such as `CheckFailed`, has been made for users already.
        if subject in error.message or type(error) is not PermanentError:
            raise
        raise PermanentError(
            f"{subject}: {error.message}", where=error.where or where, hint=error.hint
        ) from None
