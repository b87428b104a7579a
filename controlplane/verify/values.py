"""Converts the values of a query's rows to Python, including those beyond Python's calendar.

Timestamps become whole microseconds since the epoch, which have no limit. A date before year 1 or
after year 9999 becomes the first or the last date of Python.
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
"""The microseconds of an infinite timestamp; those of minus infinity have the other sign."""
_UNITS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}
"""The factor and the divisor that turn each unit of Arrow's timestamps into microseconds."""
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FIRST, _LAST = date.min.toordinal() - _EPOCH_DAY, date.max.toordinal() - _EPOCH_DAY
_FIRST_MICROS = micros(datetime.min)  # noqa: DTZ901 - naive is UTC here
_LAST_MICROS = micros(datetime.max)  # noqa: DTZ901


def fetched(warehouse: Warehouse, query: str, label: str) -> Iterator[dict[str, Any]]:
    """Yield a query's rows, batch by batch; timestamps as microseconds since the epoch.

    Args:
        warehouse: runs the query.
        query: one SELECT.
        label: the project, the environment and the view, for the query's tag.
    """
    for batch in warehouse.fetch(query, tag=f"plane:{label}/verify"):
        names = batch.schema.names
        for row in zip(*columns(batch), strict=True):
            yield dict(zip(names, row, strict=True))


def columns(batch: pa.RecordBatch) -> list[list[Any]]:
    """Return the values of each column of a batch; timestamps as microseconds since the epoch."""
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
        # Arrow's own conversion of a list fails for an item that a datetime can't hold.
        items = iter(_values(column.flatten()))
        lengths = column.value_lengths().to_pylist()
        return [
            None if length is None else [next(items) for _ in range(length)] for length in lengths
        ]
    return list(column.to_pylist())


def _date(day: int) -> date:
    return date.fromordinal(min(max(day, _FIRST), _LAST) + _EPOCH_DAY)


def plain(value: Any) -> Any:  # noqa: ANN401 - values are of any type
    """Turn timestamps into microseconds since the epoch, in lists too; keep all other values."""
    if isinstance(value, datetime):
        return micros(value)
    return [plain(item) for item in value] if isinstance(value, list) else value


def instant(count: int) -> datetime | str:
    """Turn microseconds since the epoch into a datetime, or into words if Python can't hold it."""
    if representable(count):
        return from_micros(count)
    if abs(count) == INFINITY:
        return "infinity" if count > 0 else "-infinity"
    return f"{'after the year 9999' if count > 0 else 'before the year 1'} ({count} us from 1970)"


def shown(value: Any, value_type: str) -> Any:  # noqa: ANN401 - values are of any type
    """Turn a value of a canonical type into what users know: microseconds become datetimes."""
    if isinstance(value, list):
        return [shown(item, item_type(value_type)) for item in value]
    return instant(value) if value_type == "timestamp" and isinstance(value, int) else value


def representable(count: int) -> bool:
    """Return whether a datetime can hold a number of microseconds since the epoch."""
    return _FIRST_MICROS <= count <= _LAST_MICROS
