"""Finds the raw rows behind a difference, and says what probably happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controlplane.base.types import MICROSECOND, ceil, floor, format_instant, from_micros
from controlplane.manifest.specs import IntervalByInterval, StaticViewSpec, ViewSpec
from controlplane.verify.expected import TIME, Expected, Sample
from controlplane.verify.oracle import Row, RowFeature, View, WindowFeature, bounds

SHOWN = 20
Values = Mapping[str, Any]
# Rows that are evaluated again to test the suspects of one difference. It bounds the time.
_EVALUATED = 200_000
# Differences that each suspect must explain; a row that explains six by chance is unlikely.
_COMPARED = 6


def behind(
    expected: Expected, feature: RowFeature | WindowFeature, sample: Sample, rows: Sequence[Row]
) -> list[Row]:
    """Return the rows behind a feature's value, oldest first: its window's, or the newest ones."""
    view = expected.oracle
    if view.time is None:
        return list(rows)
    start, end = _window(view, feature, sample)
    ordered = sorted((row for row in rows if row[TIME] < end), key=lambda row: int(row[TIME]))
    if isinstance(feature, RowFeature):
        # The newest row decides. Those before it show what else the place may have read.
        return ordered[-5:]
    inside = [row for row in ordered if start <= row[TIME]]
    return (
        inside if feature.where is None else [row for row in inside if feature.where(row) is True]
    )


def _window(view: View, feature: RowFeature | WindowFeature, sample: Sample) -> tuple[int, int]:
    """Return the range of event times of the rows that may count: [start, end)."""
    computed = (sample.at - view.delay - view.phase) // view.schedule * view.schedule + view.phase
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
    """A feature for which one place holds another value than brute force gives.

    Args:
        place: where the value was read.
        sample: the entity and the instant.
        rows: all raw rows of the sample.
        feature: the feature.
        observed: the values of all features that the place holds.
        expected: the values of all features by brute force.
        agrees: whether other expected values would agree with the observed ones.
    """

    place: str
    sample: Sample
    rows: Sequence[Row]
    feature: RowFeature | WindowFeature
    observed: Values
    expected: Values
    agrees: Callable[[Values], bool]


def late(expected: Expected, differences: Sequence[Difference]) -> list[Row]:
    """Return the raw rows that each explain all differences of one entity.

    Without such a row, brute force agrees with all that was observed.
    """
    if expected.oracle.time is None or not differences:
        return []
    by_sample = {(d.place, d.sample.at): d for d in differences}
    # A culprit is behind every difference, so the difference with the fewest rows has all of them.
    suspects = min((behind(expected, d.feature, d.sample, d.rows) for d in differences), key=len)
    for difference in list(by_sample.values())[:_COMPARED]:
        suspects = [
            row
            # The newest rows come last, and late rows are mostly new.
            for row in suspects[-_EVALUATED // (1 + len(difference.rows)) - 1 :]
            if difference.agrees(_without(expected, difference, row))
        ]
    return suspects


def _without(expected: Expected, difference: Difference, row: Row) -> Values:
    rows = list(difference.rows)
    if row in rows:
        rows.remove(row)
    return expected.oracle.value(rows, difference.sample.key, difference.sample.at)


def hint(
    expected: Expected,
    feature: RowFeature | WindowFeature,
    sample: Sample,
    rows: Sequence[Row],
    culprits: Sequence[Row],
) -> str:
    """Say what probably happened, and what to do.

    Args:
        expected: the view by brute force.
        feature: the feature that differs.
        sample: the entity and the instant.
        rows: the rows behind the value.
        culprits: the rows that explain all differences; see `late`.
    """
    spec = expected.spec
    if isinstance(spec, StaticViewSpec):
        return (
            f"rows that changed since the last run explain the difference: {_again(spec.name)};"
            " else the table was altered"
        )
    if culprits:
        times = sorted(int(row[TIME]) for row in culprits)
        row = "the row" if len(culprits) == 1 else f"one of {len(culprits)} rows, such as that"
        which = "which, or a row that its SQL sees with it," if _by_interval(spec) else "which"
        return (
            f"the value is right without {row} of"
            f" {format_instant(from_micros(culprits[-1][TIME]))}, {which} probably arrived after"
            f" its interval was computed: {_changed(expected, times[0], times[-1] + 1)}; if rows"
            " often come this late, declare a longer settling_delay or a"
            f" lateness{_unsteady(spec)}"
        )
    start, end = _window(expected.oracle, feature, sample)
    if isinstance(feature, RowFeature) and rows:
        start = int(rows[0][TIME])  # a newer row may have been deleted
    return (
        "rows that came, changed or were deleted after they were computed explain the difference: "
        f"{_changed(expected, start, end)}; else the table was altered{_unsteady(spec)}"
    )


def _changed(expected: Expected, start: int, end: int) -> str:
    """Return the command that recomputes all intervals that rows in a range can change.

    Args:
        expected: the view by brute force.
        start: the start of the range, in microseconds since the epoch.
        end: its end.
    """
    spec, reach = expected.spec, expected.evaluated.reach
    if reach is None:
        return _again(spec.name)  # any later interval may look back at the rows
    # An interval reads rows up to `reach` before it. So a row may change an interval that begins
    # `reach` later, and a bounded event time may lie `reach` before the row.
    first = floor(from_micros(start), spec.schedule, spec.phase) - reach
    first = floor(max(first, spec.start), spec.schedule, spec.phase)
    last = ceil(from_micros(end), spec.schedule, spec.phase) + reach
    last = ceil(max(last, first + MICROSECOND), spec.schedule, spec.phase)
    return _again(spec.name, first, last)


def _by_interval(spec: ViewSpec) -> bool:
    return isinstance(spec.evaluation, IntervalByInterval)


def _unsteady(spec: ViewSpec) -> str:
    """Return one more explanation, if the order of rows decides what the view's SQL returns."""
    if not isinstance(spec.evaluation, IntervalByInterval) or spec.evaluation.steady:
        return ""
    location = spec.evaluation.location
    return (
        "; if the difference remains, the view's SQL depends on the order of rows (see"
        f" {spec.evaluation.construct} at {location.file}:{location.line}): order by a unique"
        " column wherever it limits or ranks rows"
    )


def _again(view: str, start: datetime | None = None, end: datetime | None = None) -> str:
    interval = (
        f" --start {format_instant(start)} --end {format_instant(end)}" if start and end else ""
    )
    return f"plane run {view}{interval} --recompute"
