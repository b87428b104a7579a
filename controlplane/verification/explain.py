"""Which raw rows are behind a difference, and what probably happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.oracle import Row, RowFeature, WindowFeature, bounds
from controlplane.types import floor, format_instant, from_micros
from controlplane.verification.truth import TIME, Question, Truth

SHOWN = 20
Values = Mapping[str, Any]
_TRIED = 200_000  # rows that are looked at again without one of them
_ASKED = 6


def behind(truth: Truth, feature: RowFeature | WindowFeature, question: Question, rows: Sequence[Row]) -> list[Row]:
    """The rows that a feature's value comes from, in order of time: those in its window, or the newest ones."""
    view = truth.view
    if view.time is None:
        return list(rows)
    computed = (question.at - view.delay - view.phase) // view.schedule * view.schedule + view.phase
    ordered = sorted((row for row in rows if row[TIME] < computed), key=lambda row: int(row[TIME]))
    if isinstance(feature, RowFeature):
        return ordered[-5:]
    start, end = view.start, computed + feature.offset
    if feature.periods is not None:
        start, end = bounds(feature.periods, computed)
    elif feature.window is not None:
        start = end - feature.window - max(feature.steps - 1, 0) * feature.step
    inside = [row for row in ordered if start <= row[TIME] < end]
    return inside if feature.where is None else [row for row in inside if feature.where(row) is True]


@dataclass(frozen=True)
class Difference:
    """One place says something else than brute force.

    Args:
        place: where.
        question: what was asked.
        rows: all raw rows of the question.
        feature: what differs.
        told: every value that was told.
        expected: every value by brute force.
        agrees: whether these would be the values that were told.
    """

    place: str
    question: Question
    rows: Sequence[Row]
    feature: RowFeature | WindowFeature
    told: Values
    expected: Values
    agrees: Callable[[Values], bool]


def late(truth: Truth, differences: Sequence[Difference]) -> list[Row]:
    """The raw rows, each of which alone explains all that differs for one entity: without it everything agrees."""
    if truth.view.time is None or not differences:
        return []
    asked = {(one.place, one.question.at): one for one in differences}
    found = min((behind(truth, one.feature, one.question, one.rows) for one in differences), key=len)
    for one in list(asked.values())[:_ASKED]:
        found = [row for row in found[-_TRIED // (1 + len(one.rows)) - 1 :] if one.agrees(_without(truth, one, row))]
    return found


def _without(truth: Truth, difference: Difference, row: Row) -> Values:
    rows = list(difference.rows)
    if row in rows:
        rows.remove(row)
    return truth.view.value(rows, difference.question.key, difference.question.at)


def hint(truth: Truth, question: Question, found: Sequence[Row], culprits: Sequence[Row]) -> str:
    """What probably happened, and what to do about it.

    Args:
        truth: the view.
        question: what was asked.
        found: the rows that the value comes from.
        culprits: those that explain all that differs, as `late` finds them.
    """
    spec = truth.spec
    if spec.static:
        return f"rows that changed since the last run explain it: {_again(spec.name)}; else the table was altered"
    times = sorted(int(row[TIME]) for row in culprits or found) or [question.at - truth.view.delay - 1]
    start, end = (floor(from_micros(time), spec.schedule, spec.phase) for time in (times[0], times[-1]))
    again = _again(spec.name, max(start, spec.start), max(end, spec.start) + spec.schedule)
    if culprits:
        row = "the row" if len(culprits) == 1 else f"one of {len(culprits)} rows, such as that"
        return (
            f"it is right without {row} of {format_instant(from_micros(culprits[-1][TIME]))}, which probably arrived "
            f"after its interval was computed: {again}; if rows often come so late, declare a longer settling_delay or "
            "a lateness"
        )
    return (
        f"rows that came, changed or were deleted after they were computed explain it: {again}; "
        "else the table was altered"
    )


def _again(view: str, start: Any = None, end: Any = None) -> str:  # noqa: ANN401 - instants
    stretch = f" --start {format_instant(start)} --end {format_instant(end)}" if start is not None else ""
    return f"plane run {view}{stretch} --recompute"
