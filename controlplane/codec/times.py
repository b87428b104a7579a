"""Find and show times in Arrow columns that Python's dates can't hold.

For such a time, `to_pylist` raises an error that does not name the column.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.types import EPOCH, FIRST, LAST, micros

_A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_INFINITE = {"timestamp": 2**63 - 1, "date32": 2**31 - 1}
# After 400 years, the Gregorian calendar repeats itself. One such cycle begins in 2000.
_CYCLE, _CYCLE_DAYS, _CYCLE_START = 400, 146_097, 10_957


def endless(column: pa.Array) -> int:
    """Count the times, also in lists, that are infinite or outside the years 1 to 9999."""
    if pa.types.is_list(column.type):
        return endless(column.flatten())
    if pa.types.is_timestamp(column.type):
        a_second = _A_SECOND[column.type.unit]
        # 64 bits don't hold these years in nanoseconds, but the infinite times.
        finite = _INFINITE["timestamp"] - 1
        first, last = (micros(end) * a_second // 1_000_000 for end in (FIRST, LAST))
        numbers, bounds = column.cast(pa.int64()), (max(first, -finite), min(last, finite))
    elif pa.types.is_date32(column.type):
        numbers, bounds = column.cast(pa.int32()), ((FIRST - EPOCH).days, (LAST - EPOCH).days)
    else:
        return 0
    outside = pc.or_(pc.less(numbers, bounds[0]), pc.greater(numbers, bounds[1]))
    return pc.sum(outside).as_py() or 0


def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Convert a batch like `to_pylist`, but a time that Python can't hold to a text.

    The text is that of DuckDB, such as `infinity`, or `20000-01-01 00:00:00`.
    """
    try:
        if not any(map(endless, batch.columns)):
            return list(batch.to_pylist())
    except (OverflowError, ValueError):
        pass  # a structure contains such a time, or a time has nanoseconds
    columns = [[_plain(value) for value in column] for column in batch.columns]
    names = batch.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(value: pa.Scalar) -> Any:  # noqa: ANN401 - of any type
    if not value.is_valid:
        return None
    if pa.types.is_list(value.type):
        return [_plain(item) for item in value.values]
    if pa.types.is_struct(value.type):
        return {name: _plain(item) for name, item in value.items()}
    is_timestamp = pa.types.is_timestamp(value.type)
    if not is_timestamp and not pa.types.is_date32(value.type):
        return value.as_py()
    if abs(value.value) >= _INFINITE["timestamp" if is_timestamp else "date32"]:
        return "infinity" if value.value > 0 else "-infinity"
    try:
        return value.as_py()
    except (OverflowError, ValueError):
        return _timestamp_text(value) if is_timestamp else _date_text(value.value)


def _date_text(days: int) -> str:
    cycle, rest = divmod(days - _CYCLE_START, _CYCLE_DAYS)
    day = (EPOCH + timedelta(_CYCLE_START + rest)).date()
    year = day.year + cycle * _CYCLE
    # The year before 1 is 1 BC.
    return f"{year:04}-{day:%m-%d}" if year > 0 else f"{1 - year:04}-{day:%m-%d} (BC)"


def _timestamp_text(value: pa.TimestampScalar) -> str:
    a_second = _A_SECOND[value.type.unit]
    seconds, fraction = divmod(value.value, a_second)
    days, second = divmod(seconds, 86_400)
    time = (EPOCH + timedelta(seconds=second)).time()
    digits = str(a_second + fraction)[1:].rstrip("0")
    parts = (_date_text(days), f"{time}{'.' if digits else ''}{digits}")
    return " ".join(parts) + ("+00" if value.type.tz else "")
