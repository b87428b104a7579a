"""Reads Spark's estimates for a query from the text of `EXPLAIN COST`."""

from __future__ import annotations

import re

from controlplane.base.ports import Estimate

_STATISTICS = re.compile(
    r"Statistics\(sizeInBytes=([\d.E+]+) ([KMGTPE]?)i?B(?:, rowCount=([\d.E+]+))?"
)
_TABLE = re.compile(r"\bRelation(V2)?\b")
_UNITS = {unit: 1024**power for power, unit in enumerate(["", "K", "M", "G", "T", "P"])}
"""Spark writes an unknown size as a huge number, in a larger unit than these."""


def estimated(plan: str) -> Estimate:
    """Return a plan's estimates: the rows of its result, and the bytes of its tables."""
    _, _, optimized = plan.partition("== Optimized Logical Plan ==\n")
    lines = optimized.partition("\n== ")[0].splitlines()
    result = _STATISTICS.search(lines[0]) if lines else None
    tables = [_size(line) for line in lines if _TABLE.search(line)]
    known = [size for size in tables if size is not None]
    return Estimate(
        rows=int(float(result[3])) if result and result[3] else None,
        read_bytes=sum(known) if known and len(known) == len(tables) else None,
    )


def _size(line: str) -> int | None:
    size = _STATISTICS.search(line)
    return int(float(size[1]) * _UNITS[size[2]]) if size and size[2] in _UNITS else None
