"""Sources: the warehouse tables that feature views read, and what callers give with a request."""

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
        name: how feature views call it; also the name of their function's parameter.
        table: `schema.table` (or `catalog.schema.table`) as the warehouse spells it.
        timestamp: column with the event time in UTC, or a SQL expression over one row that gives
            it, such as `local_ts AT TIME ZONE 'Asia/Tokyo'`: views see its value as the column
            `source_time`. Without a timestamp the table is static and is re-read as a whole.
        prune_by: with an expression, the raw column by which the warehouse finds the rows of an
            interval: a date or timestamp within two days of the event time, or the number of
            seconds that the expression converts.
        lookback: how much before an interval a view also sees of this source, such as `7d`, or
            `unbounded`: for sources that are looked up, like the orders that a payment belongs to.
        settling_delay: rows with an event time before x have arrived by x + this, such as `30m`.
        expectations: what its rows must fulfil; every run that reads them checks those that it
            reads (see `expect`).
        owner: who answers for the table, if that is not the owner of the views that read it.
        description: one sentence for those who did not write it.
    """

    name: str
    table: str = field(kw_only=True)
    timestamp: str | None = field(default=None, kw_only=True)
    prune_by: str | None = field(default=None, kw_only=True)
    lookback: str = field(default="0s", kw_only=True)
    settling_delay: str = field(default="0s", kw_only=True)
    expectations: Sequence[Expectation] = field(default=(), kw_only=True)
    owner: str = field(default="", kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)


@dataclass(frozen=True)
class RequestSource:
    """What a caller gives with each read of a feature service, and the spine of a training set has
    as columns.

    Args:
        name: letters, digits and single underscores.
        fields: name -> type of each field; calculations of the service call it by this name.
        nullable: the fields that may be null, and are null where they are not given; of the others
            null is refused.
        description: one sentence for those who did not write it.
    """

    name: str
    fields: Mapping[str, str] = field(kw_only=True)
    nullable: Sequence[str] = field(default=(), kw_only=True)
    description: str = field(default="", kw_only=True)
    location: Location = field(default_factory=caller, init=False, compare=False, repr=False)
