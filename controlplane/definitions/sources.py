"""Sources: the warehouse tables that feature views read, and the values of requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controlplane.definitions.expect import Expectation
from controlplane.definitions.location import caller
from controlplane.errors import Location


@dataclass(frozen=True)
class BatchSource:
    """A table or view that exists in the warehouse; it is read and never written.

    Args:
        name: the name in SQL, and the name of the parameter in the functions of feature views.
        table: `schema.table` (or `catalog.schema.table`) as the warehouse spells it.
        timestamp: column with the event time in UTC, or a SQL expression over one row, such as
            `local_ts AT TIME ZONE 'Asia/Tokyo'`: views see its value as the column `source_time`.
            A table without a timestamp is static, and each run reads it as a whole.
        prune_by: if the timestamp is an expression, the column by which the warehouse finds the
            rows of an interval: a date or timestamp within two days of the event time, or the
            number of seconds that the expression converts.
        lookback: how long before an interval a view also sees its rows, such as `7d`, or
            `unbounded`: for sources that are looked up, like the orders that a payment belongs to.
        settling_delay: such as `30m`: at x + this delay, all rows with an event time before x are
            in the table.
        expectations: conditions on its rows; every run checks the rows that it reads (see
            `expect`).
        owner: the person or team responsible for the table, if not the owner of the views.
        description: one sentence for other users.
    """

    name: str
    table: str = field(kw_only=True)
    timestamp: str | None = field(default=None, kw_only=True)
    prune_by: str | None = field(default=None, kw_only=True)
    # Durations stay text until they are compiled: a wrong one is then reported with its line, next
    # to all other problems. An exception here would end the import of the user's file.
    lookback: str = field(default="0s", kw_only=True)
    settling_delay: str = field(default="0s", kw_only=True)
    expectations: Sequence[Expectation] = field(default=(), kw_only=True)
    owner: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)


@dataclass(frozen=True)
class RequestSource:
    """The values that a caller sends with each read of a feature service.

    In a training set, they are columns of the spine.

    Args:
        name: letters, digits and single underscores.
        fields: name -> type; calculations of the service use these names.
        nullable: the fields that may be missing or null, which means the same; every other field
            needs a value.
        description: one sentence for other users.
    """

    name: str
    fields: Mapping[str, str] = field(kw_only=True)
    nullable: Sequence[str] = field(default=(), kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)
