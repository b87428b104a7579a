"""Says when an observed value agrees with the value by brute force."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from controlplane.verify.oracle import Row, RowFeature, WindowFeature, same

Agreement = Callable[[Any, Any], bool]
"""Whether an observed value agrees with an expected one."""
_EXACT_DISTINCT = 511
"""The largest number of distinct values that a sketch of 512 hashes counts exactly."""
# Far beyond the error of such a sketch, whose standard deviation is 4.4 %.
_SKETCH = 0.25


def agreement(feature: RowFeature | WindowFeature, rows: Sequence[Row]) -> Agreement:
    """Return the function that compares two values of a feature.

    Floats may differ by 1e-9 of the sum of their column's absolute values, since a warehouse adds
    them up in any order. Sketches may differ by their error.
    """
    if isinstance(feature, RowFeature):
        return same
    column = feature.column
    values = [row[column] for row in rows] if column is not None else []
    scale = sum(abs(value) for value in values if isinstance(value, float) and math.isfinite(value))
    sketched = feature.function == "approx_count_distinct" and not feature.lists_keys

    def agrees(observed: Any, expected: Any) -> bool:  # noqa: ANN401 - values of any type
        if isinstance(observed, list) and isinstance(expected, list):
            return len(observed) == len(expected) and all(map(agrees, observed, expected))
        counts = isinstance(expected, int) and isinstance(observed, int)
        if sketched and counts and expected > _EXACT_DISTINCT:
            return same(float(observed), float(expected), relative=_SKETCH)
        return same(observed, expected, scale)

    return agrees


def all_agree(
    agreements: Mapping[str, Agreement], observed: Mapping[str, Any], expected: Mapping[str, Any]
) -> bool:
    """Return whether the values of all features agree."""
    return all(agrees(observed[name], expected[name]) for name, agrees in agreements.items())
