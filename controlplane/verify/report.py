"""The result of a verification, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

VALUE, WAYS = "value", "ways of computing"
"""What a mismatch is about."""


@dataclass(frozen=True)
class Mismatch:
    """One value that differs from the raw rows, or rows that depend on the way of computing.

    Args:
        view: the feature view.
        place: where the value was read: `table`, `history`, `latest`, `training set` or `online`;
            `ways of computing` if the view's SQL returns other rows of an interval when the
            interval is evaluated alone than when it is evaluated with others.
        keys: the entity.
        at: the instant that was compared; for ways of computing, the interval's start.
        feature: the feature; `*` if the row itself is wrong.
        told: the observed value; for ways of computing, the first rows that the interval has only
            when it is evaluated with others.
        expected: the value by brute force; for ways of computing, the first rows that the interval
            has only when it is evaluated alone.
        rows: the raw rows behind the expected value; the newest ones if there are many.
        row_count: the number of such rows; for ways of computing, the number of rows that differ.
        hint: what probably happened, and what to do.
        kind: `value` or `ways of computing`.
    """

    view: str
    place: str
    keys: Mapping[str, Any]
    at: datetime
    feature: str
    told: Any
    expected: Any
    rows: Sequence[Mapping[str, Any]]
    row_count: int
    hint: str
    kind: str = VALUE

    @property
    def of_ways(self) -> bool:
        """Whether the mismatch is between two ways of computing."""
        return self.kind == WAYS


@dataclass
class ViewReport:
    """The result for one view.

    All mismatches are counted; only the first ones are kept.

    Attributes:
        view: the feature view.
        cases: the number of samples: an entity and an instant each.
        compared: the number of compared values, by place.
        nulls: the number of these values that should be null.
        intervals: the number of intervals that were evaluated alone and with others.
        notes: what was left out, and why.
        mismatch_count: the number of all mismatches.
        mismatches: the first mismatches.
        refused: why the view could not be compared; empty if it was.
    """

    view: str
    cases: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    nulls: int = 0
    intervals: int = 0
    notes: list[str] = field(default_factory=list)
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    refused: str = ""


@dataclass(frozen=True)
class ServiceMismatch:
    """A calculation or realtime feature whose value at a read differs from training sets.

    Args:
        service: the feature service.
        feature: the feature's name; `*` for the whole row.
        given: the values that it was computed from.
        online: what a reader computes.
        training: what the warehouse computes.
    """

    service: str
    feature: str
    given: Mapping[str, Any]
    online: Any
    training: Any


@dataclass
class ServiceReport:
    """The result for one feature service.

    All mismatches are counted; only the first ones are kept.

    Attributes:
        service: the feature service.
        cases: the number of rows that were computed.
        compared: the number of compared values.
        refused: the number of rows that fail in this process; they must fail in the warehouse too.
        mismatch_count: the number of all mismatches.
        mismatches: the first mismatches.
    """

    service: str
    cases: int = 0
    compared: int = 0
    refused: int = 0
    mismatch_count: int = 0
    mismatches: list[ServiceMismatch] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The result of a verification: one seed takes the same samples while the data is the same."""

    seed: int
    views: Sequence[ViewReport]
    services: Sequence[ServiceReport]
    cases: int
    comparisons: int
    nulls: int
    mismatches: int

    @property
    def agrees(self) -> bool:
        """Whether all views were compared, and no value differs."""
        return not self.mismatches and not any(view.refused for view in self.views)


def summed(seed: int, views: Sequence[ViewReport], services: Sequence[ServiceReport]) -> Report:
    """Sum up the reports of views and services."""
    every: Sequence[ViewReport | ServiceReport] = [*views, *services]
    return Report(
        seed=seed,
        views=views,
        services=services,
        cases=sum(report.cases for report in every),
        comparisons=sum(sum(view.compared.values()) for view in views)
        + sum(report.compared for report in services),
        nulls=sum(view.nulls for view in views),
        mismatches=sum(report.mismatch_count for report in every),
    )
