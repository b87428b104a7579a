"""What a verification found, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

VALUE, WAYS = "value", "ways of computing"
"""The kinds of mismatches."""


@dataclass(frozen=True)
class Mismatch:
    """One value that is not what the raw rows say, or rows that depend on the way of computing.

    Args:
        view: the feature view.
        place: what says it: `table`, `history`, `latest`, `training set` or `online`; `ways of
            computing` if the view's SQL returns other rows of an interval when the interval is
            evaluated alone than when it is evaluated with others.
        keys: the entity.
        at: the instant that was asked about; of ways of computing, where the interval begins.
        feature: the feature; `*` where the row itself is wrong.
        told: the value that was found; of ways of computing, the first rows that the interval has
            only among others.
        expected: the value by brute force; of ways of computing, the first rows that the interval
            has only alone.
        rows: the raw rows that the expected value comes from, the newest ones where there are many.
        row_count: how many such rows there are; of ways of computing, how many rows differ.
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
        """Whether two ways of computing differ."""
        return self.kind == WAYS


@dataclass
class ViewReport:
    """One view: the cases (an entity and an instant each), the values compared by place, nulls
    among them, the intervals that were evaluated in both ways, what was left out and why, and what
    is wrong: all of it is counted, the first differences are kept."""

    view: str
    cases: int = 0
    compared: dict[str, int] = field(default_factory=dict)
    nulls: int = 0
    intervals: int = 0
    notes: list[str] = field(default_factory=list)
    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    refused: str = ""
    """Why the view could not be compared; empty if it was."""


@dataclass(frozen=True)
class ServiceMismatch:
    """A calculation or realtime feature (`*` for all of a row) that models read differently than
    training sets hold.

    Args:
        service: the feature service.
        feature: its name.
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
    """One feature service: its rows, the values compared, the rows that fail as they must in both
    places, and what is wrong: all of it is counted, the first differences are kept."""

    service: str
    cases: int = 0
    compared: int = 0
    refused: int = 0
    mismatch_count: int = 0
    mismatches: list[ServiceMismatch] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """A verification: the same seed asks the same questions while the data stays the same."""

    seed: int
    views: Sequence[ViewReport]
    services: Sequence[ServiceReport]
    cases: int
    comparisons: int
    nulls: int
    mismatches: int

    @property
    def agrees(self) -> bool:
        """Whether all views were compared, and nothing differs."""
        return not self.mismatches and not any(view.refused for view in self.views)


def summed(seed: int, views: Sequence[ViewReport], services: Sequence[ServiceReport]) -> Report:
    """The report of several views and services."""
    every: Sequence[ViewReport | ServiceReport] = [*views, *services]
    return Report(
        seed=seed,
        views=views,
        services=services,
        cases=sum(one.cases for one in every),
        comparisons=sum(sum(view.compared.values()) for view in views)
        + sum(one.compared for one in services),
        nulls=sum(view.nulls for view in views),
        mismatches=sum(one.mismatch_count for one in every),
    )
