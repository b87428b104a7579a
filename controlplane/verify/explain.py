"""Which raw rows are behind a difference, and what probably happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.base.types import MICROSECOND, ceil, floor, format_instant, from_micros
from controlplane.manifest.specs import IntervalByInterval, StaticViewSpec, ViewSpec
from controlplane.verify.oracle import Row, RowFeature, View, WindowFeature, bounds
from controlplane.verify.truth import TIME, Question, Truth

SHOWN = 20
Values = Mapping[str, Any]
_TRIED = 200_000  # rows that are looked at again without one of them
_ASKED = 6


def behind(
    truth: Truth, feature: RowFeature | WindowFeature, question: Question, rows: Sequence[Row]
) -> list[Row]:
    """The rows that a feature's value comes from, in order of time: those in its window, or the
    newest ones."""
    view = truth.view
    if view.time is None:
        return list(rows)
    start, end = _window(view, feature, question)
    ordered = sorted((row for row in rows if row[TIME] < end), key=lambda row: int(row[TIME]))
    if isinstance(feature, RowFeature):
        return ordered[-5:]
    inside = [row for row in ordered if start <= row[TIME]]
    return (
        inside if feature.where is None else [row for row in inside if feature.where(row) is True]
    )


def _window(view: View, feature: RowFeature | WindowFeature, question: Question) -> tuple[int, int]:
    """Between which event times the rows lie that may count."""
    computed = (question.at - view.delay - view.phase) // view.schedule * view.schedule + view.phase
    if isinstance(feature, RowFeature):
        return view.start, computed
    if feature.periods is not None:
        return bounds(feature.periods, computed)
    end = computed + feature.offset
    if feature.window is None:
        return view.start, end
    return end - feature.window - max(feature.steps - 1, 0) * feature.step, end


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
    """The raw rows, each of which alone explains all that differs for one entity: without it
    everything agrees."""
    if truth.view.time is None or not differences:
        return []
    asked = {(one.place, one.question.at): one for one in differences}
    found = min(
        (behind(truth, one.feature, one.question, one.rows) for one in differences), key=len
    )
    for one in list(asked.values())[:_ASKED]:
        found = [
            row
            for row in found[-_TRIED // (1 + len(one.rows)) - 1 :]
            if one.agrees(_without(truth, one, row))
        ]
    return found


def _without(truth: Truth, difference: Difference, row: Row) -> Values:
    rows = list(difference.rows)
    if row in rows:
        rows.remove(row)
    return truth.view.value(rows, difference.question.key, difference.question.at)


def hint(
    truth: Truth,
    feature: RowFeature | WindowFeature,
    question: Question,
    found: Sequence[Row],
    culprits: Sequence[Row],
) -> str:
    """What probably happened, and what to do about it.

    Args:
        truth: the view.
        feature: what differs.
        question: what was asked.
        found: the rows that the value comes from.
        culprits: those that explain all that differs, as `late` finds them.
    """
    spec = truth.spec
    if isinstance(spec, StaticViewSpec):
        return (
            f"rows that changed since the last run explain it: {_again(spec.name)}; else the table"
            " was altered"
        )
    if culprits:
        times = sorted(int(row[TIME]) for row in culprits)
        row = "the row" if len(culprits) == 1 else f"one of {len(culprits)} rows, such as that"
        which = "which, or a row that its SQL sees with it," if _by_interval(spec) else "which"
        return (
            f"it is right without {row} of {format_instant(from_micros(culprits[-1][TIME]))},"
            f" {which} probably arrived after its interval was computed:"
            f" {_changed(truth, times[0], times[-1] + 1)}; if rows often come so late, declare a"
            f" longer settling_delay or a lateness{_unsteady(spec)}"
        )
    start, end = _window(truth.view, feature, question)
    if isinstance(feature, RowFeature) and found:
        start = int(found[0][TIME])  # a newer row may have been there
    return (
        "rows that came, changed or were deleted after they were computed explain it: "
        f"{_changed(truth, start, end)}; else the table was altered{_unsteady(spec)}"
    )


def _changed(truth: Truth, start: int, end: int) -> str:
    """The command that computes all intervals again that a change of the rows in a range can reach.

    Args:
        truth: the view.
        start: where the changed rows begin that are known, in microseconds since the epoch.
        end: where they end.
    """
    spec, reach = truth.spec, truth.evaluated.reach
    if reach is None:
        return _again(spec.name)  # whatever follows may look back at it
    # An interval sees rows up to `reach` before it, and a row is seen by intervals that long after
    # it.
    first = floor(from_micros(start), spec.schedule, spec.phase) - reach
    first = floor(max(first, spec.start), spec.schedule, spec.phase)
    last = ceil(from_micros(end), spec.schedule, spec.phase) + reach
    last = ceil(max(last, first + MICROSECOND), spec.schedule, spec.phase)
    return _again(spec.name, first, last)


def _by_interval(spec: ViewSpec) -> bool:
    return isinstance(spec.evaluation, IntervalByInterval)


def _unsteady(spec: ViewSpec) -> str:
    """What else may explain a difference where the order of rows decides what the SQL returns."""
    if not isinstance(spec.evaluation, IntervalByInterval) or spec.evaluation.steady:
        return ""
    place = spec.evaluation.location
    return (
        "; if it is not gone then, its SQL depends on the order of rows (see"
        f" {spec.evaluation.construct} at {place.file}:{place.line}): order by a unique column"
        " wherever it limits or ranks rows"
    )


def _again(view: str, start: datetime | None = None, end: datetime | None = None) -> str:
    stretch = (
        f" --start {format_instant(start)} --end {format_instant(end)}" if start and end else ""
    )
    return f"plane run {view}{stretch} --recompute"
