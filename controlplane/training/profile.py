"""Describe the values of features in numbers: nulls, range, frequent values, a histogram."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

BINS = 10
"""The bins of a histogram; all have the same width."""
_FREQUENT = 3
_COUNTED = ("string", "bool")


@dataclass(frozen=True)
class FeatureProfile:
    """The values of one feature over some entities.

    Attributes:
        name: the feature.
        type: its canonical type.
        values: the number of values that are not null.
        nulls: the number of nulls.
        minimum: the smallest value; None without values, and for lists.
        maximum: the largest value.
        frequent: of a text or a bool: the most frequent values with their numbers.
        histogram: of a number: how many values are in each of `BINS` bins between minimum and
            maximum, or in a single one if they are equal. NaN and infinities are left out.

    Times that are infinite or outside the years 1 to 9999 have no part in minimum and maximum.
    """

    name: str
    type: str
    values: int
    nulls: int
    minimum: Any = None
    maximum: Any = None
    frequent: Sequence[tuple[Any, int]] = field(default_factory=list)
    histogram: Sequence[int] = field(default_factory=list)

    @property
    def null_share(self) -> float:
        """The share of nulls, from 0 to 1; 0 without rows."""
        return self.nulls / max(self.nulls + self.values, 1)


def profiles(types: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> list[FeatureProfile]:
    """Describe each feature.

    Args:
        types: feature -> canonical type.
        rows: one for each entity, with all features.
    """
    return [_profile(name, text, [row[name] for row in rows]) for name, text in types.items()]


def _profile(name: str, value_type: str, values: Sequence[Any]) -> FeatureProfile:
    present = [value for value in values if value is not None]
    counts = (len(present), len(values) - len(present))
    if not present or value_type.startswith("array<"):
        return FeatureProfile(name, value_type, *counts)
    if value_type in _COUNTED:
        frequent = Counter(present).most_common(_FREQUENT)
        return FeatureProfile(
            name, value_type, *counts, min(present), max(present), frequent=frequent
        )
    # Of a time that Python can't hold, only the text is known.
    texts = str if value_type in ("date", "timestamp") else ()
    ordered = [
        v
        for v in present
        if not isinstance(v, texts) and (not isinstance(v, float) or math.isfinite(v))
    ]
    if not ordered:
        return FeatureProfile(name, value_type, *counts)
    low, high = min(ordered), max(ordered)
    bins = _histogram(ordered, low, high) if isinstance(low, int | float | Decimal) else []
    return FeatureProfile(name, value_type, *counts, low, high, histogram=bins)


def _histogram(values: Sequence[Any], low: Any, high: Any) -> list[int]:  # noqa: ANN401 - numbers
    # As doubles, of which the difference of two finite ones may be infinite.
    width = float(high) / BINS - float(low) / BINS
    if not width:
        return [len(values)]
    counts = [0] * BINS
    for value in values:
        share = (float(value) / BINS - float(low) / BINS) / width
        counts[min(int(share * BINS), BINS - 1)] += 1
    return counts
