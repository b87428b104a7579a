"""Turns what differs in one view into the mismatches of its report, with rows and hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.base.types import from_micros, micros
from controlplane.manifest.specs import ViewSpec
from controlplane.verify import explain, ways
from controlplane.verify.expected import Expected, Sample
from controlplane.verify.explain import Difference
from controlplane.verify.observed import named
from controlplane.verify.oracle import Near, Row, RowFeature, WindowFeature
from controlplane.verify.report import VALUE, WAYS, Mismatch, ViewReport
from controlplane.verify.values import instant

KEPT = 50
"""The differences of a view that are explained; the others are counted."""


class Mismatches:
    """Counts and explains the mismatches of one view in its report."""

    def __init__(self, expected: Expected, report: ViewReport) -> None:
        self._expected = expected
        self._spec: ViewSpec = expected.spec
        self._report = report
        self._ways_differ = False
        view = self._spec
        self._times = {view.timestamp}
        self._times |= {feature.name for feature in view.attributes if feature.type == "timestamp"}
        self._times |= {f.column for f in view.aggregates if f.column_type == "timestamp"}

    def ways_differ(self, differing: Sequence[ways.Differing]) -> None:
        """Report the intervals whose rows depend on the way of computing."""
        self._report.mismatch_count += len(differing)
        self._ways_differ = bool(differing)
        for interval in differing[: ways.KEPT]:
            at_once, alone = (
                [self._shown(row, None) for row in rows[: explain.SHOWN]]
                for rows in (interval.at_once, interval.alone)
            )
            sample = Sample(interval.key, micros(interval.interval.start), None)
            count = len(interval.at_once) + len(interval.alone)
            hint = ways.hint(self._spec)
            self._add(WAYS, sample, "*", (at_once, alone), [], count, hint, WAYS)

    def values_differ(self, differences: Sequence[Difference]) -> None:
        """Report the differences of one entity, and explain the first ones."""
        self._report.mismatch_count += len(differences)
        kept = differences[: max(KEPT - len(self._report.mismatches), 0)]
        culprits = explain.late(self._expected, differences) if kept else []
        for difference in kept:
            name, sample = difference.feature.name, difference.sample
            rows = explain.behind(self._expected, difference.feature, sample, difference.rows)
            hint = explain.hint(self._expected, difference.feature, sample, rows, culprits)
            if self._ways_differ:
                hint = (
                    "the ways of computing this view differ, which may explain it: see that first;"
                    f" else {hint}"
                )
            if difference.place == "online":
                hint = f"{hint}; if the tables are right, plane run {self._spec.name} --resync"
            shown = [self._shown(row, difference.feature) for row in rows[-explain.SHOWN :]]
            timed = any(f.name == name and "timestamp" in f.type for f in self._spec.features)
            values = (
                _as_shown(difference.observed[name], timed),
                _as_shown(difference.expected[name], timed),
            )
            self._add(difference.place, sample, name, values, shown, len(rows), hint)

    def doubled(self, place: str, sample: Sample) -> None:
        """Report that a place has more than one row for a sample."""
        self._report.mismatch_count += 1
        if len(self._report.mismatches) < KEPT:
            hint = (
                f"the table was altered; plane run {self._spec.name} --recompute replaces its rows"
            )
            self._add(place, sample, "*", ("several rows", "one row"), [], 0, hint)

    def _shown(self, row: Row, feature: RowFeature | WindowFeature | None) -> dict[str, Any]:
        shown = self._expected.shown(row, feature)
        return {name: _as_shown(value, name in self._times) for name, value in shown.items()}

    def _add(
        self,
        place: str,
        sample: Sample,
        feature: str,
        values: tuple[Any, Any],
        rows: Sequence[Mapping[str, Any]],
        count: int,
        hint: str,
        about: str = VALUE,
    ) -> None:
        keys, at = named(self._spec, sample), from_micros(sample.at)
        self._report.mismatches.append(
            Mismatch(self._spec.name, place, keys, at, feature, *values, rows, count, hint, about)
        )


def _as_shown(value: Any, timed: bool) -> Any:  # noqa: ANN401 - a value of any type
    """Turn a value into what a user knows: timestamps are microseconds in the oracle."""
    if isinstance(value, Near):
        return value.value
    if isinstance(value, list):
        return [_as_shown(item, timed) for item in value]
    return instant(value) if timed and isinstance(value, int) else value
