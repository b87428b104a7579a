"""Find times in Arrow columns that Python's dates can't hold.

For such a time, `to_pylist` raises an error that does not name the column.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from controlplane.base.types import EPOCH, FIRST, LAST, micros


def endless(column: pa.Array) -> int:
    """Count the times, also in lists, that are infinite or outside the years 1 to 9999."""
    if pa.types.is_list(column.type):
        return endless(column.flatten())
    if pa.types.is_timestamp(column.type):
        numbers, bounds = (
            column.cast(pa.timestamp("us")).cast(pa.int64()),
            (micros(FIRST), micros(LAST)),
        )
    elif pa.types.is_date32(column.type):
        numbers, bounds = column.cast(pa.int32()), ((FIRST - EPOCH).days, (LAST - EPOCH).days)
    else:
        return 0
    outside = pc.or_(pc.less(numbers, bounds[0]), pc.greater(numbers, bounds[1]))
    return pc.sum(outside).as_py() or 0
