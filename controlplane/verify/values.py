"""Values of a query's rows as Python has them, those that its own dates and times can't hold too.

Timestamps become whole microseconds since the epoch, which have no end. A date beyond Python's
calendar becomes the nearest one that it knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from controlplane.base.ports import Warehouse
from controlplane.base.types import from_micros, item_type, micros

if TYPE_CHECKING:
    import pyarrow as pa

INFINITY = 2**63 - 1
"""What an infinite timestamp is in microseconds; the one before all others has the other sign."""
_UNITS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""By what a number of an Arrow timestamp's unit is multiplied and divided for microseconds."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST, _LAST = date.min.toordinal() - _EPOCH_DAY, date.max.toordinal() - _EPOCH_DAY
_FIRST_MICROS = micros(datetime.min)  # noqa: DTZ901 - naive is UTC here
_LAST_MICROS = micros(datetime.max)  # noqa: DTZ901


def fetched(warehouse: Warehouse, query: str, label: str) -> Iterator[dict[str, Any]]:
    """A query's rows, batch after batch; timestamps as microseconds since the epoch.

    Args:
        warehouse: it is asked.
        query: one SELECT.
        label: names the project, the environment and the view in the query's tag.
    """
    for batch in warehouse.fetch(query, tag=f"plane:{label}/verify"):
        names = batch.schema.names
        for row in zip(*columns(batch), strict=True):
            yield dict(zip(names, row, strict=True))


def columns(batch: pa.RecordBatch) -> list[list[Any]]:
    """The values of each column of a batch; timestamps as microseconds since the epoch."""
    return [_values(column) for column in batch.columns]


def _values(column: pa.Array) -> list[Any]:
    name = str(column.type)
    if name.startswith("timestamp["):
        # Not by way of datetimes, which end with the year 9999.
        up, down = _UNITS[name.removeprefix("timestamp[").partition(",")[0].rstrip("]")]
        return [None if n is None else n * up // down for n in column.cast("int64").to_pylist()]
    if name.startswith("date32"):
        return [None if day is None else _date(day) for day in column.cast("int32").to_pylist()]
    if name.startswith(("list<", "large_list<")):
        items = iter(_values(column.flatten()))
        lengths = column.value_lengths().to_pylist()
        return [
            None if length is None else [next(items) for _ in range(length)] for length in lengths
        ]
    return list(column.to_pylist())


def _date(day: int) -> date:
    return date.fromordinal(min(max(day, _FIRST), _LAST) + _EPOCH_DAY)


def plain(value: Any) -> Any:  # noqa: ANN401 - values are of any type
    """Timestamps as microseconds since the epoch, in lists too; everything else as it is."""
    if isinstance(value, datetime):
        return micros(value)
    return [plain(item) for item in value] if isinstance(value, list) else value


def instant(count: int) -> datetime | str:
    """A number of microseconds as the user knows it.

    Words for an instant that Python can't hold.
    """
    if representable(count):
        return from_micros(count)
    if abs(count) == INFINITY:
        return "infinity" if count > 0 else "-infinity"
    return f"{'after the year 9999' if count > 0 else 'before the year 1'} ({count} us from 1970)"


def shown(value: Any, kind: str) -> Any:  # noqa: ANN401 - values are of any type
    """A value of a canonical type as the user knows it."""
    if isinstance(value, list):
        return [shown(item, item_type(kind)) for item in value]
    return instant(value) if kind == "timestamp" and isinstance(value, int) else value


def representable(count: int) -> bool:
    """Whether a datetime can hold a number of microseconds since the epoch."""
    return _FIRST_MICROS <= count <= _LAST_MICROS
